//! The bucket, the journal and the facts kept beside it are enough: index, cache and hot packs can all be lost.

use super::rig::*;

/// The digest a rebuild ends with.
fn digest(report: &str) -> String {
    let line = report.lines().find(|line| line.starts_with("after:")).unwrap_or_else(|| panic!("{report}"));
    line.trim_start_matches("after:").trim().to_owned()
}

#[test]
fn an_index_that_is_lost_is_built_equal_from_the_cloud() {
    let rig = Rig::new("rebuild", TO_COLD);
    let server = rig.start();
    let objects = objects(41);
    store(&server, &objects);
    all_cold(&server, series(&objects));
    stop(server);
    let before = rig.done(&["rebuild-index"]);
    assert!(before.contains("equals the one before"), "{before}");
    for lost in ["index", "cache"] {
        std::fs::remove_dir_all(rig.data().join(lost)).expect("removed");
    }
    assert_eq!(rig.hot_files(), 0, "something still lies hot");
    let after = rig.done(&["rebuild-index"]);
    assert_eq!(digest(&after), digest(&before), "{before}\n{after}");
    // And by the start itself.
    std::fs::remove_dir_all(rig.data().join("index")).expect("removed");
    let server = rig.start();
    assert_equal(&server, &objects);
    stop(server);
    assert_eq!(digest(&rig.done(&["rebuild-index"])), digest(&before));
}
