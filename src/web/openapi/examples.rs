//! Examples of the plain REST interface for the OpenAPI document: bodies, and calls by curl.

use crate::routes::Endpoint;
use serde_json::{Value, json};

/// Whether a request may carry an idempotency key.
pub(super) fn takes_key(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    matches!(endpoint, E::PutPatient | E::MergePatients | E::CreateOrder | E::PutOrder | E::CancelOrder | E::SendReport)
}

/// The header of an idempotency key.
pub(super) fn key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "1 to 64 visible characters: the same request with the same key within a week has no second effect.",
        "schema": {"type": "string"},
    })
}

/// A body that is taken. Its people are made up.
pub(super) fn body(endpoint: Endpoint) -> Option<Value> {
    let example = match endpoint {
        Endpoint::PutPatient => json!({
            "name": "Nguyễn Văn An", "birth": "1978-03-05", "sex": "male",
            "national": "056078000001", "insurance": ["DN4560123456789"], "phones": ["0905000001"],
        }),
        Endpoint::MergePatients => json!({"former": "22000017"}),
        Endpoint::LinkPerson => json!({"facility": "56002", "mrn": "26000017"}),
        Endpoint::CreateOrder | Endpoint::PutOrder => json!({
            "placer": "CD-1001",
            "patient": {"mrn": "22015985", "name": "Nguyễn Văn An", "birth": "1978", "sex": "male"},
            "visit": {"number": "LK-77", "class": "O", "records": ["PSY_ACC"]},
            "accession": "A26-0001", "procedure": "Chụp CT lồng ngực", "priority": "routine",
            "steps": [{"modality": "CT", "start": "2026-11-28T08:30"}],
        }),
        Endpoint::SendReport => json!({
            "number": "KQ-1001", "mrn": "22015985", "placer": "CD-1001", "accession": "A26-0001",
            "title": "CT lồng ngực", "author": "Lê An", "status": "final",
            "contents": [{"as": "text", "heading": "Kết luận", "text": "Bình thường."}],
        }),
        Endpoint::Subscribe => json!({
            "facility": "56001", "name": "HIS", "events": ["study-available", "result"],
            "url": "https://his.example/khoanh", "secret": "a-text-of-at-least-16-bytes",
        }),
        Endpoint::RetryDeliveries => json!({"state": "dead"}),
        Endpoint::IssueShare => json!({"facility": "56001", "accession": "A26-0001", "until": "2036-12-31"}),
        Endpoint::MoveSeries => json!({
            "study": {"facility": "56001", "study": "1.2.840.1"}, "series": ["1.2.840.1.3"],
            "to": {"facility": "56001", "study": "1.2.840.2"}, "why": "wrong-patient",
        }),
        Endpoint::SplitSeries | Endpoint::UndoMove => json!({
            "study": {"facility": "56001", "study": "1.2.840.2"}, "series": ["1.2.840.1.3"],
        }),
        Endpoint::MatchStudy => json!({"placer": "CD-1001"}),
        Endpoint::AssignPatient => json!({"mrn": "22015985", "reason": "wrong patient chosen at the console"}),
        Endpoint::UndoAssign => json!({"reason": "it was right"}),
        _ => return None,
    };
    Some(example)
}

/// A call by curl.
pub(super) fn call(endpoint: Endpoint) -> Option<&'static str> {
    let call = match endpoint {
        Endpoint::FindPatients => {
            "curl -G -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/patients --data-urlencode 'name=Nguyễn Văn An' -d year=1978"
        }
        Endpoint::Patient => "curl -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/patients/22015985",
        Endpoint::PutPatient => {
            "curl -X PUT -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/patients/22015985 -d '{\"phones\": [\"0905000001\"]}'"
        }
        Endpoint::MergePatients => {
            "curl -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/patients/22015985/merge -d '{\"former\": \"22000017\"}'"
        }
        Endpoint::Unmerge => "curl -X DELETE -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/merges/1",
        Endpoint::CreateOrder => {
            "curl -H \"Authorization: Bearer $TOKEN\" -H 'Idempotency-Key: 1001-1' $ARCHIVE/api/orders -d @order.json"
        }
        Endpoint::PutOrder => {
            "curl -X PUT -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/orders/CD-1001 -d '{\"priority\": \"stat\"}'"
        }
        Endpoint::Order => "curl -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/orders/CD-1001",
        Endpoint::CancelOrder => "curl -X POST -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/orders/CD-1001/cancel",
        Endpoint::Orders => {
            "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/orders?state=scheduled&from=2026-11-28&to=2026-11-28\""
        }
        Endpoint::Worklist => {
            "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/worklist?station=CT01&date=2026-11-28&modality=CT\""
        }
        Endpoint::Available => "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/available?accession=A26-0001\"",
        Endpoint::SendReport => "curl -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/reports -d @report.json",
        Endpoint::Reports => "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/reports?accession=A26-0001\"",
        Endpoint::SearchPatients => {
            "curl -G -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/search --data-urlencode 'q=NGUYEN VAN AN 1978'"
        }
        Endpoint::LinkPerson => {
            "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/persons/patients/22015985/link?facility=56001\" -d '{\"facility\": \"56002\", \"mrn\": \"26000017\"}'"
        }
        Endpoint::Reads => {
            "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/reads?study=1.2.840.113619.2.55.3&from=2026-11-01\""
        }
        Endpoint::Messages => "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/messages?state=parked\"",
        Endpoint::IssueShare => {
            "curl -H \"Authorization: Bearer $TOKEN\" -H 'Accept: text/html' $ARCHIVE/api/shares -d '{\"accession\": \"A26-0001\"}' -o sheets.html"
        }
        Endpoint::Shares => "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/shares?mrn=22015985\"",
        Endpoint::RevokeShare => "curl -X DELETE -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/shares/ID",
        Endpoint::Timeline => "curl -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/patients/22015985/timeline",
        Endpoint::Matches => "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/matches?list=mismatch\"",
        Endpoint::MatchStudy => {
            "curl -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/matches/1.2.3/match -d '{\"placer\": \"CD-1001\"}'"
        }
        Endpoint::UndoMatch => "curl -X POST -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/matches/1.2.3/undo",
        Endpoint::AssignPatient => {
            "curl -H \"Authorization: Bearer $TOKEN\" $ARCHIVE/api/matches/1.2.3/patient -d '{\"mrn\": \"22015985\", \"reason\": \"wrong patient chosen\"}'"
        }
        _ => return of_reports(endpoint),
    };
    Some(call)
}

/// A call of a report.
fn of_reports(endpoint: Endpoint) -> Option<&'static str> {
    match endpoint {
        Endpoint::Completeness => {
            Some("curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/completeness?day=2026-11-28\"")
        }
        Endpoint::Turnaround => Some(
            "curl -H \"Authorization: Bearer $TOKEN\" \"$ARCHIVE/api/turnaround?from=2026-11-01&to=2026-11-28&baseline=2026-10\"",
        ),
        _ => None,
    }
}
