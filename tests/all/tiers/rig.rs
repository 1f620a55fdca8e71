//! The program with hot volumes and a bucket behind a relay, and the questions the tests ask it.

use crate::cold::proxy::{Proxy, Request};
use crate::cold::server::s3;
use crate::roundtrip::{KHOANH, retrieve};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};
use store::cold::{Cold, Throttle};
use tempfile::TempDir;
use testkit::http::Client;
use testkit::object::Object;
use testkit::server::{Server, log_end};
use testkit::study::{Kind, Study};

/// How long a condition is waited for.
const LIMIT: Duration = Duration::from_secs(90);

/// Copied and released at once.
pub(crate) const TO_COLD: &str = r#"
[[tier.policy]]
name = "away at once"
copy_after = "0s"
release_after = "0s"
"#;

/// Copied at once, and kept.
pub(crate) const TO_BOTH: &str = r#"
[[tier.policy]]
name = "copied at once"
copy_after = "0s"
"#;

/// Copied and released at once, and brought back whole when it is read.
pub(crate) const AND_BACK: &str = r#"
[[tier.policy]]
name = "away and back"
copy_after = "0s"
release_after = "0s"
release_unread_for = "1s"
recall = "hot"
"#;

/// A folder with a configuration, and a relay in front of the S3 server.
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) proxy: Proxy,
    pub(crate) prefix: String,
    config: PathBuf,
}

impl Rig {
    /// A rig with these policies under a prefix of its own.
    pub(crate) fn new(prefix: &str, policies: &str) -> Self {
        let server = s3();
        Self::at(&server.endpoint, &server.region, &server.bucket, prefix, policies)
    }

    /// The same at another server.
    pub(crate) fn at(endpoint: &str, region: &str, bucket: &str, prefix: &str, policies: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let proxy = Proxy::start(endpoint);
        let secret = folder.path().join("secret");
        fs::write(&secret, &s3().secret_key).expect("secret");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("for its owner");
        let config = folder.path().join("khoanh.toml");
        let text = format!(
            "[journal]\nreserve = \"0B\"\n\
             [index]\nquiet_after = \"200ms\"\n\
             [packs]\nafter = \"300ms\"\n\
             [cold]\nendpoint = \"{}\"\nregion = \"{region}\"\nbucket = \"{bucket}\"\nprefix = \"{prefix}\"\n\
             access_key = \"{}\"\nsecret_key_file = \"{}\"\npart = \"5MiB\"\nsealed = true\n\
             [tier]\nclose_after = \"0s\"\n{policies}",
            proxy.endpoint(),
            s3().access_key,
            secret.display(),
        );
        fs::write(&config, text).expect("configuration");
        Self { folder, proxy, prefix: prefix.into(), config }
    }

    /// The same with another line in its configuration.
    pub(crate) fn with(self, line: &str, other: &str) -> Self {
        let text = fs::read_to_string(&self.config).expect("configuration");
        assert!(text.contains(line), "{line} in {text}");
        fs::write(&self.config, text.replace(line, other)).expect("configuration");
        self
    }

    /// The same with other policies.
    pub(crate) fn with_policies(self, policies: &str) -> Self {
        let text = fs::read_to_string(&self.config).expect("configuration");
        let before = text.split("[[tier.policy]]").next().expect("a beginning");
        fs::write(&self.config, format!("{before}{policies}")).expect("configuration");
        self
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the program.
    pub(crate) fn start(&self) -> Server {
        self.start_at(&self.data())
    }

    /// Starts it on another data directory.
    pub(crate) fn start_at(&self, data: &Path) -> Server {
        let config = self.config.to_str().expect("a path");
        Server::start(Path::new(KHOANH), data, &["--config", config]).expect("starts")
    }

    /// A command without a server, on a data directory.
    pub(crate) fn run_at(&self, data: &Path, arguments: &[&str]) -> Output {
        let config = self.config.to_str().expect("a path");
        let arguments = [arguments, &["--config", config]].concat();
        testkit::server::command(Path::new(KHOANH), data, &arguments).expect("runs")
    }

    /// What a command says that must succeed without a server.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.run_at(&self.data(), arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out.into_owned()
    }

    /// Requests since the plan of the relay was made, but for those about catalogues: they come in their own time.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.proxy.seen().into_iter().filter(|request| !request.target.contains("catalogues")).collect()
    }

    /// A client of the bucket past the relay.
    pub(crate) fn bucket(&self, work: &Path) -> Cold {
        Cold::open(s3().options(&s3().bucket, &self.prefix, work, None), Throttle::unbounded()).expect("opens")
    }

    /// Files of packs in the hot volume.
    pub(crate) fn hot_files(&self) -> usize {
        files(&self.data().join("packs/packs"))
    }
}

/// Files below a folder.
pub(crate) fn files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let entries = entries.flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// Instances of some series of their own, small ones and one of several frames' size.
pub(crate) fn objects(seed: u64) -> Vec<Object> {
    let tiny = (0..3).flat_map(|number| Study::draw(seed, number, Kind::Tiny, 12).objects().collect::<Vec<_>>());
    tiny.chain(Study::draw(seed, 7, Kind::Ct, 3).objects()).collect()
}

/// Stores objects; every one must be acknowledged.
pub(crate) fn store(server: &Server, objects: &[Object]) {
    let mut client = Client::new(server.http, Duration::from_secs(60));
    for some in objects.chunks(10) {
        let files: Vec<&[u8]> = some.iter().map(|object| object.file.as_slice()).collect();
        let answer = client.stow("/dicom-web/studies", &files).expect("answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// Every object comes back with its data set equal to the last byte.
pub(crate) fn assert_equal(server: &Server, objects: &[Object]) {
    let mut client = Client::new(server.http, Duration::from_secs(60));
    for object in objects {
        let found = retrieve(&mut client, object).unwrap_or_else(|why| panic!("{}: {why}", object.sop_instance));
        assert!(found.data_set() == object.data_set(), "{} differs", object.sop_instance);
    }
}

/// What `khoanh tiers` says.
pub(crate) fn tiers(server: &Server, arguments: &[&str]) -> String {
    let arguments: Vec<&str> = std::iter::once("tiers").chain(arguments.iter().copied()).collect();
    let output = server.command(&arguments).expect("runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

/// `khoanh tiers status`.
pub(crate) fn status(server: &Server) -> Value {
    serde_json::from_str(&tiers(server, &["status", "--json"])).expect("JSON")
}

/// A number of the status by its pointer.
pub(crate) fn number(status: &Value, pointer: &str) -> u64 {
    status.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} in {status}"))
}

/// Waits until the status fits.
pub(crate) fn wait_for(server: &Server, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = status(server);
        if fits(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{what}: {status:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until every instance lies in a pack and all of those in the cloud only; answers how many packs.
pub(crate) fn all_cold(server: &Server, series: u64) -> u64 {
    let status = wait_for(server, "everything cold", |status| {
        number(status, "/tally/cold/packs") >= series
            && number(status, "/tally/hot/packs") == 0
            && number(status, "/tally/both/packs") == 0
    });
    number(&status, "/tally/cold/packs")
}

/// How many series the objects make.
pub(crate) fn series(objects: &[Object]) -> u64 {
    let series: std::collections::BTreeSet<_> = objects.iter().map(|object| &object.series).collect();
    series.len() as u64
}

/// Stops the program in order.
pub(crate) fn stop(server: Server) {
    let data = server.data().to_owned();
    let status = server.stop(Duration::from_secs(60)).expect("stops");
    assert!(status.success(), "{status}; its log ends:\n{}", log_end(&data));
}
