//! A readable catalogue that the bucket keeps from being removed: the sweep stays open until it is gone.

use super::destroyed::{done, needles, progress, search, studies, until, with_rules};
use super::rebuild::listed;
use super::rig::*;
use crate::cold::proxy::Fault;
use crate::cold::server::s3;
use std::collections::BTreeSet;
use testkit::object::Object;
use testkit::study::Study;

/// Refused attempts to remove one of these objects.
fn tries(rig: &Rig, keys: &BTreeSet<String>) -> usize {
    let named = |target: &str| keys.iter().any(|key| target.contains(key.as_str()));
    rig.proxy.seen().iter().filter(|request| request.method == "DELETE" && named(&request.target)).count()
}

#[test]
fn a_sweep_stays_open_while_a_readable_catalogue_is_locked() {
    let rig = with_rules(Rig::new("locked-list", TO_COLD).with("sealed = true\n", "sealed = false\n"));
    let [goes, _, stays] = studies();
    let objects: Vec<Object> = [&goes, &stays].into_iter().flat_map(Study::objects).collect();
    let server = rig.start();
    store(&server, &objects);
    let packs = usize::try_from(all_cold(&server, series(&objects))).expect("few");
    let work = tempfile::tempdir().expect("folder");
    let bucket = rig.bucket(work.path());
    listed(&bucket, "every pack is entered", |_, listed| listed.len() == packs);
    let mut keys = BTreeSet::new();
    let seen = bucket.list(&bucket.key("catalogues"), &mut |object| {
        keys.insert(object.key);
        Ok(())
    });
    seen.expect("listed");
    for key in &keys {
        bucket.set_hold(key, None, true).expect("a hold that is none of ours");
    }
    let place = [(s3().bucket.as_str(), "locked-list")];
    let wanted = needles(&goes);
    assert!(search(&wanted, &[], &place).found["name"] > 0, "nobody could read the catalogue");

    rig.proxy.plan(|_, _| Fault::None);
    done(&server, &["retention", "plan", "--as-of", "2026-01-01", "--by", "lan"]);
    let plan = "2026-01-01-1";
    done(&server, &["retention", "approve", plan, "--by", "minh"]);
    done(&server, &["retention", "execute", plan, "--by", "lan", "--yes"]);
    until("destroyed", || progress(&server, plan)["destroyed"] == 1);
    // One refusal ends nothing: it is tried again, at once where an operator asks, and until then something is left.
    until("tried once", || tries(&rig, &keys) > 0);
    done(&server, &["tiers", "run", "--yes"]);
    until("tried twice", || tries(&rig, &keys) > keys.len());
    assert_eq!(progress(&server, plan)["sweeping"], true, "it said that nothing was left");
    let left = search(&wanted, &[], &place);
    assert!(left.found["name"] > 0, "the lock held nothing: {left:?}");

    for key in &keys {
        bucket.set_hold(key, None, false).expect("taken away");
    }
    // By itself.
    until("swept", || progress(&server, plan)["sweeping"] == false);
    let after = search(&wanted, &[], &place);
    assert!(after.nothing() && after.versions > 0, "{after:?}");
    // No try left another catalogue behind, and the others are still entered.
    listed(&bucket, "the rest is entered", |number, listed| number <= keys.len() && listed.len() < packs);
    assert_equal(&server, &stays.objects().collect::<Vec<_>>());
    stop(server);
}
