//! Patients' links: from the desk to the page, what the page tells whom, and what its session reads.

mod guarded;

use super::*;
use crate::options::LaunchOptions;
use http::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::element::{DataSet, file_meta};

// SHA-256 of "sender", "reader".
const TOKENS: &str = r#"
[[token]]
name = "desk"
sha256 = "0a367b92cf0b037dfd89960ee832d56f7fc151681bb41e53690e776f5786998a"
facilities = ["56001", "56002"]
home = "56001"
role = "sender"

[[token]]
name = "emr"
sha256 = "3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30"
facilities = ["56001"]
role = "reader"
"#;
const DAY: u64 = 86_400_000;
/// When everything begins, milliseconds since 1970 UTC.
const NOW: u64 = 1_795_800_000_000;
const BORN: &str = "birth=5%2F3%2F1978";

/// A clock for archive and pages, turned by hand.
struct Hand(Arc<AtomicU64>);

impl archive::clock::Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A hospital with two studies of a patient, one of another, and a desk.
struct Desk {
    service: Service,
    app: Arc<App>,
    clock: Arc<AtomicU64>,
    _viewer: tempfile::TempDir,
}

fn object(study: &str, mrn: &str) -> Vec<u8> {
    object_of(study, &format!("{study}.1"), mrn)
}

fn object_of(study: &str, series: &str, mrn: &str) -> Vec<u8> {
    let (class, instance) = ("1.2.840.10008.5.1.4.1.1.7", format!("{series}.1"));
    let mut data = DataSet::new();
    data.text(0x0008_0005, "CS", "ISO_IR 192")
        .text(0x0008_0016, "UI", class)
        .text(0x0008_0018, "UI", &instance)
        .text(0x0008_0020, "DA", "20261101")
        .text(0x0008_0050, "SH", &format!("A{}", study.trim_start_matches("1.2.")))
        .text(0x0008_0060, "CS", "CT")
        .text(0x0008_1030, "LO", "Ngực <b>&")
        .text(0x0010_0010, "PN", "Nguyễn^An^Văn")
        .text(0x0010_0020, "LO", mrn)
        .text(0x0010_0030, "DA", "19780305")
        .text(0x0020_000D, "UI", study)
        .text(0x0020_000E, "UI", series);
    [file_meta(class, &instance, "1.2.840.10008.1.2.1"), data.into_bytes()].concat()
}

impl Desk {
    async fn open() -> Self {
        let clock = Arc::new(AtomicU64::new(NOW));
        Self::with(Arc::new(Hand(Arc::clone(&clock))), clock).await
    }

    async fn with(hand: Arc<dyn archive::clock::Clock>, clock: Arc<AtomicU64>) -> Self {
        let viewer = tempfile::tempdir().expect("a folder");
        std::fs::write(viewer.path().join("index.html"), "viewer").expect("a viewer");
        let told = Arc::clone(&clock);
        let (archive, folder) = open_archive_with(|options| options.clock = hand);
        let launch =
            LaunchOptions { clock: Arc::new(move || told.load(Ordering::Relaxed)), ..LaunchOptions::default() };
        let folder_of = Some(viewer.path().to_owned());
        let options = Options { viewer: folder_of, launch, stow_extensions: true, ..Options::default() };
        let tokens = Tokens::parse(TOKENS).expect("tokens");
        let app = App::new(Arc::clone(&archive), options, tokens);
        let service = Service { router: router(Arc::clone(&app)), archive, _folder: folder };
        let desk = Self { service, app, clock, _viewer: viewer };
        desk.named("Bệnh viện Một", "").await;
        for (study, mrn) in [("1.2.3", "77"), ("1.2.4", "77"), ("1.2.5", "78")] {
            desk.store(object(study, mrn)).await;
        }
        desk
    }

    async fn store(&self, file: Vec<u8>) {
        let request = Request::post("/facilities/56001/dicom-web/studies")
            .header(header::AUTHORIZATION, "Bearer sender")
            .header(header::CONTENT_TYPE, "application/dicom");
        let stored = self.service.send(request.body(Body::from(file)).expect("a request")).await;
        assert_eq!(stored.status, StatusCode::OK, "{:?}", stored.body);
    }

    async fn named(&self, name: &str, until: &str) {
        let facility = model::Facility {
            code: model::FacilityCode::parse("56001").expect("a code"),
            name: name.into(),
            kind: "hospital".into(),
            active_from: String::new(),
            active_to: until.into(),
        };
        let archive = Arc::clone(&self.service.archive);
        let put = move || archive.put_facility(&model::Caller::operator(), facility);
        tokio::task::spawn_blocking(put).await.expect("no panic").expect("registered");
    }

    fn wait(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(header::HeaderName, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "anh.test");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.service.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn api(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, path, &[(header::AUTHORIZATION, &bearer)], &body).await
    }

    async fn issue(&self, wanted: Value) -> Link {
        let answer = self.api("sender", Method::POST, "/api/shares", &wanted).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
        let view = answer.json();
        let text = |name: &str| view[name].as_str().expect(name).to_owned();
        let path = text("link").strip_prefix("http://anh.test").expect("a link of this service").to_owned();
        Link { path, code: text("code"), id: text("id"), view }
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        self.ask(Method::POST, path, &[], form).await
    }

    /// The cookie of an opened link.
    async fn opened(&self, link: &Link) -> String {
        let opened = self.post(&link.path, &format!("{BORN}&code={}", link.code)).await;
        assert_eq!(opened.status, StatusCode::SEE_OTHER, "{:?}", opened.body);
        assert_eq!(opened.header(header::LOCATION), "/share", "nothing of the link is in the address");
        let set = opened.header(header::SET_COOKIE);
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
        set.split(';').next().expect("a cookie").to_owned()
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.ask(Method::GET, path, &[(header::COOKIE, cookie)], "").await
    }

    async fn reads(&self, cookie: &str, paths: &[(&str, u16)]) {
        for (path, status) in paths {
            let answer = self.get(path, cookie).await;
            assert_eq!(answer.status.as_u16(), *status, "{path}: {:?}", answer.body);
        }
    }
}

struct Link {
    path: String,
    code: String,
    id: String,
    view: Value,
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_opens_a_link_and_looks_at_its_studies_and_nothing_else() {
    let desk = Desk::open().await;
    let link = desk.issue(json!({"facility": "56001", "studies": ["1.2.3"]})).await;
    assert!(link.view["qr"].as_str().is_some_and(|svg| svg.starts_with("<svg")), "{}", link.view);
    assert!(!link.path.contains("56001") && !link.path.contains("77"), "{}", link.path);
    let form = desk.ask(Method::GET, &link.path, &[], "").await;
    let page = text(&form);
    assert!(page.contains("Ngày sinh") && page.contains("birth date") && page.contains("width=device-width"), "{page}");
    assert!(!page.contains("<script") && !page.contains("Bệnh viện Một") && !page.contains("Nguyễn"), "{page}");
    assert!(form.header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
    let cookie = desk.opened(&link).await;
    let page = text(&desk.get("/share", &cookie).await);
    for wanted in
        ["Dành cho người bệnh", "Bệnh viện Một", "Ngực &lt;b&gt;&amp;", "/series/1.2.3.1/thumbnail", "01/11/2026"]
    {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(!page.contains("1.2.4") && !page.contains("application/zip") && !page.contains("<script"), "{page}");
    let reads = [
        ("/dicom-web/studies/1.2.3/metadata", 200),
        ("/facilities/56001/dicom-web/studies/1.2.3/series", 200),
        ("/dicom-web/studies/1.2.3", 403),
        ("/dicom-web/studies/1.2.3?accept=application/zip", 403),
        ("/dicom-web/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1", 403),
        ("/dicom-web/studies/1.2.3/bulkdata", 403),
        ("/dicom-web/studies/1.2.3/media", 403),
        ("/dicom-web/studies/1.2.4/metadata", 404),
        ("/dicom-web/studies/1.2.5/metadata", 404),
        ("/api/shares", 403),
        ("/api/patients/77", 403),
        ("/viewer/iid/studies", 403),
        ("/viewer/iid/state", 403),
    ];
    desk.reads(&cookie, &reads).await;
    let found = desk.get("/dicom-web/studies", &cookie).await.json();
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let config = "/viewer/app-config.js";
    assert!(text(&desk.get(config, &cookie).await).contains("For the patient"));
    assert!(!text(&desk.ask(Method::GET, config, &[], "").await).contains("For the patient"));
    let ended = desk.ask(Method::POST, "/share", &[(header::COOKIE, &cookie)], "").await;
    assert!(text(&ended).contains("Đã đóng") && ended.header(header::SET_COOKIE).contains("Max-Age=0"));
    desk.reads(&cookie, &[("/dicom-web/studies/1.2.3/metadata", 401)]).await;
    assert!(text(&desk.get("/share", &cookie).await).contains("Đã đóng"));
    let style = desk.ask(Method::GET, "/page/share.css", &[], "").await;
    assert_eq!(style.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_the_same_of_every_link() {
    let desk = Desk::open().await;
    let good = desk.issue(json!({"studies": ["1.2.3"]})).await;
    let short = desk.issue(json!({"studies": ["1.2.3"], "days": 0})).await;
    let revoked = desk.issue(json!({"studies": ["1.2.3"]})).await;
    let locked = desk.issue(json!({"studies": ["1.2.3"]})).await;
    let taken = desk.api("sender", Method::DELETE, &format!("/api/shares/{}", revoked.id), &Value::Null).await;
    assert_eq!((taken.status, taken.json()["state"].clone()), (StatusCode::OK, json!("revoked")));
    for _ in 0..10 {
        let wrong = desk.post(&locked.path, "birth=1978&code=").await;
        assert_eq!(wrong.status, StatusCode::FORBIDDEN);
        desk.wait(3_600_000);
    }
    desk.wait(2 * DAY);
    let wrong = "birth=1%2F1%2F1990&code=1";
    let mut pages = Vec::new();
    for path in [&good.path, &short.path, &revoked.path, &locked.path, "/share/0123456789abcdefghjkmnpqrs", "/share/x"]
    {
        let (form, answer) = (desk.ask(Method::GET, path, &[], "").await, desk.post(path, wrong).await);
        pages.push((form.status, form.body, answer.status, answer.body));
    }
    assert!(pages.windows(2).all(|two| two.first() == two.last()), "a page tells one from another");
    let told = String::from_utf8_lossy(&pages[0].3).into_owned();
    assert!(told.contains("Chưa mở được") && told.contains("It did not open"), "{told}");
    // Who knows all three is told.
    for (link, status, word) in
        [(&short, 410, "has expired"), (&revoked, 410, "taken back"), (&locked, 403, "not open")]
    {
        let answer = desk.post(&link.path, &format!("{BORN}&code={}", link.code)).await;
        assert_eq!(answer.status.as_u16(), status, "{word}");
        assert!(text(&answer).contains(word), "{}", text(&answer));
    }
    desk.opened(&good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_may_allow_to_take_the_files_along() {
    let desk = Desk::open().await;
    let link = desk.issue(json!({"accession": "A3", "download": true})).await;
    assert_eq!(link.view["studies"], json!(["1.2.3"]));
    let cookie = desk.opened(&link).await;
    let page = text(&desk.get("/share", &cookie).await);
    assert!(page.contains("/facilities/56001/dicom-web/studies/1.2.3?accept=application/zip"), "{page}");
    let file = desk.get("/facilities/56001/dicom-web/studies/1.2.3?accept=application/zip", &cookie).await;
    assert_eq!((file.status, file.content_type()), (StatusCode::OK, "application/zip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_ends_when_the_link_is_taken_back_and_shows_no_study_that_is_anothers() {
    let desk = Desk::open().await;
    let link = desk.issue(json!({"studies": ["1.2.3", "1.2.4"]})).await;
    let cookie = desk.opened(&link).await;
    desk.reads(&cookie, &[("/dicom-web/studies/1.2.3/metadata", 200), ("/dicom-web/studies/1.2.4/metadata", 200)])
        .await;
    belongs(&desk.service.archive, "1.2.3", "78").await;
    desk.wait(10_000);
    desk.reads(&cookie, &[("/dicom-web/studies/1.2.3/metadata", 404), ("/dicom-web/studies/1.2.4/metadata", 200)])
        .await;
    let page = text(&desk.get("/share", &cookie).await);
    assert!(
        !page.contains("1.2.3.1") && page.contains("1.2.4") && page.contains("1 of the studies cannot be seen"),
        "{page}"
    );
    desk.api("sender", Method::DELETE, &format!("/api/shares/{}", link.id), &Value::Null).await;
    desk.wait(10_000);
    desk.reads(&cookie, &[("/dicom-web/studies/1.2.4/metadata", 403), ("/dicom-web/studies/1.2.4/metadata", 401)])
        .await;
    assert!(text(&desk.get("/share", &cookie).await).contains("Closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_years_later_it_opens_under_the_hospitals_new_name() {
    let desk = Desk::open().await;
    let link = desk.issue(json!({"studies": ["1.2.3"], "days": 3650})).await;
    desk.named("Trung tâm Y tế khu vực Hai", "20300101").await;
    desk.wait(3650 * DAY);
    let cookie = desk.opened(&link).await;
    let page = text(&desk.get("/share", &cookie).await);
    assert!(page.contains("Trung tâm Y tế khu vực Hai") && page.contains("/series/1.2.3.1/thumbnail"), "{page}");
    desk.reads(&cookie, &[("/dicom-web/studies/1.2.3/metadata", 200)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_prints_lists_and_counts() {
    let desk = Desk::open().await;
    let link = desk.issue(json!({"studies": ["1.2.3"]})).await;
    desk.opened(&link).await;
    desk.post(&link.path, "birth=1978&code=1").await;
    let listed = desk.api("sender", Method::GET, "/api/shares?mrn=77", &Value::Null).await;
    let told = text(&listed);
    let row = listed.json()["shares"][0].clone();
    assert_eq!(
        (row["opened"].clone(), row["wrong"].clone(), row["state"].clone()),
        (json!(1), json!(1), json!("open"))
    );
    assert_eq!(row["id"], json!(link.id));
    let secret = link.path.strip_prefix("/share/").expect("a secret");
    for hidden in [secret, "secret", "check", "salt", "1978"] {
        assert!(!told.contains(hidden), "{hidden}: {told}");
    }
    let none = desk.api("sender", Method::GET, "/api/shares?mrn=78&state=open", &Value::Null).await.json();
    assert_eq!(none["shares"], json!([]));
    let html = [(header::AUTHORIZATION, "Bearer sender"), (header::ACCEPT, "text/html")];
    let sheets = desk.ask(Method::POST, "/api/shares", &html, "{\"studies\": [\"1.2.3\"]}").await;
    assert!(text(&sheets).contains("http://anh.test/share/") && text(&sheets).contains("Bệnh viện Một"));
    assert!(sheets.header(header::CONTENT_SECURITY_POLICY).contains("style-src 'sha256-"));
    for (token, path, body, status) in [
        ("reader", "/api/shares", json!({"studies": ["1.2.3"]}), 403),
        ("sender", "/api/shares", json!({"studies": ["1.2.3", "1.2.5"]}), 409),
        ("sender", "/api/shares", json!({"studies": ["1.2.9"]}), 404),
        ("sender", "/api/shares", json!({"studies": ["1.2.3"], "days": 9999}), 422),
        ("sender", "/api/shares", json!({"studies": ["1.2.3"], "colour": "red"}), 400),
        ("sender", "/api/shares", json!({"facility": "56003", "studies": ["1.2.3"]}), 403),
        ("sender", "/api/shares", json!({}), 422),
    ] {
        let answer = desk.api(token, Method::POST, path, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {:?}", answer.body);
    }
    let other = desk.api("sender", Method::DELETE, "/api/shares/nothing", &Value::Null).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}
