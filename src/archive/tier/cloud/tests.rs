//! The hours of the place, and whose notes are whose.

use super::*;

#[test]
fn hours_are_those_of_the_place() {
    for (now, offset, hour) in [(0, 7, 7), (0, 0, 0), (0, -1, 23), (23 * 3_600_000, 7, 6), (3_599_999, 7, 7)] {
        assert_eq!(hour_of(now, offset), hour, "{now} {offset}");
    }
}

#[test]
fn buckets_keep_their_notes_apart() {
    let one = CloudOptions::new("one");
    let elsewhere = CloudOptions { endpoint: Some("http://10.0.0.1".into()), ..one.clone() };
    let other = CloudOptions { prefix: "x".into(), ..one.clone() };
    let names: HashSet<_> = [&one, &elsewhere, &other].map(fingerprint).into();
    assert_eq!(names.len(), 3);
    assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
}
