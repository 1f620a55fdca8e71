//! CapabilityStatement: what `/fhir` can do, written from the table that routes and reads searches, and what it cannot.

use super::tables::{Form, Parameter, TABLES, Table};
use serde_json::{Map, Value, json};

/// What is not there, in words: a client must not have to find it out.
const LIMITS: &str = "Each resource belongs to one facility: its id begins with the facility's code, and an answer holds \
only what the caller's facilities have. Not served: persons across facilities, AuditEvents of \
searches and lists (who searched and saw lists is in the log alone), \
Provenance, history, conditional create and update, batch and transaction, XML, \
modifiers other than :exact on names, _sort, _elements, _revinclude. Pages are walked by their next link.";

/// The statement; `base` is the URL of the service.
pub(crate) fn statement(base: &str) -> Value {
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-28",
        "publisher": "Khoanh",
        "kind": "instance",
        "software": {"name": "Khoanh", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Khoanh image archive", "url": format!("{base}/fhir")},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "documentation": LIMITS,
            "security": {
                "cors": true,
                "description": "Bearer tokens (RFC 6750) of the archive: reading needs the role reader, writing the role sender, subscriptions and audit events the role admin.",
            },
            "resource": TABLES.iter().map(resource).collect::<Vec<_>>(),
        }],
    })
}

fn resource(table: &Table) -> Value {
    let mut interactions = vec!["read"];
    if table.searches {
        interactions.push("search-type");
    }
    if table.writes {
        interactions.extend(["create", "update"]);
    }
    if table.deletes {
        interactions.push("delete");
    }
    let each = |code: &&str| json!({"code": code});
    let mut resource = Map::new();
    resource.insert("type".into(), table.name.into());
    resource.insert("documentation".into(), table.about.into());
    resource.insert("interaction".into(), interactions.iter().map(each).collect());
    resource.insert("versioning".into(), if table.writes { "versioned-update" } else { "versioned" }.into());
    if table.writes {
        // PUT under an id that is not there makes an order or a result.
        resource.insert("updateCreate".into(), (!table.deletes).into());
    }
    if table.searches {
        let plain = table.parameters.iter().filter(|one| !one.name.contains('.'));
        resource.insert("searchParam".into(), plain.map(|one| parameter(table, one)).collect());
    }
    if !table.includes.is_empty() {
        let names = table.includes.iter().map(|include| format!("{}:{}", table.name, include.name));
        resource.insert("searchInclude".into(), names.collect());
    }
    if !table.operations.is_empty() {
        let operations = table.operations.iter();
        let each = operations.map(|(name, definition)| json!({"name": name, "definition": definition}));
        resource.insert("operation".into(), each.collect());
    }
    Value::Object(resource)
}

fn parameter(table: &Table, one: &Parameter) -> Value {
    let kind = match one.form {
        Form::Token => "token",
        Form::Reference(_) => "reference",
        Form::Date => "date",
        Form::Text => "string",
    };
    let chain = format!("{}.", one.name);
    let chains = table.parameters.iter().filter(|other| other.name.starts_with(&chain));
    let chains: Vec<String> = chains.map(|other| format!(" Also as {}.", other.name)).collect();
    json!({"name": one.name, "type": kind, "documentation": format!("{}{}", one.about, chains.concat())})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_tells_what_the_table_says() {
        let statement = statement("http://h");
        let told = statement.pointer("/rest/0/resource").and_then(Value::as_array).expect("resources");
        assert_eq!(told.len(), TABLES.len());
        for (one, table) in told.iter().zip(TABLES) {
            let parameters = one["searchParam"].as_array().map_or(0, Vec::len);
            assert_eq!(
                parameters,
                table.parameters.iter().filter(|one| !one.name.contains('.')).count(),
                "{}",
                table.name
            );
        }
        assert_eq!(statement["fhirVersion"], json!("4.0.1"));
    }
}
