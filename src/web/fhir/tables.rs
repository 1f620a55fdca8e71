//! What `/fhir` serves, as one table: routing, the parsing of searches and the CapabilityStatement are made from it.

use model::Role;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Resource {
    ImagingStudy,
    Patient,
    ServiceRequest,
    DiagnosticReport,
    DocumentReference,
    Binary,
    Endpoint,
    Subscription,
    AuditEvent,
}

/// How the value of a search parameter is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `system|code`, `|code` or `code`.
    Token,
    /// A resource of this kind, by id or URL.
    Reference(Resource),
    /// A date with a prefix.
    Date,
    /// Words.
    Text,
}

/// A search parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    /// Name; one with a dot is a chain.
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// One sentence for the CapabilityStatement.
    pub(crate) about: &'static str,
}

/// What `_include` can add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Include {
    /// Name behind the resource's own.
    pub(crate) name: &'static str,
    /// The element whose references are followed.
    pub(crate) element: &'static str,
}

/// What is served of a kind of resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) resource: Resource,
    pub(crate) name: &'static str,
    /// Whether it is searched.
    pub(crate) searches: bool,
    /// Whether it is created, and updated under its id.
    pub(crate) writes: bool,
    /// Whether it is removed.
    pub(crate) deletes: bool,
    /// Least role of whoever asks for it in any way.
    pub(crate) role: Role,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) includes: &'static [Include],
    /// Operations by name, without the dollar sign.
    pub(crate) operations: &'static [(&'static str, &'static str)],
    /// One sentence for the CapabilityStatement.
    pub(crate) about: &'static str,
}

const fn parameter(name: &'static str, form: Form, about: &'static str) -> Parameter {
    Parameter { name, form, about }
}

const ID: Parameter = parameter("_id", Form::Token, "The id.");
const UPDATED: Parameter = parameter("_lastUpdated", Form::Date, "When it last changed.");
const OF_PATIENT: Parameter =
    parameter("patient", Form::Reference(Resource::Patient), "Whose it is; former numbers of the patient count.");
const OF_NUMBER: Parameter = parameter("patient.identifier", Form::Token, "Whose it is, by a number of the patient.");

/// Everything that is served.
pub(crate) const TABLES: &[Table] = &[
    Table {
        resource: Resource::ImagingStudy,
        name: "ImagingStudy",
        searches: true,
        writes: false,
        deletes: false,
        role: Role::Reader,
        parameters: &[
            ID,
            UPDATED,
            parameter(
                "identifier",
                Form::Token,
                "Study Instance UID (`urn:dicom:uid|urn:oid:...`) or accession number.",
            ),
            OF_PATIENT,
            OF_NUMBER,
            parameter("started", Form::Date, "When the study began, by the clock of its facility."),
            parameter("modality", Form::Token, "A modality of the study."),
            parameter("basedon", Form::Reference(Resource::ServiceRequest), "The order it was made for."),
            parameter("endpoint", Form::Reference(Resource::Endpoint), "The endpoint by which it is read."),
        ],
        includes: &[
            Include { name: "patient", element: "subject" },
            Include { name: "basedon", element: "basedOn" },
            Include { name: "endpoint", element: "endpoint" },
        ],
        operations: &[],
        about: "A study of a facility as it is told by DICOMweb: corrections hold, what was rejected or destroyed is not there. With `instances=true` a read tells every instance, too.",
    },
    Table {
        resource: Resource::Patient,
        name: "Patient",
        searches: true,
        writes: false,
        deletes: false,
        role: Role::Reader,
        parameters: &[
            ID,
            UPDATED,
            parameter("identifier", Form::Token, "A number of the patient, by its system or any."),
            parameter(
                "name",
                Form::Text,
                "Words of the name or their beginnings, with marks or without, in any order.",
            ),
            parameter("family", Form::Text, "The family name, the first word of the name."),
            parameter("given", Form::Text, "A word of the name behind the first."),
            parameter("birthdate", Form::Date, "Day of birth, as far as it is known."),
            parameter("gender", Form::Token, "male, female, other or unknown."),
            parameter("phone", Form::Token, "Telephone number, its digits."),
        ],
        includes: &[],
        operations: &[("match", "http://hl7.org/fhir/OperationDefinition/Patient-match")],
        about: "A patient of one facility as its information systems tell it; persons across facilities are not told here.",
    },
    Table {
        resource: Resource::ServiceRequest,
        name: "ServiceRequest",
        searches: true,
        writes: true,
        deletes: false,
        role: Role::Reader,
        parameters: &[
            ID,
            parameter(
                "identifier",
                Form::Token,
                "Placer or filler order number, accession number or Study Instance UID.",
            ),
            OF_PATIENT,
            OF_NUMBER,
            parameter("status", Form::Token, "active, completed or revoked."),
            parameter("authored", Form::Date, "When the order came."),
            parameter("code", Form::Token, "Code of the procedure."),
        ],
        includes: &[Include { name: "patient", element: "subject" }],
        operations: &[],
        about: "An order. It is taken as one by HL7 is: what an update does not say stays, the same body sent again has no second effect, an order whose patient is not known waits (202). A patient may be contained, with the facility's number.",
    },
    Table {
        resource: Resource::DiagnosticReport,
        name: "DiagnosticReport",
        searches: true,
        writes: true,
        deletes: false,
        role: Role::Reader,
        parameters: &[
            ID,
            parameter("identifier", Form::Token, "Number of the result, or accession number."),
            OF_PATIENT,
            OF_NUMBER,
            parameter("based-on", Form::Reference(Resource::ServiceRequest), "The order it reports on."),
            parameter("status", Form::Token, "preliminary, final, amended or cancelled."),
            parameter("date", Form::Date, "When it was made."),
            parameter("category", Form::Token, "RAD, LAB or PAT (HL7 table 0074)."),
        ],
        includes: &[Include { name: "patient", element: "subject" }, Include { name: "based-on", element: "basedOn" }],
        operations: &[],
        about: "A result. Its documents are read by Binary; an update is its next version, older versions are not told.",
    },
    Table {
        resource: Resource::DocumentReference,
        name: "DocumentReference",
        searches: true,
        writes: false,
        deletes: false,
        role: Role::Reader,
        parameters: &[
            ID,
            OF_PATIENT,
            OF_NUMBER,
            parameter("identifier", Form::Token, "Number of the result it is part of, or accession number."),
            parameter("related", Form::Reference(Resource::DiagnosticReport), "The result it is part of."),
            parameter("status", Form::Token, "current or entered-in-error."),
            parameter("date", Form::Date, "When it was made."),
        ],
        includes: &[Include { name: "patient", element: "subject" }],
        operations: &[],
        about: "A document of a result, mostly PDF.",
    },
    Table {
        resource: Resource::Binary,
        name: "Binary",
        searches: false,
        writes: false,
        deletes: false,
        role: Role::Reader,
        parameters: &[],
        includes: &[],
        operations: &[],
        about: "The bytes of a document as they are; as a resource where application/fhir+json is accepted.",
    },
    Table {
        resource: Resource::Endpoint,
        name: "Endpoint",
        searches: true,
        writes: false,
        deletes: false,
        role: Role::Reader,
        parameters: &[
            ID,
            parameter("connection-type", Form::Token, "dicom-wado-rs or ihe-iid."),
            parameter("status", Form::Token, "active."),
        ],
        includes: &[],
        operations: &[],
        about: "How images of a facility are read: DICOMweb, and the viewer by a signed link.",
    },
    Table {
        resource: Resource::Subscription,
        name: "Subscription",
        searches: true,
        writes: true,
        deletes: true,
        role: Role::Admin,
        parameters: &[
            ID,
            parameter("status", Form::Token, "active, error or off."),
            parameter("type", Form::Token, "rest-hook."),
            parameter("payload", Form::Token, "application/fhir+json."),
            parameter("criteria", Form::Text, "How its criteria begin."),
        ],
        includes: &[],
        operations: &[],
        about: "Who is told of what happens in one facility, by rest-hook: durable, in order, tried again until the endpoint takes it. Without a payload the endpoint is called by POST without a body; with application/fhir+json the resource is put below it by PUT. What is not read by its criteria is refused. Values of headers are never shown.",
    },
    Table {
        resource: Resource::AuditEvent,
        name: "AuditEvent",
        searches: true,
        writes: false,
        deletes: false,
        role: Role::Admin,
        parameters: &[
            ID,
            parameter("date", Form::Date, "When it happened."),
            OF_PATIENT,
            OF_NUMBER,
            parameter("agent-name", Form::Text, "How the name of whoever did it begins: a source, a token, a person."),
            parameter("type", Form::Token, "Kind of event (DICOM PS3.16 CID 400)."),
            parameter(
                "subtype",
                Form::Token,
                "What it is: kind of a message, share-issued, share-opened, merged, matched, read-dicomweb, read-viewer ...",
            ),
            parameter("action", Form::Token, "C, R, U, D or E."),
            parameter("outcome", Form::Token, "0 done, 4 waits, 8 refused."),
            parameter("entity", Form::Reference(Resource::ImagingStudy), "The study it is about."),
            parameter("site", Form::Token, "Code of the facility."),
        ],
        includes: &[],
        operations: &[],
        about: "What is kept durably of who said, decided, opened and read what: messages, patients' links, merges, decisions about studies and orders, who read which study in which way (one event for each hour), and of the ledger what people did to studies under retention. Who searched and looked at lists is in the log alone.",
    },
];

impl Resource {
    /// What is served of it.
    pub(crate) fn table(self) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.resource == self)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.table().map_or("", |table| table.name)
    }
}

impl Table {
    /// The row of a name.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// A parameter by its name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|one| one.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_one_row_and_every_parameter_one_meaning() {
        for (at, table) in TABLES.iter().enumerate() {
            assert!(
                TABLES.iter().skip(at + 1).all(|other| other.name != table.name && other.resource != table.resource)
            );
            assert_eq!(table.resource.name(), table.name);
            for (at, one) in table.parameters.iter().enumerate() {
                assert!(table.parameters.iter().skip(at + 1).all(|other| other.name != one.name), "{}", one.name);
                assert!(one.about.ends_with('.'), "{}", one.name);
            }
            for include in table.includes {
                assert!(table.parameter(include.name).is_some(), "{}: an include is a parameter, too", include.name);
            }
        }
    }
}
