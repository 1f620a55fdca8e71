//! Statuses and bodies for every mixture of results.

use super::*;

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

fn stored(kind: StoredKind, flags: Vec<Flag>) -> Outcome {
    let (sop_class, sop_instance, study, series) = (uid("1.1"), uid("1.4"), uid("1.2"), uid("1.3"));
    Outcome::Stored(Stored { sop_class, sop_instance, study, series, kind, flags })
}

fn refused(reason: u16, what: &str, named: bool) -> Outcome {
    let sop_instance = named.then(|| uid("1.5"));
    Outcome::Refused { sop_class: named.then(|| uid("1.1")), sop_instance, reason, what: what.into() }
}

fn report(outcomes: Vec<Outcome>) -> Report {
    Report::new(outcomes, None, "http://h/dicom-web".into())
}

#[test]
fn the_status_says_what_the_results_add_up_to() {
    let new = || stored(StoredKind::New, Vec::new());
    for (outcomes, status) in [
        (vec![new(), stored(StoredKind::Same, Vec::new())], 200),
        (vec![new(), stored(StoredKind::Conflict, Vec::new())], 202),
        (vec![stored(StoredKind::New, vec![Flag::MetaDisagrees])], 202),
        (vec![new(), refused(0xC000, "x", true)], 202),
        (vec![refused(0xC000, "x", true), refused(0xA900, "x", true)], 409),
        (vec![refused(0xA700, "out of space: free some", true)], 507),
        (vec![refused(0xA700, "busy", true), refused(0xA700, "out of space", true)], 503),
        (vec![refused(0x0124, "no", true)], 403),
        (vec![refused(0x0110, "x", true)], 500),
    ] {
        let response = report(outcomes).respond(Form::Json);
        assert_eq!(response.status().as_u16(), status);
    }
    let broken = report(vec![new()]).broken_off(&Problem::new(crate::problem::Kind::BadMultipart, "no end"));
    let body = broken.to_json();
    assert_eq!(body.pointer("/0008119A/Value/0/00081197/Value/0"), Some(&Value::from(0xC000)));
    assert_eq!(broken.respond(Form::Json).status().as_u16(), 202);
}

#[test]
fn every_instance_has_its_item() {
    let outcomes = vec![
        stored(StoredKind::Conflict, Vec::new()),
        refused(0xA900, "another study", true),
        refused(0xC000, "no DICOM", false),
    ];
    let report = report(outcomes);
    let body = report.to_json();
    let at = |pointer: &str| body.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/00081190/Value/0"), "http://h/dicom-web/studies/1.2");
    assert_eq!(at("/00081199/Value/0/00081155/Value/0"), "1.4");
    assert_eq!(at("/00081199/Value/0/00081196/Value/0"), 0x0111);
    let url = "http://h/dicom-web/studies/1.2/series/1.3/instances/1.4";
    assert_eq!(at("/00081199/Value/0/00081190/Value/0"), url);
    assert_eq!(at("/00081198/Value/0/00081155/Value/0"), "1.5");
    assert_eq!(at("/00081198/Value/0/00081197/Value/0"), 0xA900);
    assert_eq!(at("/0008119A/Value/0/00081197/Value/0"), 0xC000);
    let xml = report.to_xml();
    assert!(xml.contains("keyword=\"FailedSOPSequence\"><Item number=\"1\">") && xml.contains(">43264<"));
    let response = report.respond(Form::Xml);
    assert_eq!(response.headers().get_all(header::WARNING).iter().count(), 2);
}
