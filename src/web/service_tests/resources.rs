//! Resources beyond frames and metadata: parts of bodies, tags, ZIP files, documents, reports, videos, WADO-URI,
//! capabilities, other origins, and what DELETE means.

use super::*;
use http::Method;
use std::io::Write as _;
use std::process::{Command, Stdio};

const CT: &str = "modality/ct-series/01.dcm";
const VIDEO: &str = "generated/video-h264.dcm";

/// A service with some files, and the path of each instance.
async fn with(names: &[&str]) -> (Service, Vec<String>) {
    Service::open().filled(names).await
}

async fn ask(service: &Service, method: Method, path: &str, headers: &[(header::HeaderName, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "archive.test");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    service.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_bodies_are_given_out() {
    let (service, paths) =
        with(&[CT, "syntax/CTImage.dcm_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm"]).await;
    for path in &paths {
        for (resource, accept) in [
            ("", "application/dicom; transfer-syntax=*"),
            ("/frames/1", "application/octet-stream"),
            ("/bulkdata/7FE00010", "application/octet-stream"),
            ("/pixeldata", "application/octet-stream"),
        ] {
            let uri = format!("{path}{resource}");
            let whole = service.get(&uri, accept).await;
            assert_eq!((whole.status, whole.header(header::ACCEPT_RANGES)), (StatusCode::OK, "bytes"), "{uri}");
            let length = whole.body.len();
            for (range, from, to) in [
                ("bytes=0-0".to_owned(), 0, 1),
                ("bytes=1001-1004".to_owned(), 1001, 1005),
                (format!("bytes={}-", length - 7), length - 7, length),
                ("bytes=-3".to_owned(), length - 3, length),
            ] {
                let part = ask(&service, Method::GET, &uri, &[(header::ACCEPT, accept), (header::RANGE, &range)]).await;
                assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{uri} {range}");
                assert_eq!(part.header(header::CONTENT_RANGE), format!("bytes {from}-{}/{length}", to - 1));
                assert!(whole.body.get(from..to) == Some(part.body.as_ref()), "{uri} {range}");
            }
            let beyond = format!("bytes={length}-");
            let none = ask(&service, Method::GET, &uri, &[(header::ACCEPT, accept), (header::RANGE, &beyond)]).await;
            assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE, "{uri}");
            assert_eq!(none.header(header::CONTENT_RANGE), format!("bytes */{length}"));
            let tag = whole.header(header::ETAG).to_owned();
            let known =
                ask(&service, Method::GET, &uri, &[(header::ACCEPT, accept), (header::IF_NONE_MATCH, &tag)]).await;
            assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0), "{uri}");
            let head = ask(&service, Method::HEAD, &uri, &[(header::ACCEPT, accept)]).await;
            assert_eq!((head.status, head.body.len(), head.header(header::ETAG)), (StatusCode::OK, 0, tag.as_str()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn multipart_answers_carry_weak_tags() {
    let (service, paths) = with(&[CT]).await;
    let series = paths.first().expect("stored").split("/instances/").next().expect("a series").to_owned();
    for path in
        [format!("{}/frames/1", paths[0]), series.clone(), format!("{series}/pixeldata"), format!("{series}/bulkdata")]
    {
        let whole = service.get(&path, "").await;
        assert_eq!(whole.status, StatusCode::OK, "{path} {:?}", whole.body);
        let tag = whole.header(header::ETAG).to_owned();
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        let known = ask(&service, Method::GET, &path, &[(header::IF_NONE_MATCH, &tag)]).await;
        assert_eq!(known.status, StatusCode::NOT_MODIFIED, "{path}");
    }
    let pixels = service.get(&format!("{series}/pixeldata"), "").await.parts();
    let frame = service.get(&format!("{}/frames/1", paths[0]), "application/octet-stream").await;
    assert!(pixels.len() == 1 && pixels[0].1 == frame.body);
    let values = service.get(&format!("{}/bulkdata", paths[0]), "").await.parts();
    assert!(values.iter().any(|part| part.1 == frame.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zip_file_holds_every_instance() {
    let names: Vec<String> = (1..=9).map(|n| format!("modality/mr-series/MR0{n}.dcm")).collect();
    let (service, paths) = with(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let study = paths.first().expect("stored").split("/series/").next().expect("a study").to_owned();
    let zip = service.get(&study, "application/zip; transfer-syntax=*").await;
    assert_eq!((zip.status, zip.content_type()), (StatusCode::OK, "application/zip"));
    let by_parameter = service.get(&format!("{study}?accept=application/zip"), "text/html").await;
    assert_eq!((by_parameter.status, by_parameter.content_type()), (StatusCode::OK, "application/zip"));
    let script = "import sys,io,zipfile; z=zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())); \
                  assert z.testzip() is None; print(len(z.namelist()), sum(i.file_size for i in z.infolist()))";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python.stdin.take().expect("a pipe").write_all(&zip.body).expect("written");
    let out = python.wait_with_output().expect("ends");
    let bytes: usize = names.iter().map(|name| sample(name).len()).sum();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), format!("9 {bytes}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_comes_in_xml_too() {
    let (service, paths) = with(&[CT, "modality/sr/sr.dcm"]).await;
    for path in &paths {
        let xml = service.get(&format!("{path}/metadata"), "multipart/related; type=\"application/dicom+xml\"").await;
        assert_eq!(xml.status, StatusCode::OK);
        let parts = xml.parts();
        let (media, body) = parts.first().expect("a part");
        let text = String::from_utf8(body.clone()).expect("UTF-8");
        let uid = path.rsplit('/').next().expect("a UID");
        assert_eq!(media, "application/dicom+xml");
        assert!(text.contains(&format!("<Value number=\"1\">{uid}</Value>")), "{text}");
        assert!(text.contains("keyword=\"SOPInstanceUID\"") && text.ends_with("</NativeDicomModel>\n"));
    }
    let json = service.get(&format!("{}/metadata", paths[0]), "").await.json();
    let syntax = json.pointer("/0/00083002/Value/0").and_then(|v| v.as_str());
    assert_eq!(syntax, Some("1.2.840.10008.1.2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_reports_and_videos_are_rendered() {
    let (service, paths) = with(&["modality/sr/sr.dcm", VIDEO, "generated/encapsulated-pdf.dcm"]).await;
    for (accept, resource) in [("text/html,*/*;q=0.8", "rendered"), ("application/pdf", "bulkdata/00420011")] {
        let pdf = service.get(&format!("{}/{resource}", paths[2]), accept).await;
        assert_eq!((pdf.status, pdf.content_type()), (StatusCode::OK, "application/pdf"), "{resource}");
        assert!(pdf.body.starts_with(b"%PDF"));
    }
    let report = service.get(&format!("{}/rendered", paths[0]), "text/html,application/xhtml+xml,*/*;q=0.8").await;
    assert_eq!((report.status, report.content_type()), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(report.headers.contains_key(header::CONTENT_SECURITY_POLICY));
    assert_eq!(service.get(&format!("{}/rendered", paths[0]), "image/jpeg").await.status, StatusCode::NOT_ACCEPTABLE);
    let video = format!("{}/rendered", paths[1]);
    let whole = service.get(&video, "*/*").await;
    assert_eq!((whole.status, whole.header(header::ACCEPT_RANGES)), (StatusCode::OK, "bytes"));
    assert!(whole.content_type().starts_with("video/"), "{}", whole.content_type());
    let part = ask(&service, Method::GET, &video, &[(header::RANGE, "bytes=5000-5999")]).await;
    assert!(part.status == StatusCode::PARTIAL_CONTENT && whole.body.get(5000..6000) == Some(part.body.as_ref()));
    let uri = format!("{}/bulkdata/7FE00010?accept=video/mp4", paths[1]);
    let bulk = service.get(&uri, "multipart/related").await;
    assert!(bulk.status == StatusCode::NOT_ACCEPTABLE || bulk.body == whole.body, "the parameter beats the header");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_page_may_run_nothing_and_load_nothing() {
    // A clinical document (CDA) is XML, which a browser takes for a page that may hold scripts.
    let (pdf, cda) = (b"1.2.840.10008.5.1.4.1.1.104.1", b"1.2.840.10008.5.1.4.1.1.104.2");
    let mut document = sample("generated/encapsulated-pdf.dcm");
    let places: Vec<usize> = memchr::memmem::find_iter(&document, pdf).collect();
    for at in places {
        document[at..at + cda.len()].copy_from_slice(cda);
    }
    let service = Service::open();
    let stored = service.store("/dicom-web/studies", &[&document]).await;
    assert_eq!(stored.status, StatusCode::OK, "{:?}", stored.body);
    let stored = stored.json();
    let url = stored.pointer("/00081199/Value/0/00081190/Value/0").and_then(|url| url.as_str()).expect("a URL");
    let path = url.replace("http://archive.test", "");
    for resource in ["rendered", "bulkdata/00420011"] {
        let page = service.get(&format!("{path}/{resource}"), "text/xml").await;
        assert_eq!((page.status, page.content_type()), (StatusCode::OK, "text/xml"), "{resource}");
        let policy = page.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{resource}: {policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wado_uri_names_one_object() {
    let (service, paths) = with(&[CT, "modality/sr/sr.dcm"]).await;
    let uri = |path: &str, more: &str| {
        let ids: Vec<&str> = path.split('/').collect();
        let (study, series, instance) = (ids[3], ids[5], ids[7]);
        format!("/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}{more}")
    };
    let stored = service.get(&uri(&paths[0], "&contentType=application/dicom&transferSyntax=*"), "image/png").await;
    assert!(stored.status == StatusCode::OK && stored.body == sample(CT));
    let explicit = service.get(&uri(&paths[0], "&contentType=application%2Fdicom"), "").await;
    assert_eq!(explicit.content_type(), "application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
    let report = service.get(&uri(&paths[1], "&contentType=text/html"), "").await;
    assert_eq!(report.content_type(), "text/html; charset=utf-8");
    for (path, status) in [
        (uri(&paths[0], "&contentType=application/dicom&transferSyntax=x"), 400),
        (uri(&paths[0], "&contentType=audio/midi"), 406),
        (uri(&paths[0], "&anonymize=yes"), 400),
        ("/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4".into(), 404),
        ("/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.x".into(), 400),
        ("/wado?studyUID=1.2".into(), 400),
    ] {
        assert_eq!(service.get(&path, "").await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_describe_the_service() {
    let service = Service::open();
    let options = |path: &'static str, accept: &'static str| {
        let service = &service;
        async move { ask(service, Method::OPTIONS, path, &[(header::ACCEPT, accept)]).await }
    };
    let wadl = options("/dicom-web", "application/vnd.sun.wadl+xml").await;
    assert_eq!((wadl.status, wadl.content_type()), (StatusCode::OK, "application/vnd.sun.wadl+xml"));
    let json = options("/dicom-web/studies", "application/json").await;
    assert!(json.json().pointer("/paths").is_some());
    assert_eq!(json.header(header::ALLOW), "GET, HEAD, OPTIONS, POST");
    assert_eq!(options("/dicom-web/studies", "image/png").await.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(options("/nowhere", "*/*").await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/dicom-web/capabilities", "").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_are_answered_where_they_are_named() {
    let origins = vec!["https://viewer.example.vn".to_owned()];
    let service = Service::with(Tokens::open(), Options { cors_origins: origins, ..Options::default() });
    let from = |method: Method, origin: &'static str| {
        let service = &service;
        let asked = [(header::ORIGIN, origin), (header::ACCESS_CONTROL_REQUEST_METHOD, "GET")];
        async move { ask(service, method, "/dicom-web/studies", &asked).await }
    };
    let before = from(Method::OPTIONS, "https://viewer.example.vn").await;
    assert_eq!(before.status, StatusCode::NO_CONTENT);
    assert_eq!(before.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "https://viewer.example.vn");
    assert!(before.header(header::ACCESS_CONTROL_ALLOW_HEADERS).contains("Authorization"));
    let call = from(Method::GET, "https://viewer.example.vn").await;
    assert_eq!(call.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "https://viewer.example.vn");
    let stranger = from(Method::GET, "https://elsewhere.example").await;
    assert!(!stranger.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_rejects_with_a_reason_and_destroys_nothing() {
    let (service, paths) = with(&[CT, "modality/ct-series/02.dcm"]).await;
    let series = paths[0].split("/instances/").next().expect("a series").to_owned();
    let before = service.get(&format!("{series}/metadata"), "").await;
    let silent = ask(&service, Method::DELETE, &paths[0], &[]).await;
    assert_eq!(silent.status, StatusCode::BAD_REQUEST);
    assert_eq!(service.get(&paths[0], "").await.status, StatusCode::OK);
    let done = ask(&service, Method::DELETE, &format!("{}?reason=quality", paths[0]), &[]).await;
    assert_eq!((done.status, done.json()), (StatusCode::OK, serde_json::json!({"rejected": 1, "destroyed": 0})));
    assert_eq!(service.get(&paths[0], "").await.status, StatusCode::NOT_FOUND);
    let after = service.get(&format!("{series}/metadata"), "").await;
    assert_eq!(after.json().as_array().map(Vec::len), Some(1), "the prepared document is made again");
    assert!(before.header(header::ETAG) != after.header(header::ETAG));
    let rest = ask(&service, Method::DELETE, &format!("{series}?reason=patient-safety"), &[]).await;
    assert_eq!(rest.status, StatusCode::OK);
    assert_eq!(service.get(&series, "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_never_destroys_at_any_level_and_what_it_hides_can_be_shown_again() {
    let (service, paths) = with(&[CT, "modality/ct-series/02.dcm"]).await;
    let instance = paths[0].as_str();
    let series = instance.split("/instances/").next().expect("a series");
    let study = series.split("/series/").next().expect("a study");
    let uid = study.rsplit('/').next().expect("a UID");
    let facility = model::FacilityCode::DEMO.to_string();
    let tag = |answer: &Answer| answer.header(header::ETAG).to_owned();
    for (path, count) in [(instance, 1), (series, 2), (study, 2)] {
        let before = service.get(&format!("{study}/metadata"), "").await;
        let bytes = service.get(instance, "application/dicom; transfer-syntax=*").await;
        assert_eq!(
            ask(&service, Method::DELETE, &format!("{path}?reason=broken"), &[]).await.status,
            StatusCode::BAD_REQUEST
        );
        assert_eq!(service.get(&format!("{study}/metadata"), "").await.body, before.body, "{path}");
        let done = ask(&service, Method::DELETE, &format!("{path}?reason=retention-expired"), &[]).await;
        assert_eq!(done.json(), serde_json::json!({"rejected": count, "destroyed": 0}), "{path}");
        for resource in ["", "/metadata", "/thumbnail", "/rendered", "/pixeldata"] {
            let answer = service.get(&format!("{instance}{resource}"), "").await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}{resource}");
        }
        let listed = service.get(&format!("/api/rejections?facility={facility}&study={uid}"), "").await;
        assert_eq!(listed.json()["rejected"].as_array().map(Vec::len), Some(count), "{path}");
        let of_study = serde_json::json!({"facility": facility, "study": uid});
        let wanted = serde_json::json!({"study": of_study, "reason": "a mistake"});
        let restored = service.post("/api/restorations", "application/json", wanted.to_string().into_bytes()).await;
        assert_eq!(restored.json(), serde_json::json!({ "restored": count }), "{path}");
        let again = service.post("/api/restorations", "application/json", wanted.to_string().into_bytes()).await;
        assert_eq!(again.status, StatusCode::BAD_REQUEST);
        let after = service.get(&format!("{study}/metadata"), "").await;
        assert_eq!(after.body, before.body, "{path}");
        assert_ne!(tag(&after), tag(&before), "{path}");
        assert_eq!(service.get(instance, "application/dicom; transfer-syntax=*").await.body, bytes.body, "{path}");
    }
}
