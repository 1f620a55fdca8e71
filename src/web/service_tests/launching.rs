//! Launch links: what opens, what does not, and what a session may read.

mod messages;
mod roles;
mod shared_uid;

use super::*;
use crate::options::LaunchOptions;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::element::{DataSet, file_meta};

// SHA-256 of "sender".
const TOKENS: &str = r#"
[[token]]
name = "pacs"
sha256 = "0a367b92cf0b037dfd89960ee832d56f7fc151681bb41e53690e776f5786998a"
facilities = ["56001", "56002"]
home = "56001"
role = "sender"
"#;
const SECRET: &str = "a secret of 56001 with 32 letters";
const OTHER: &str = "a secret of 56002 with 32 letters";
const STRANGER: &str = "a secret of 56009 with 32 letters";
const SEED: [u8; 32] = [7; 32];
/// When everything begins, seconds since 1970 UTC.
const BEGAN: u64 = 1_795_800_000;
const HTML: (header::HeaderName, &str) = (header::ACCEPT, "text/html");

/// Two hospitals with one archive, a viewer, keys, and a clock that is turned by hand.
struct Province {
    service: Service,
    clock: Arc<AtomicU64>,
    options: Options,
    _folder: tempfile::TempDir,
}

fn tokens() -> Tokens {
    Tokens::parse(TOKENS).expect("tokens")
}

impl Province {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("index.html"), "viewer").expect("a viewer");
        let public = STANDARD.encode(Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key").public_key().as_ref());
        let keys = folder.path().join("keys.toml");
        let text = [("56001", SECRET), ("56002", OTHER), ("56009", STRANGER)]
            .map(|(code, secret)| format!("[[key]]\nfacility = \"{code}\"\nid = \"h\"\nhs256 = \"{secret}\"\n"))
            .join("\n");
        let text = format!("{text}\n[[key]]\nfacility = \"56001\"\nid = \"e\"\ned25519 = \"{public}\"\n");
        std::fs::write(&keys, text).expect("keys");
        let clock = Arc::new(AtomicU64::new(BEGAN * 1_000));
        let told = Arc::clone(&clock);
        let launch = LaunchOptions {
            keys: Some(keys),
            clock: Arc::new(move || told.load(Ordering::Relaxed)),
            ..LaunchOptions::default()
        };
        let viewer = Some(folder.path().to_owned());
        let options = Options { viewer, launch, stow_extensions: true, ..Options::default() };
        let service = Service::with(tokens(), options.clone());
        let province = Self { service, clock, options, _folder: folder };
        province.name("56001", "Bệnh viện Một").await;
        province.name("56002", "Bệnh viện Hai").await;
        province.wait(600);
        province
    }

    async fn name(&self, code: &str, name: &str) {
        let facility = model::Facility {
            code: model::FacilityCode::parse(code).expect("a code"),
            name: name.into(),
            kind: "hospital".into(),
            active_from: String::new(),
            active_to: String::new(),
        };
        let archive = Arc::clone(&self.service.archive);
        let put = move || archive.put_facility(&model::Caller::operator(), facility);
        tokio::task::spawn_blocking(put).await.expect("no panic").expect("registered");
    }

    /// Seconds since 1970 UTC.
    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed) / 1_000
    }

    fn wait(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    async fn store(&self, facility: &str, file: Vec<u8>) {
        let request = Request::post(format!("/facilities/{facility}/dicom-web/studies"))
            .header(header::AUTHORIZATION, "Bearer sender")
            .header(header::CONTENT_TYPE, "application/dicom");
        let stored = self.service.send(request.body(Body::from(file)).expect("a request")).await;
        assert_eq!(stored.status, StatusCode::OK, "{:?}", stored.body);
    }

    /// What a token says when nothing is wrong with it.
    fn claims(&self, id: &str, more: Value) -> Value {
        let now = self.now();
        let mut claims = json!({"iss": "56001", "sub": "bs.an", "name": "BS. An", "role": "doctor",
            "purpose": "treatment", "jti": id, "iat": now, "exp": now + 120});
        let (object, more) = (claims.as_object_mut().expect("an object"), more.as_object().expect("an object"));
        object.extend(more.clone());
        object.retain(|_, value| !value.is_null());
        claims
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(header::HeaderName, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "archive.test");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.service.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn launch(&self, query: &str, token: &str) -> Answer {
        let mark = if query.is_empty() { "" } else { "&" };
        self.ask(Method::GET, &format!("/viewer/iid?{query}{mark}token={token}"), &[], "").await
    }

    async fn with_cookie(&self, path: &str, cookie: &str) -> Answer {
        self.ask(Method::GET, path, &[(header::COOKIE, cookie)], "").await
    }
}

impl Answer {
    /// The cookie of a session.
    fn cookie(&self) -> String {
        let set = self.header(header::SET_COOKIE);
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
        set.split(';').next().expect("a cookie").to_owned()
    }

    fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{:?}", self.body);
        assert_eq!(self.header(header::CACHE_CONTROL), "no-store");
        self.header(header::LOCATION)
    }
}

/// An object of a study of its own.
fn object(study: &str, accession: &str, mrn: &str, date: &str) -> Vec<u8> {
    let (class, instance) = ("1.2.840.10008.5.1.4.1.1.7", format!("{study}.1.1"));
    let mut data = DataSet::new();
    data.text(0x0008_0005, "CS", "ISO_IR 192")
        .text(0x0008_0016, "UI", class)
        .text(0x0008_0018, "UI", &instance)
        .text(0x0008_0020, "DA", date)
        .text(0x0008_0030, "TM", "083000")
        .text(0x0008_0050, "SH", accession)
        .text(0x0008_0060, "CS", if study.ends_with('7') { "MR" } else { "CT" })
        .text(0x0008_1030, "LO", "Ngực <b>&")
        .text(0x0010_0010, "PN", "Nguyễn^An^Văn")
        .text(0x0010_0020, "LO", mrn)
        .text(0x0020_000D, "UI", study)
        .text(0x0020_000E, "UI", &format!("{study}.1"));
    [file_meta(class, &instance, "1.2.840.10008.1.2.1"), data.into_bytes()].concat()
}

fn parts(head: &Value, claims: &Value) -> String {
    let coded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", coded(head), coded(claims))
}

fn signed_by(secret: &[u8], text: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn hs256(secret: &str, claims: &Value) -> String {
    signed_by(secret.as_bytes(), &parts(&json!({"alg": "HS256", "typ": "JWT"}), claims))
}

fn eddsa(claims: &Value) -> String {
    let text = parts(&json!({"alg": "EdDSA", "kid": "e"}), claims);
    let key = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).as_ref()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_once_and_its_session_reads_its_study_and_nothing_else() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    province.store("56001", object("1.2.4", "A2", "77", "20261102")).await;
    let token = hs256(SECRET, &province.claims("1", json!({"study": "1.2.3", "patient": "77"})));
    let opened = province.launch("requestType=STUDY&studyUID=1.2.3", &token).await;
    assert_eq!(opened.location(), "/viewer/viewer?StudyInstanceUIDs=1.2.3");
    let cookie = opened.cookie();
    for (path, status) in [
        ("/dicom-web/studies/1.2.3/metadata", 200),
        ("/facilities/56001/dicom-web/studies/1.2.3/series", 200),
        ("/dicom-web/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1", 200),
        ("/dicom-web/studies/1.2.4/metadata", 404),
        ("/dicom-web/studies/1.2.4", 404),
        ("/facilities/56002/dicom-web/studies", 403),
        ("/dicom-web/studies/1.2.3/media?studies=1.2.4", 403),
        ("/dicom-web/thumbnails?StudyInstanceUID=1.2.4", 403),
        ("/wado?requestType=WADO&studyUID=1.2.4&seriesUID=1.2.4.1&objectUID=1.2.4.1.1", 403),
        ("/api/facilities", 403),
        ("/api/patients/77", 403),
        ("/metrics", 403),
        ("/api/session", 200),
    ] {
        let answer = province.with_cookie(path, &cookie).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {:?}", answer.body);
    }
    for query in ["", "?PatientID=77", "?StudyInstanceUID=1.2.4,1.2.3", "?0020000D=1.2.3"] {
        let found = province.with_cookie(&format!("/dicom-web/studies{query}"), &cookie).await.json();
        let uids: Vec<_> =
            found.as_array().expect("rows").iter().map(|row| row["0020000D"]["Value"][0].clone()).collect();
        assert_eq!(uids, [json!("1.2.3")], "{query}");
    }
    for path in ["/dicom-web/series", "/dicom-web/instances"] {
        let found = province.with_cookie(path, &cookie).await.json();
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{path}");
    }
    let post = province.ask(Method::POST, "/dicom-web/studies", &[(header::COOKIE, &cookie)], "").await;
    assert_eq!(post.status, StatusCode::UNAUTHORIZED, "a cookie changes nothing");
    let again = province.launch("requestType=STUDY&studyUID=1.2.3", &token).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    assert!(again.json()["detail"].as_str().is_some_and(|text| text.contains("opened before")), "{:?}", again.body);
    province.wait(31 * 60);
    assert_eq!(province.with_cookie("/dicom-web/studies", &cookie).await.status, StatusCode::UNAUTHORIZED, "it ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_ends_the_session_and_a_token_of_ones_own_counts_more() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    province.store("56001", object("1.2.4", "A2", "77", "20261102")).await;
    let token = eddsa(&province.claims("1", json!({"accession": "A1"})));
    let cookie = province.launch("", &token).await.cookie();
    let own = [(header::COOKIE, cookie.as_str()), (header::AUTHORIZATION, "Bearer sender")];
    let found = province.ask(Method::GET, "/dicom-web/studies", &own, "").await.json();
    assert_eq!(found.as_array().map(Vec::len), Some(2), "the bearer's");
    let left = province.ask(Method::DELETE, "/api/session", &[(header::COOKIE, &cookie)], "").await;
    let forgotten = left.headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    assert!(forgotten.into_iter().any(|text| text.starts_with("khoanh-launch=;") && text.contains("Max-Age=0")));
    assert_eq!(province.with_cookie("/dicom-web/studies", &cookie).await.status, StatusCode::UNAUTHORIZED);
}

/// A link that does not open, for a program and for a person.
async fn stays_shut(province: &Province, what: &str, query: &str, token: &str, status: u16) {
    let answer = province.launch(query, token).await;
    assert_eq!(answer.status.as_u16(), status, "{what}: {:?}", answer.body);
    assert!(!answer.headers.contains_key(header::SET_COOKIE), "{what}");
    assert_eq!(answer.content_type(), "application/problem+json", "{what}");
    let page = province.ask(Method::GET, &format!("/viewer/iid?{query}&token={token}"), &[HTML], "").await;
    assert_eq!((page.status.as_u16(), page.content_type()), (status, "text/html; charset=utf-8"), "{what}");
    assert!(page.header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_link_keeps_it_shut() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    let now = province.now();
    let study = |more: Value| {
        let mut claims = province.claims("x", json!({"study": "1.2.3"}));
        let object = claims.as_object_mut().expect("an object");
        object.extend(more.as_object().expect("an object").clone());
        object.retain(|_, value| !value.is_null());
        claims
    };
    let good = study(json!({}));
    let public = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key");
    let unsigned = format!("{}.", parts(&json!({"alg": "none"}), &good));
    let confused = signed_by(public.public_key().as_ref(), &parts(&json!({"alg": "HS256", "kid": "e"}), &good));
    let critical = signed_by(SECRET.as_bytes(), &parts(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &good));
    let by = |claims: Value| hs256(SECRET, &claims);
    let links = [
        ("another hospital's key", "", hs256(OTHER, &good), 403),
        ("no signature", "", unsigned, 403),
        ("the public key as a secret", "", confused, 403),
        ("extensions", "", critical, 400),
        ("a key of no hospital", "", hs256(STRANGER, &study(json!({"iss": "56009"}))), 403),
        ("expired", "", by(study(json!({"iat": now - 300, "exp": now - 31}))), 403),
        ("too far", "", by(study(json!({"exp": now + 301}))), 403),
        ("far, and no time of issue", "", by(study(json!({"iat": null, "exp": now + 331}))), 403),
        ("not yet", "", by(study(json!({"iat": now + 31, "exp": now + 60}))), 403),
        ("not before", "", by(study(json!({"nbf": now + 31}))), 403),
        ("made before the start", "", by(study(json!({"iat": BEGAN - 1, "exp": BEGAN + 200}))), 403),
        ("no end", "", by(study(json!({"exp": null}))), 400),
        ("an end in words", "", by(study(json!({"exp": "never"}))), 400),
        ("a patient that is no text", "", by(study(json!({"patient": 77}))), 400),
        ("no number", "", by(study(json!({"jti": null}))), 400),
        ("no user", "", by(study(json!({"sub": null}))), 400),
        ("for somebody else", "", by(study(json!({"aud": "pacs"}))), 400),
        ("names nothing", "", by(study(json!({"study": null}))), 403),
        ("another study", "requestType=STUDY&studyUID=1.2.4", by(good.clone()), 403),
        ("another patient", "patientID=78", by(study(json!({"patient": "77"}))), 403),
        (
            "another hospital's patient",
            "requestType=PATIENT&patientID=77%5E%5E%5E56002",
            by(study(json!({"patient": "77"}))),
            403,
        ),
        ("no such request", "requestType=SERIES", by(good.clone()), 400),
        ("no token", "", "abc".into(), 400),
        ("an end of no token", "", format!("{}x", by(good.clone())), 403),
    ];
    for (what, query, token, status) in links {
        stays_shut(&province, what, query, &token, status).await;
    }
    assert_eq!(province.launch("", &by(good)).await.status, StatusCode::SEE_OTHER, "none of them used it up");
    let head = province.ask(Method::HEAD, "/viewer/iid?token=x", &[], "").await;
    assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
    let none = province.ask(Method::GET, "/viewer/iid/state", &[], "").await;
    assert_eq!(none.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_may_be_off_by_the_skew_and_nothing_opens_twice_over_a_restart() {
    let province = Province::open().await;
    let late = province.claims("1", json!({"study": "1.2.3", "iat": province.now() - 140, "exp": province.now() - 20}));
    assert_eq!(province.launch("", &hs256(SECRET, &late)).await.status, StatusCode::SEE_OTHER);
    let early =
        province.claims("2", json!({"study": "1.2.3", "iat": province.now() + 20, "exp": province.now() + 320}));
    let early = hs256(SECRET, &early);
    assert_eq!(province.launch("", &early).await.status, StatusCode::SEE_OTHER);
    let without = province.claims("3", json!({"study": "1.2.3", "iat": null}));
    let without = hs256(SECRET, &without);
    assert_eq!(province.launch("", &without).await.status, StatusCode::SEE_OTHER);
    let again = router(App::new(Arc::clone(&province.service.archive), province.options.clone(), tokens()));
    let again = async |token: &str| {
        let request = Request::get(format!("/viewer/iid?token={token}")).body(Body::empty()).expect("a request");
        again.clone().oneshot(request).await.expect("an answer").status()
    };
    for used in [&early, &without] {
        assert_eq!(again(used).await, StatusCode::FORBIDDEN, "opened before the restart");
    }
    province.wait(40);
    let fresh = hs256(SECRET, &province.claims("4", json!({"study": "1.2.3"})));
    assert_eq!(again(&fresh).await, StatusCode::SEE_OTHER);
    assert_eq!(again(&early).await, StatusCode::FORBIDDEN);
}

/// A link signed in its parameters.
fn signed(secret: &str, parameters: &[(&str, &str)]) -> String {
    let mut lines: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines.sort();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), lines.join("\n").as_bytes());
    let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let coded = |value: &str| value.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", coded(value))).collect();
    format!("{}&signature={signature}", pairs.join("&"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_system_signs_its_parameters() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "Ả 1+", "77", "20261101")).await;
    let (issued, expires) = (province.now().to_string(), (province.now() + 60).to_string());
    let all = [
        ("requestType", "STUDY"),
        ("accessionNumber", "Ả 1+"),
        ("issuer", "56001"),
        ("user", "bs.an"),
        ("nonce", "1"),
        ("issued", issued.as_str()),
        ("expires", expires.as_str()),
    ];
    let ask = async |query: String| province.ask(Method::GET, &format!("/viewer/iid?{query}"), &[], "").await;
    let link = signed(SECRET, &all);
    for (what, wrong) in [
        ("another key", signed(OTHER, &all)),
        ("a changed value", link.replace("user=%62", "user=%63")),
        ("one more", format!("mostRecentResults=1&{link}")),
        ("a name twice", format!("user=x&{link}")),
        ("another hospital", link.replace("issuer=%35%36%30%30%31", "issuer=56002")),
        ("no end", signed(SECRET, all.get(..6).expect("six"))),
        ("a token, too", format!("{link}&token=x")),
    ] {
        assert_ne!(wrong, link, "{what}");
        let status = ask(wrong).await.status;
        assert!(matches!(status.as_u16(), 400 | 403), "{what}: {status}");
    }
    assert_eq!(ask(link.clone()).await.location(), "/viewer/viewer?StudyInstanceUIDs=1.2.3");
    assert_eq!(ask(link).await.status, StatusCode::FORBIDDEN, "used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patients_studies_are_listed_and_those_of_another_hospital_are_not() {
    let province = Province::open().await;
    for (study, date) in [("1.2.3", "20260101"), ("1.2.7", "20260601"), ("1.2.5", "20261101")] {
        province.store("56001", object(study, "A1", "77", date)).await;
    }
    province.store("56002", object("1.2.9", "A1", "77", "20261101")).await;
    let listed = async |id: &str, query: &str| {
        let token = hs256(SECRET, &province.claims(id, json!({"patient": "77"})));
        let opened = province.launch(&format!("requestType=PATIENT&patientID=77%5E%5E%5E56001{query}"), &token).await;
        let (to, cookie) = (opened.location().to_owned(), opened.cookie());
        if to.starts_with("/viewer/viewer") {
            return vec![to.rsplit('=').next().expect("a UID").to_owned()];
        }
        assert_eq!(to, "/viewer/iid/studies");
        let page = province.with_cookie(&to, &cookie).await;
        let text = String::from_utf8_lossy(&page.body).into_owned();
        assert!(text.contains("Ngực &lt;b&gt;&amp;") && !text.contains("<b>"), "{text}");
        assert!(page.header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
        let links = text.split("StudyInstanceUIDs=").skip(1);
        links.map(|rest| rest.split('"').next().expect("a UID").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("1", "").await, ["1.2.5", "1.2.7", "1.2.3"]);
    assert_eq!(listed("2", "&mostRecentResults=2").await, ["1.2.5", "1.2.7"]);
    assert_eq!(listed("3", "&modalitiesInStudy=MR,US").await, ["1.2.7"]);
    let days = "&lowerDateTime=2026-05-01T00:00:00&upperDateTime=2026-06-01T08:30:00%2B07:00";
    assert_eq!(listed("4", days).await, ["1.2.7"]);
    let other = hs256(OTHER, &province.claims("5", json!({"iss": "56002", "accession": "A1"})));
    let other = province.launch("requestType=STUDY&accessionNumber=A1", &other).await;
    assert_eq!(other.location(), "/viewer/viewer?StudyInstanceUIDs=1.2.9", "an equal number of the other hospital");
    let hidden = province.with_cookie("/dicom-web/studies/1.2.5/metadata", &other.cookie()).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_of_another_patient_is_not_opened() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    let token = hs256(SECRET, &province.claims("1", json!({"study": "1.2.3", "patient": "78"})));
    assert_eq!(province.launch("", &token).await.location(), "/viewer/iid/studies");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_come_yet_is_waited_for() {
    let province = Province::open().await;
    province.store("56002", object("1.2.8", "A1", "78", "20261101")).await;
    let token = hs256(SECRET, &province.claims("1", json!({"accession": "A1", "patient": "77"})));
    let form = format!("requestType=STUDY&accessionNumber=A1&token={token}");
    let opened = province.ask(Method::POST, "/viewer/iid", &[], &form).await;
    assert_eq!(opened.location(), "/viewer/iid/studies", "nothing of the link is in the address");
    let cookie = opened.cookie();
    let page = province.with_cookie("/viewer/iid/studies", &cookie).await;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(text.contains("Chưa nhận được ảnh") && text.contains("Not yet received"), "{text}");
    assert!(!text.contains("A1") && !text.contains("77"), "it tells nothing of what is waited for");
    let state = province.with_cookie("/viewer/iid/state", &cookie).await.json();
    assert_eq!(state, json!({"studies": 0, "withheld": 0, "open": null}));
    let early = province.with_cookie("/dicom-web/studies", &cookie).await.json();
    assert_eq!(early.as_array().map(Vec::len), Some(0), "no study is every study");
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    let state = province.with_cookie("/viewer/iid/state", &cookie).await.json();
    assert_eq!(state, json!({"studies": 1, "withheld": 0, "open": "/viewer/viewer?StudyInstanceUIDs=1.2.3"}));
    let read = province.with_cookie("/dicom-web/studies/1.2.3/metadata", &cookie).await;
    assert_eq!(read.status, StatusCode::OK);
    for file in ["/page/launch.js", "/page/launch.css"] {
        assert_eq!(province.ask(Method::GET, file, &[], "").await.status, StatusCode::OK, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hospital_with_another_name_is_the_same_by_its_code() {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    province.name("56001", "Bệnh viện Một mới").await;
    let token = eddsa(&province.claims("1", json!({"study": ["1.2.3"]})));
    assert_eq!(province.launch("", &token).await.location(), "/viewer/viewer?StudyInstanceUIDs=1.2.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_or_viewer_nothing_opens() {
    let province = Province::open().await;
    let token = hs256(SECRET, &province.claims("1", json!({"study": "1.2.3"})));
    let launch = LaunchOptions { keys: None, ..province.options.launch.clone() };
    let without_keys = Options { launch, ..province.options.clone() };
    let without_viewer = Options { viewer: None, ..province.options.clone() };
    for (options, status) in [(without_keys, 403), (without_viewer, 404)] {
        let router = router(App::new(Arc::clone(&province.service.archive), options, tokens()));
        let request = Request::get(format!("/viewer/iid?token={token}")).body(Body::empty()).expect("a request");
        assert_eq!(router.oneshot(request).await.expect("an answer").status().as_u16(), status);
    }
}
