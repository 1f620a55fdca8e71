//! A seeded life with kills: studies come, are packed, go up, are released, read back, recalled, planned, destroyed and
//! swept, while the bucket fails and the program is killed after so many requests, whatever it was doing.
//!
//! At every moment: what is answered is right, what was acknowledged is no 404 before its plan begins, and what was once
//! gone never comes back. At the end nothing lies anywhere that nobody knows, and the index is built equal from the bucket
//! alone. `KHOANH_SEED` repeats a life or lives another one.

use super::destroyed::{answer, done, progress, until, with_rules};
use super::kill::{assert_right, bad_weather, kill_after, no_uploads, objects_in_bucket};
use super::rebuild::digest;
use super::rig::*;
use crate::cold::proxy::Fault;
use std::collections::BTreeSet;
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

const SEED: u64 = 20_261_128;
const ROUNDS: usize = 10;
/// Packs are closed and go up at once, in these ways by turns.
const POLICIES: [&str; 3] = [TO_COLD, TO_BOTH, AND_BACK];

struct Life {
    rig: Rig,
    random: fastrand::Rng,
    /// Every study that was acknowledged, and whether its years are over.
    studies: Vec<(Study, bool)>,
    /// Studies that an executed plan names, by number.
    planned: BTreeSet<usize>,
    /// Those of them that were seen to be gone.
    gone: BTreeSet<usize>,
    plans: Vec<String>,
}

fn objects_of(study: &Study) -> Vec<Object> {
    study.objects().collect()
}

impl Life {
    fn begin(seed: u64) -> Self {
        let rig = with_rules(Rig::new(&format!("life-{seed}"), TO_COLD));
        let random = fastrand::Rng::with_seed(seed);
        Self { rig, random, studies: Vec::new(), planned: BTreeSet::new(), gone: BTreeSet::new(), plans: Vec::new() }
    }

    fn stores(&mut self, server: &Server) {
        for _ in 0..self.random.usize(1..3) {
            let (number, over) = (self.studies.len(), self.random.bool());
            let mut study = Study::draw(0x11FE, number as u64, Kind::Tiny, self.random.u32(2..9));
            study.date = if over { "20030615".into() } else { "20240615".into() };
            study.patient.birth_date = "19600101".into();
            store(server, &objects_of(&study));
            self.studies.push((study, over));
        }
    }

    fn plans(&mut self, server: &Server) {
        let plan = format!("2026-01-01-{}", self.plans.len() + 1);
        done(server, &["retention", "plan", "--as-of", "2026-01-01", "--by", "lan"]);
        done(server, &["retention", "approve", &plan, "--by", "minh"]);
        done(server, &["retention", "execute", &plan, "--by", "lan", "--yes"]);
        let over = self.studies.iter().enumerate().filter(|(_, (_, over))| *over);
        self.planned.extend(over.map(|(number, _)| number));
        self.plans.push(plan);
    }

    /// What is kept is right, and what is gone stays gone.
    fn looks(&mut self, server: &Server) {
        for (number, (study, _)) in self.studies.iter().enumerate() {
            if !self.planned.contains(&number) {
                assert_right(server, &objects_of(study));
                continue;
            }
            let status = answer(server, study, "/metadata");
            assert!([200, 404, 410, 503].contains(&status), "{}: {status}", study.uid);
            if self.gone.contains(&number) {
                assert!([404, 410].contains(&status), "{} came back: {status}", study.uid);
            } else if [404, 410].contains(&status) {
                self.gone.insert(number);
            }
        }
    }

    fn round(mut self, round: usize) -> Self {
        let offset = self.random.usize(..13);
        let policy = POLICIES[self.random.usize(..POLICIES.len())];
        self.rig = self.rig.with_policies(policy);
        self.rig.proxy.plan(move |request, number| bad_weather(request, number + offset));
        let server = self.rig.start();
        self.looks(&server);
        self.stores(&server);
        if self.random.u32(..3) == 0 {
            self.plans(&server);
        }
        if self.random.bool() {
            self.looks(&server);
        }
        let requests = self.rig.proxy.seen().len() + self.random.usize(..60);
        kill_after(&self.rig, server, requests);
        println!("round {round}: {} studies, {} gone, killed", self.studies.len(), self.gone.len());
        self
    }

    fn ends(mut self) {
        self.rig = self.rig.with_policies(TO_COLD);
        self.rig.proxy.plan(|_, _| Fault::None);
        let server = self.rig.start();
        self.stores(&server);
        self.plans(&server);
        for plan in &self.plans {
            until("every plan is executed", || {
                let progress = progress(&server, plan);
                progress["planned"] == 0 && progress["hidden"] == 0 && progress["sweeping"] == false
            });
        }
        let kept = self.studies.iter().enumerate().filter(|(number, _)| !self.planned.contains(number));
        let kept: Vec<Object> = kept.flat_map(|(_, (study, _))| objects_of(study)).collect();
        for number in &self.planned {
            assert_eq!(answer(&server, &self.studies[*number].0, "/metadata"), 404, "number {number}");
        }
        all_cold(&server, series(&kept));
        assert_equal(&server, &kept);
        // A series that was killed midway may lie in two packs, so that others are still to come when as many packs as
        // there are series lie there.
        let mut last = (0, 0);
        until("nothing lies in the bucket that nobody knows", || {
            let now = (all_cold(&server, series(&kept)), objects_in_bucket(&self.rig));
            if now != last {
                println!("{} packs known, {} objects in the bucket", now.0, now.1);
            }
            last = now;
            now.0 == now.1
        });
        until("no hot file that nobody knows", || self.rig.hot_files() == 0);
        no_uploads(&self.rig);
        // The catalogue entries of the last copies may not be put yet.
        server.kill().expect("killed");
        let before = digest(&self.rig.done(&["rebuild-index"]));
        for lost in ["index", "cache"] {
            let _ = std::fs::remove_dir_all(self.rig.data().join(lost));
        }
        assert_eq!(digest(&self.rig.done(&["rebuild-index"])), before, "another index from the bucket");
        let server = self.rig.start();
        assert_equal(&server, &kept);
        self.looks(&server);
        stop(server);
    }
}

#[test]
fn a_seeded_life_with_kills_loses_nothing_brings_nothing_back_and_leaves_nothing() {
    let seed = std::env::var("KHOANH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    println!("KHOANH_SEED={seed}");
    let mut life = Life::begin(seed);
    for round in 0..ROUNDS {
        life = life.round(round);
    }
    assert!(!life.planned.is_empty() && life.planned.len() < life.studies.len(), "a life without a choice");
    life.ends();
}
