//! Which data sets may begin or change a performed step.

use super::*;
use serde_json::json;

fn begun() -> Document {
    let begun = json!({
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00400244": {"vr": "DA", "Value": ["20260105"]},
        "00400245": {"vr": "TM", "Value": ["083000"]},
        "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]},
        "00400253": {"vr": "SH", "Value": ["PPS1"]},
        "00400270": {"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}]},
    });
    begun.as_object().expect("an object").clone()
}

fn refused(change: impl FnOnce(&mut Document)) -> (u16, Vec<u32>) {
    let mut data = begun();
    change(&mut data);
    let refused = check_begin(&data).and_then(|()| check_values(&data)).err();
    refused.map_or((0, Vec::new()), |refused| (refused.failure.status.code, Vec::from_iter(refused.attribute)))
}

#[test]
fn what_must_be_said_at_the_beginning_is_asked_for_by_name() {
    assert_eq!(refused(|_| {}), (0, Vec::new()));
    for tag in REQUIRED {
        assert_eq!(refused(|data| drop(data.remove(&name(*tag)))), (0x0120, vec![*tag]));
        let empty = |data: &mut Document| drop(data.insert(name(*tag), json!({"vr": "LO"})));
        assert_eq!(refused(empty), (0x0121, vec![*tag]));
    }
    let steps = |items: Value| refused(|data| drop(data.insert(name(SCHEDULED), json!({"vr": "SQ", "Value": items}))));
    let named = json!({"0020000D": {"vr": "UI", "Value": ["1.2.3"]}});
    assert_eq!(steps(json!([named, {}])), (0x0120, vec![STUDY]));
    assert_eq!(steps(json!([{"0020000D": {"vr": "UI"}}])), (0x0121, vec![STUDY]));
    assert_eq!(steps(json!([{"0020000D": {"vr": "UI", "Value": ["1.2.x"]}}])), (0x0106, vec![STUDY]));
}

#[test]
fn values_are_what_their_attributes_take() {
    let set = |tag: u32, text: &str| refused(|data| drop(data.insert(name(tag), json!({"vr": "LO", "Value": [text]}))));
    assert_eq!(set(STATE, "COMPLETED"), (0x0106, vec![STATE]), "nothing begins as done");
    assert_eq!(set(0x0040_0244, "today"), (0x0106, vec![0x0040_0244]));
    assert_eq!(set(0x0040_0251, "25"), (0x0106, vec![0x0040_0251]));
    assert_eq!(set(0x0040_0251, "0915"), (0, Vec::new()));
}
