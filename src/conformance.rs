//! The DICOM conformance statement, written from the tables the code itself works by.
//!
//! `docs/CONFORMANCE.md` is this text; a test compares them, so the statement cannot drift from the program.
//! What no table holds, behaviour in words, stands in `conformance/*.md` beside this file.

use crate::config::Config;
use model::attribute::{ATTRIBUTES, Attribute, Kept, Matching};
use model::{Level, Role};
use std::fmt::Write as _;
use web::dicomweb::media::{FRAME_DEFAULTS, FRAME_MEDIA};
use web::routes;

/// The whole statement as Markdown.
pub(crate) fn statement() -> String {
    let mut out = String::new();
    out.push_str(include_str!("conformance/overview.md"));
    implementation(&mut out);
    out.push_str(include_str!("conformance/dimse.md"));
    statuses(&mut out);
    transfer_syntaxes(&mut out);
    sop_classes(&mut out);
    worklist(&mut out);
    out.push_str(include_str!("conformance/dicomweb.md"));
    routes(&mut out);
    media_types(&mut out);
    attributes(&mut out);
    out.push_str(include_str!("conformance/hl7.md"));
    messages(&mut out);
    out.push_str(include_str!("conformance/hl7_rules.md"));
    out.push_str(include_str!("conformance/fhir.md"));
    resources(&mut out);
    out.push_str(include_str!("conformance/verifier.md"));
    out.push_str(include_str!("conformance/limits.md"));
    limits(&mut out);
    out
}

fn resources(out: &mut String) {
    let _ = writeln!(out, "| resource | interactions | searched by | `_include` |\n|---|---|---|---|");
    for [name, interactions, parameters, includes] in web::fhir::resources() {
        let _ = writeln!(out, "| {name} | {interactions} | {parameters} | {includes} |");
    }
    out.push('\n');
}

fn messages(out: &mut String) {
    let _ = writeln!(out, "| type | triggers |\n|---|---|");
    for (code, triggers) in his::SERVED {
        let _ = writeln!(out, "| {code} | {} |", triggers.join(", "));
    }
    out.push('\n');
}

/// Text inside a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn implementation(out: &mut String) {
    let _ = writeln!(out, "| | |\n|---|---|");
    let _ = writeln!(out, "| Implementation Class UID | `{}` |", dataset::part10::IMPLEMENTATION_CLASS_UID);
    let _ = writeln!(out, "| Implementation Version Name | `{}` |", dataset::part10::IMPLEMENTATION_VERSION_NAME);
    let _ = writeln!(out, "| Application Context | `1.2.840.10008.3.1.1.1` |\n");
}

fn statuses(out: &mut String) {
    let _ = writeln!(out, "### Statuses\n\n| code | meaning | answered to |\n|---|---|---|");
    for status in dimse::STATUSES {
        let _ = writeln!(out, "| {:04X} | {} | {} |", status.code, cell(status.meaning), cell(status.when));
    }
    out.push('\n');
}

fn transfer_syntaxes(out: &mut String) {
    let _ = writeln!(
        out,
        "### Transfer syntaxes\n\nMost preferred first; of those proposed for a context the first of this table is taken.\n"
    );
    let _ = writeln!(out, "| UID | name | pixels |\n|---|---|---|");
    for syntax in dimse::transfer_syntaxes() {
        let pixels = match syntax.fidelity {
            dimse::Fidelity::Native => "uncompressed",
            dimse::Fidelity::Lossless => "lossless",
            dimse::Fidelity::Lossy => "lossy",
        };
        let _ = writeln!(out, "| {} | {} | {pixels} |", syntax.uid, cell(syntax.name));
    }
    out.push('\n');
}

fn sop_classes(out: &mut String) {
    let _ = writeln!(
        out,
        "### SOP classes\n\nIn the role of SCP; every transfer syntax of the table above is accepted for each, uncompressed ones for storage commitment and notifications.\n"
    );
    let _ = writeln!(out, "| UID | name | |\n|---|---|---|");
    let _ = writeln!(out, "| {} | Verification | |", dimse::VERIFICATION);
    let _ = writeln!(out, "| {} | Storage Commitment Push Model | |", dimse::STORAGE_COMMITMENT);
    let _ = writeln!(out, "| {} | Instance Availability Notification | |", dimse::AVAILABILITY_NOTIFICATION);
    for class in dimse::storage_sop_classes() {
        let retired = if class.retired { "retired" } else { "" };
        let _ = writeln!(out, "| {} | {} | {retired} |", class.uid, cell(class.name));
    }
    let _ = writeln!(
        out,
        "\n### SOP classes of query and retrieve\n\nIn the role of SCP; identifiers in Explicit or Implicit VR Little Endian or Explicit VR Big Endian.\n"
    );
    let _ = writeln!(out, "| UID | name |\n|---|---|");
    for class in dimse::query_classes() {
        let _ = writeln!(out, "| {} | {} |", class.uid, cell(class.name));
    }
    let _ = writeln!(
        out,
        "\n### SOP classes of procedure steps\n\nIn the role of SCP; data sets in Explicit or Implicit VR Little Endian.\n"
    );
    let _ = writeln!(out, "| UID | name |\n|---|---|");
    for class in dimse::ups_classes() {
        let _ = writeln!(out, "| {} | {} |", class.uid, cell(class.name));
    }
    out.push('\n');
}

fn worklist(out: &mut String) {
    let _ = writeln!(
        out,
        "### SOP classes of worklist and performed steps\n\nIn the role of SCP; data sets in Explicit or Implicit VR Little Endian or Explicit VR Big Endian.\n"
    );
    let _ = writeln!(out, "| UID | name |\n|---|---|");
    let _ = writeln!(out, "| {} | Modality Worklist Information Model - FIND |", dimse::MODALITY_WORKLIST);
    let _ = writeln!(out, "| {} | Modality Performed Procedure Step |", dimse::PERFORMED_PROCEDURE_STEP);
    let _ = writeln!(out, "\n### Attributes of the worklist\n\n| tag | keyword | VR | matches |\n|---|---|---|---|");
    worklist_rows(dimse::worklist_attributes(), "", out);
    out.push('\n');
}

fn worklist_rows(rows: &[dimse::WorklistAttribute], place: &str, out: &mut String) {
    for row in rows {
        let rule = if row.within.is_empty() { matching(row.matching) } else { "by one item" };
        let _ = writeln!(out, "| {place}{:08X} | {} | {} | {rule} |", row.tag, row.keyword(), row.vr);
        worklist_rows(row.within, &format!("{place}{:08X}.", row.tag), out);
    }
}

fn routes(out: &mut String) {
    let _ = writeln!(out, "### Resources\n\n| method | path | answers | role | |\n|---|---|---|---|---|");
    for route in routes::ROUTES {
        let verb = route.verb.name();
        let role = match route.access {
            routes::Access::Public => "anybody",
            routes::Access::Role(Role::Reader) => "reader",
            routes::Access::Role(Role::Sender) => "sender",
            routes::Access::Role(Role::Admin) => "admin",
        };
        let root = if route.mount == routes::Mount::Dicomweb { "…" } else { "" };
        let produces: Vec<String> = route.produces.iter().map(|media| format!("`{media}`")).collect();
        let (path, summary) = (route.path, cell(route.summary));
        let _ = writeln!(out, "| {verb} | `{root}{path}` | {} | {role} | {summary} |", produces.join(", "));
    }
    out.push('\n');
}

fn media_types(out: &mut String) {
    let _ = writeln!(
        out,
        "### Media types of frames\n\n| stored transfer syntax | frame as stored | decoded |\n|---|---|---|"
    );
    for (syntax, media) in FRAME_MEDIA {
        let decoded = if archive::transcode::is_decoded(syntax) { "yes" } else { "" };
        let _ = writeln!(out, "| {syntax} | `{media}` | {decoded} |");
    }
    let _ = writeln!(out, "\n| media type asked without a transfer syntax | encoded in |\n|---|---|");
    for (media, syntax) in FRAME_DEFAULTS {
        let _ = writeln!(out, "| `{media}` | {syntax} |");
    }
    let _ = writeln!(out, "\n### Transfer syntaxes made on retrieval\n\n| UID | name |\n|---|---|");
    let row = |out: &mut String, syntax: &str| {
        let known = dimse::transfer_syntaxes().iter().find(|one| one.uid == syntax);
        let _ = writeln!(out, "| {syntax} | {} |", known.map_or("", |known| known.name));
    };
    archive::transcode::offered().into_iter().for_each(|syntax| row(out, syntax));
    let _ = writeln!(out, "\n### Transfer syntaxes made with loss, where they are named\n\n| UID | name |\n|---|---|");
    archive::transcode::offered_lossy().into_iter().for_each(|syntax| row(out, syntax));
    out.push('\n');
}

fn attributes(out: &mut String) {
    for (level, title) in
        [(Level::Study, "patient and study"), (Level::Series, "series"), (Level::Instance, "instance")]
    {
        let _ = writeln!(
            out,
            "### Attributes: {title}\n\n| tag | keyword | VR | matches | in every answer | |\n|---|---|---|---|---|---|"
        );
        for row in ATTRIBUTES.iter().filter(|row| row.level == level) {
            let _ = writeln!(out, "{}", attribute(row));
        }
        out.push('\n');
    }
}

fn matching(rule: Matching) -> &'static str {
    match rule {
        Matching::Uid => "UID, list of UIDs",
        Matching::Code => "exact case, `*` `?`",
        Matching::Text => "any case and accents, `*` `?`",
        Matching::Name => "name, see above",
        Matching::Date => "date, range",
        Matching::Time => "time, range",
        Matching::Number => "number",
        Matching::ReturnOnly => "returned only",
    }
}

fn attribute(row: &Attribute) -> String {
    let matching = matching(row.matching);
    let always = if row.default { "yes" } else { "" };
    let kept = match row.kept {
        Kept::Extracted => "",
        Kept::Derived | Kept::Stated => "computed",
    };
    format!("| {} | {} | {} | {matching} | {always} | {kept} |", row.key, row.keyword, row.vr)
}

fn limits(out: &mut String) {
    let _ = writeln!(out, "| limit | default | unit or meaning |\n|---|---|---|");
    let scan = dataset::Limits::default();
    let structure: [(&str, String, &str); 10] = [
        ("nesting", scan.nesting.to_string(), "sequences inside each other"),
        ("elements", scan.elements.to_string(), "elements in all, items and fragments included"),
        ("items", scan.items.to_string(), "items of one sequence"),
        ("text value", scan.text_value.to_string(), "bytes"),
        ("other value", scan.value.to_string(), "bytes, pixel data aside"),
        ("head", scan.head.to_string(), "bytes, everything but the pixel data"),
        ("fragments", scan.fragments.to_string(), "of encapsulated pixel data"),
        ("inflated", scan.inflated.to_string(), "bytes of a deflated data set"),
        ("file meta", dataset::part10::META_LIMIT.to_string(), "bytes"),
        ("patients", (u32::from(u16::MAX) + 1).to_string(), "under one Study Instance UID, in each facility"),
    ];
    for (name, value, unit) in structure {
        let _ = writeln!(out, "| {name} | {value} | {unit} |");
    }
    let config = Config::default();
    let configured = [
        ("`ingest.object_max`", config.ingest.object_max.to_string(), "one object"),
        ("`ingest.copies_max`", config.ingest.copies_max.to_string(), "different objects under one SOP Instance UID"),
        ("`dicom.associations_max`", config.dicom.associations_max.to_string(), "associations at one time"),
        ("`dicom.associations_per_source_max`", config.dicom.associations_per_source_max.to_string(), "of one source"),
        ("`dicom.pdu_max`", config.dicom.pdu_max.to_string(), "longest P-DATA-TF"),
        ("`dicom.request_max`", config.dicom.request_max.to_string(), "longest A-ASSOCIATE-RQ"),
        ("`dicom.identifier_max`", config.dicom.identifier_max.to_string(), "identifier of a C-FIND, C-MOVE or C-GET"),
        ("`dicom.identifier_keys_max`", config.dicom.identifier_keys_max.to_string(), "keys of one identifier"),
        ("`dicom.commitment_max`", config.dicom.commitment_max.to_string(), "list of a storage commitment"),
        (
            "`dicom.retrieve_objects_max`",
            config.dicom.retrieve_objects_max.to_string(),
            "objects of one C-MOVE or C-GET",
        ),
        (
            "`dicom.retrieve_ahead_max`",
            config.dicom.retrieve_ahead_max.to_string(),
            "bytes that all C-MOVEs and C-GETs together read before they send them; 32 MiB of one object",
        ),
        ("`hl7.message_max`", config.hl7.message_max.to_string(), "longest HL7 message"),
        ("`hl7.connections_max`", config.hl7.connections_max.to_string(), "MLLP connections at one time"),
        ("`http.connections_max`", config.http.connections_max.to_string(), "connections at one time"),
        ("`http.find_limit_max`", config.http.find_limit_max.to_string(), "rows of one answer"),
        ("`http.find_offset_max`", config.http.find_offset_max.to_string(), "largest `offset`"),
        ("`http.frames_max`", config.http.frames_max.to_string(), "frames in one request"),
    ];
    for (name, value, unit) in configured {
        let _ = writeln!(out, "| {name} | {value} | {unit} |");
    }
}
