//! `khoanh retention` over the real program: from the plan to the study that answers 404 and leaves no trace, beside
//! the running server; what is refused, and that a kill between the steps changes nothing.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};
use testkit::http::Client;
use testkit::server::{Server, command};
use testkit::study::{Kind, Study};

const KHOANH: &str = env!("CARGO_BIN_EXE_khoanh");
const SEED: u64 = 0x7E4A;
const WITHIN: Duration = Duration::from_secs(60);

/// The usual term is ten years, children stay twenty.
const RULES: &str = r#"
version = 4
default = "USUAL"

[[class]]
id = "USUAL"
vi = "Thông thường"
en = "Usual"
law = "none"
term = "10 years"

[[class]]
id = "CHILD"
vi = "Trẻ em"
en = "Children"
law = "none"
term = "20 years"

[[rule]]
id = "children"
class = "CHILD"
vi = "Trẻ em lưu lâu hơn"
en = "Children stay longer"
age_below = 16
"#;

/// A folder with data directory, rules and configuration.
struct Yard {
    _folder: tempfile::TempDir,
    data: PathBuf,
    config: String,
    files: PathBuf,
}

impl Yard {
    fn new(undo_days: u16) -> Self {
        Self::quiet_after(undo_days, "100ms")
    }

    fn quiet_after(undo_days: u16, quiet_after: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let (rules, config) = (folder.path().join("rules.toml"), folder.path().join("khoanh.toml"));
        fs::write(&rules, RULES).expect("rules");
        let text = format!(
            "[index]\nquiet_after = \"{quiet_after}\"\n[retention]\nrules = {:?}\nundo_days = {undo_days}\nstudies_per_second = 1000\n",
            rules.to_str().expect("UTF-8")
        );
        fs::write(&config, text).expect("configuration");
        let files = folder.path().join("files");
        fs::create_dir(&files).expect("folder");
        let config = config.to_str().expect("UTF-8").to_owned();
        Self { data: folder.path().join("data"), config, files, _folder: folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        command(Path::new(KHOANH), &self.data, &[arguments, &["--config", &self.config]].concat()).expect("runs")
    }

    fn done(&self, arguments: &[&str]) -> String {
        expect_exit(&self.run(arguments), 0)
    }

    fn fill(&self, studies: &[Study]) {
        for (number, object) in studies.iter().flat_map(Study::objects).enumerate() {
            fs::write(self.files.join(format!("{number}.dcm")), &object.file).expect("file");
        }
        self.done(&["import", self.files.to_str().expect("UTF-8")]);
    }

    fn start(&self) -> Server {
        Server::start(Path::new(KHOANH), &self.data, &["--config", &self.config]).expect("starts")
    }

    fn progress(&self, plan: &str) -> Value {
        let answer: Value = serde_json::from_str(&self.done(&["retention", "status", plan, "--json"])).expect("JSON");
        answer["progress"].clone()
    }
}

fn expect_exit(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "out: {out}\nerr: {err}");
    if code == 0 { out } else { err }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !condition() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Studies of 1998 to 2025, of children and adults.
fn studies(count: u64) -> Vec<Study> {
    let mut studies: Vec<Study> = (0..count).map(|n| Study::draw(SEED, n, Kind::Tiny, 2)).collect();
    for (number, study) in studies.iter_mut().enumerate() {
        study.date = format!("{}0615", 1998 + number * 5 % 28);
        let born = if number % 3 == 0 { 5 } else { 40 };
        study.patient.birth_date = format!("{}0101", study.date[..4].parse::<usize>().expect("year") - born);
    }
    studies
}

/// The day a study is due, told from the law alone: years after the year of the study.
fn due_on(study: &Study, as_of_year: usize) -> bool {
    let year: usize = study.date[..4].parse().expect("year");
    let born: usize = study.patient.birth_date[..4].parse().expect("year");
    let term = if year - born < 16 { 20 } else { 10 };
    year + term < as_of_year
}

fn due(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let due = lines.filter(|line| line["line"] == "due");
    due.map(|line| line["study"]["study"].as_str().expect("a UID").to_owned()).collect()
}

#[test]
fn those_are_due_whose_years_are_over_and_a_look_changes_nothing() {
    // Nothing grows quiet meanwhile, which would be recorded.
    let yard = Yard::quiet_after(30, "1h");
    let studies = studies(24);
    yard.fill(&studies);
    let before = yard.done(&["rebuild-index"]);
    assert!(before.contains("equals the one before"), "{before}");
    for year in [2009, 2020, 2027, 2030] {
        let as_of = format!("{year}-01-01");
        let look = ["retention", "plan", "--as-of", &as_of, "--by", "lan", "--dry-run", "--json"];
        let wanted: BTreeSet<String> =
            studies.iter().filter(|study| due_on(study, year)).map(|study| study.uid.clone()).collect();
        assert_eq!(due(&yard.done(&look)), wanted, "as of {as_of}, seed {SEED:#x}");
    }
    let left = fs::read_dir(yard.data.join("retention/plans")).expect("folder").count();
    assert_eq!(left, 0, "a look left a file");
    let list = yard.done(&["retention", "list"]);
    assert!(list.contains("chưa có kế hoạch"), "{list}");

    let table = yard.done(&["retention", "plan", "--as-of", "2030-01-01", "--by", "lan"]);
    assert!(table.contains("2030-01-01-1") && table.contains("hết thời hạn") && table.contains("children"), "{table}");
    let out = yard.files.join("plan.csv");
    let to_file = ["retention", "show", "2030-01-01-1", "--csv", "--out", out.to_str().expect("UTF-8")];
    yard.done(&to_file);
    let written = fs::read_to_string(&out).expect("the list");
    assert!(written.starts_with("\u{feff}plan,") && written.lines().count() > 5, "{written}");
    assert!(expect_exit(&yard.run(&to_file), 1).contains("exists"));
    assert_eq!(fs::read_to_string(&out).expect("the list"), written);

    let text = yard.data.join("retention/plans/2030-01-01-1.jsonl");
    let (show, lines) = (["retention", "show", "2030-01-01-1", "--json"], fs::read_to_string(&text).expect("the plan"));
    assert_eq!(yard.done(&show), lines);
    // Well written, its sums fit, and yet it is not what was recorded.
    fs::write(&text, lines.replace("\"class\":\"USUAL\"", "\"class\":\"CHILD\"")).expect("changed");
    let refused = expect_exit(&yard.run(&show), 1);
    assert!(refused.contains("its digest is not the recorded one"), "{refused}");
}

/// Whether any file of the data directory still has something of the study.
fn traces(data: &Path, study: &Study) -> Vec<PathBuf> {
    let object = study.object(0);
    let pixels = object.file[object.file.len() - 400..object.file.len() - 360].to_vec();
    let id = study.patient.id.clone().into_bytes();
    let (mut stack, mut found) = (vec![data.to_owned()], Vec::new());
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(fs::read_dir(&path).expect("folder").flatten().map(|entry| entry.path()));
        } else if let Ok(bytes) = fs::read(&path)
            && [&id, &pixels].iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_slice()))
        {
            found.push(path);
        }
    }
    found
}

fn status(server: &Server, study: &Study) -> u16 {
    let mut client = Client::new(server.http, WITHIN);
    client.get(&format!("/dicom-web/studies/{}/metadata", study.uid), "").expect("answer").status
}

#[test]
fn a_plan_is_executed_by_two_people_and_leaves_no_trace() {
    let yard = Yard::new(0);
    let mut studies = studies(3);
    for (study, year) in studies.iter_mut().zip([2001, 2002, 2024]) {
        study.date = format!("{year}0615");
        study.patient.birth_date = format!("{}0101", year - 40);
    }
    let [goes, held, stays] = studies.as_slice() else { panic!("three") };
    let mut ids: Vec<_> = studies.iter().map(|study| &study.patient.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "two studies of one patient tell nothing");
    yard.fill(&studies);
    let server = yard.start();
    let held_name = format!("DEMO0/{}", held.uid);
    let add =
        ["retention", "holds", "add", "--study", &held_name, "--reason", "case 7", "--owner", "Tòa án", "--by", "lan"];
    assert!(yard.done(&add).contains("H-1"));
    let made = yard.done(&["retention", "plan", "--as-of", "2026-01-01", "--by", "Lân"]);
    assert!(made.contains(goes.uid.as_str()) && made.contains("đang bị giữ"), "{made}");
    let plan = "2026-01-01-1";
    let by_author = yard.run(&["retention", "approve", plan, "--by", "LAN"]);
    assert!(expect_exit(&by_author, 1).contains("không được tự phê duyệt"));
    let early = yard.run(&["retention", "execute", plan, "--by", "lan", "--yes"]);
    assert!(expect_exit(&early, 1).contains("not approved"));
    yard.done(&["retention", "approve", plan, "--by", "Minh", "--remark", "QĐ 12"]);
    let dry = yard.done(&["retention", "execute", plan, "--by", "lan"]);
    assert!(dry.contains("--yes") && yard.progress(plan)["planned"] == 1, "{dry}");
    assert_eq!((status(&server, goes), status(&server, stays)), (200, 200));
    yard.done(&["retention", "execute", plan, "--by", "lan", "--yes"]);
    until("destroyed and swept", || {
        let progress = yard.progress(plan);
        progress["destroyed"] == 1 && progress["sweeping"] == false
    });
    assert_eq!((status(&server, goes), status(&server, held), status(&server, stays)), (404, 200, 200));
    assert_eq!(traces(&yard.data, goes), Vec::<PathBuf>::new());
    assert!(!traces(&yard.data, stays).is_empty(), "the search finds nothing at all");
    let again = yard.run(&["retention", "execute", plan, "--by", "lan", "--yes"]);
    assert!(expect_exit(&again, 1).contains("once only"));
    assert!(yard.done(&["verify"]).contains("verified 4 objects"));
    // The same study again: stored, listed, and not what was destroyed.
    let late = goes.object(0);
    let answer = Client::new(server.http, WITHIN).stow("/dicom-web/studies", &[&late.file]).expect("stow");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(yard.done(&["retention", "late"]).contains(goes.uid.as_str()));
    assert_eq!(status(&server, goes), 200);
    assert!(server.stop(WITHIN).expect("stops").success());
    let rebuilt = yard.done(&["rebuild-index"]);
    assert!(rebuilt.contains("equals the one before"), "{rebuilt}");
}

#[test]
fn a_server_that_is_killed_goes_on_with_its_plan() {
    let yard = Yard::new(0);
    let studies = studies(12);
    yard.fill(&studies);
    yard.done(&["retention", "plan", "--as-of", "2026-01-01", "--by", "lan"]);
    let plan = "2026-01-01-1";
    yard.done(&["retention", "approve", plan, "--by", "minh"]);
    let wanted = studies.iter().filter(|study| due_on(study, 2026)).count();
    assert!(wanted > 3, "{wanted}");
    let server = yard.start();
    yard.done(&["retention", "execute", plan, "--by", "lan", "--yes"]);
    server.kill().expect("killed");
    let server = yard.start();
    until("destroyed and swept", || {
        let progress = yard.progress(plan);
        progress["destroyed"] == wanted && progress["sweeping"] == false
    });
    for study in &studies {
        let gone = due_on(study, 2026);
        assert_eq!(status(&server, study), if gone { 404 } else { 200 }, "{}", study.uid);
    }
    assert!(yard.done(&["verify"]).contains(&format!("verified {} objects", 2 * (studies.len() - wanted))));
    server.kill().expect("killed");
    let rebuilt = yard.done(&["rebuild-index"]);
    assert!(rebuilt.contains("equals the one before"), "{rebuilt}");
}
