//! Tokens, roles, the registry, health and the headers every answer carries.

use super::*;
use http::Method;

// SHA-256 of "reader", "sender", "admin", "local".
const TOKENS: &str = r#"
[[token]]
name = "viewer"
sha256 = "3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30"
facilities = ["56001"]
home = "56001"
role = "reader"

[[token]]
name = "pacs"
sha256 = "0a367b92cf0b037dfd89960ee832d56f7fc151681bb41e53690e776f5786998a"
facilities = ["56001", "56002"]
home = "56001"
role = "sender"

[[token]]
name = "operator"
sha256 = "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918"
facilities = "all"
role = "admin"

[[token]]
name = "local operator"
sha256 = "25bf8e1a2393f1108d37029b3df5593236c755742ec93465bbafa9b290bddcf6"
facilities = ["56002"]
home = "56002"
role = "admin"
"#;

async fn call(service: &Service, method: Method, path: &str, token: &str, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "archive.test");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    service.send(request.body(Body::from(body.to_owned())).expect("a request")).await
}

async fn service() -> Service {
    let service =
        Service::with(Tokens::parse(TOKENS).expect("tokens"), Options { stow_extensions: true, ..Options::default() });
    for code in ["56001", "56002"] {
        let facility = format!(r#"{{"code":"{code}","name":"Bệnh viện {code}","kind":"hospital"}}"#);
        let answer = call(&service, Method::PUT, "/api/facilities", "admin", &facility).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    }
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_facilities_are_kept_apart() {
    let service = service().await;
    for (method, path, token, status) in [
        (Method::GET, "/dicom-web/studies", "", 401),
        (Method::GET, "/dicom-web/studies", "wrong", 401),
        (Method::GET, "/dicom-web/studies", "reader", 200),
        (Method::GET, "/facilities/56002/dicom-web/studies", "reader", 403),
        (Method::GET, "/facilities/56002/dicom-web/studies", "sender", 200),
        (Method::POST, "/dicom-web/studies", "reader", 403),
        (Method::DELETE, "/dicom-web/studies/1.2?reason=quality", "reader", 403),
        (Method::DELETE, "/dicom-web/studies/1.2/series/1.3?reason=quality", "sender", 403),
        (Method::DELETE, "/dicom-web/studies/1.2/series/1.3/instances/1.4?reason=quality", "sender", 403),
        (Method::DELETE, "/dicom-web/studies/1.2?reason=quality", "admin", 404),
        (Method::POST, "/api/restorations", "sender", 403),
        (Method::GET, "/api/rejections?facility=56001&study=1.2", "sender", 403),
        (Method::GET, "/api/sources", "sender", 403),
        (Method::GET, "/api/sources", "admin", 200),
        (Method::GET, "/metrics", "", 401),
        (Method::GET, "/metrics", "reader", 200),
        (Method::GET, "/health/live", "", 200),
        (Method::GET, "/api/openapi.json", "", 200),
        (Method::GET, "/", "", 200),
    ] {
        let answer = call(&service, method, path, token, "").await;
        assert_eq!(answer.status.as_u16(), status, "{path} as {token:?}");
        assert!(status != 401 || answer.headers.contains_key(header::WWW_AUTHENTICATE), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_another_facilitys_images() {
    let service = service().await;
    let file = sample("syntax/CT1_UNC.dcm");
    let store = |path: &'static str| {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, "Bearer sender")
            .header(header::CONTENT_TYPE, "application/dicom")
            .body(Body::from(file.clone()))
            .expect("a request");
        service.send(request)
    };
    let stored = store("/facilities/56002/dicom-web/studies").await;
    assert_eq!(stored.status, StatusCode::OK, "{:?}", stored.body);
    let count = |token: &'static str, path: &'static str| {
        let service = &service;
        async move { call(service, Method::GET, path, token, "").await.json().as_array().map_or(0, Vec::len) }
    };
    assert_eq!(count("reader", "/dicom-web/studies").await, 0);
    assert_eq!(count("sender", "/dicom-web/studies").await, 1);
    assert_eq!(count("sender", "/facilities/56001/dicom-web/studies").await, 0);
    let path = stored.json().pointer("/00081190/Value/0").and_then(|v| v.as_str().map(str::to_owned));
    let study = path.expect("a URL").rsplit('/').next().map(str::to_owned).expect("a UID");
    let hidden = call(&service, Method::GET, &format!("/dicom-web/studies/{study}/metadata"), "reader", "").await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    assert_eq!(store("/dicom-web/studies").await.status, StatusCode::OK, "the home facility has its own copy");
    let shared = call(&service, Method::GET, &format!("/dicom-web/studies/{study}"), "sender", "").await;
    assert!(shared.header(header::WARNING).contains("56001"), "{:?}", shared.headers);
}

/// A service with a series of three of facility 56001, and the paths of its study, series and first instance below any
/// root.
async fn with_series() -> (Service, [String; 3]) {
    let service = service().await;
    let files: Vec<Vec<u8>> = (1..=3).map(|number| sample(&format!("modality/ct-series/0{number}.dcm"))).collect();
    let request = Request::post("/dicom-web/studies")
        .header(header::AUTHORIZATION, "Bearer sender")
        .header(header::CONTENT_TYPE, format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}"))
        .body(Body::from(multipart(&files.iter().map(Vec::as_slice).collect::<Vec<_>>())))
        .expect("a request");
    let stored = service.send(request).await;
    assert_eq!(stored.status, StatusCode::OK, "{:?}", stored.body);
    let stored = stored.json();
    let url = stored.pointer("/00081199/Value/0/00081190/Value/0").and_then(|url| url.as_str()).expect("a URL");
    let instance = url.split_once("/dicom-web").expect("a root").1.to_owned();
    let series = instance.split_once("/instances/").expect("a series").0.to_owned();
    let study = series.split_once("/series/").expect("a study").0.to_owned();
    (service, [study, series, instance])
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rights_or_a_reason_delete_changes_nothing_at_any_level() {
    let (service, paths) = with_series().await;
    let study = &paths[0];
    let metadata = format!("/dicom-web{study}/metadata");
    let before = call(&service, Method::GET, &metadata, "reader", "").await;
    assert_eq!(before.status, StatusCode::OK);
    for path in &paths {
        for (root, token, reason, status) in [
            ("/dicom-web", "", "?reason=quality", 401),
            ("/dicom-web", "wrong", "?reason=quality", 401),
            ("/dicom-web", "reader", "?reason=quality", 403),
            ("/dicom-web", "sender", "?reason=quality", 403),
            ("/facilities/56001/dicom-web", "sender", "?reason=quality", 403),
            ("/dicom-web", "local", "?reason=quality", 404),
            ("/facilities/56001/dicom-web", "local", "?reason=quality", 403),
            ("/facilities/56002/dicom-web", "admin", "?reason=quality", 404),
            ("/dicom-web", "admin", "", 400),
            ("/dicom-web", "admin", "?reason=", 400),
            ("/dicom-web", "admin", "?reason=because", 400),
        ] {
            let answer = call(&service, Method::DELETE, &format!("{root}{path}{reason}"), token, "").await;
            assert_eq!(answer.status.as_u16(), status, "{root}{path}{reason} as {token:?}");
            assert_eq!(answer.content_type(), "application/problem+json");
        }
    }
    let after = call(&service, Method::GET, &metadata, "reader", "").await;
    assert_eq!((after.body, after.headers.get(header::ETAG)), (before.body, before.headers.get(header::ETAG)));
    let uid = study.rsplit('/').next().expect("a UID");
    let listed = format!("/api/rejections?facility=56001&study={uid}");
    let listed = call(&service, Method::GET, &listed, "admin", "").await.json();
    assert_eq!(listed["rejected"].as_array().map(Vec::len), Some(0), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_takes_an_instance_a_series_and_a_study_out_of_every_answer() {
    let (service, [study, series, instance]) = with_series().await;
    let uid = study.rsplit('/').next().expect("a UID");
    // Instances, series and studies found, and the counts of the study.
    let seen = async || {
        let mut seen = Vec::new();
        for level in ["instances", "series", "studies"] {
            let path = format!("/dicom-web/{level}?StudyInstanceUID={uid}&includefield=SOPClassesInStudy");
            let rows = call(&service, Method::GET, &path, "reader", "").await.json();
            let rows = rows.as_array().cloned().expect("an array");
            seen.push(rows.len().to_string());
            let texts = ["00201208", "00201206", "00080061", "00080062"].map(|tag| {
                rows.first()
                    .and_then(|row| row.pointer(&format!("/{tag}/Value")))
                    .map_or(String::new(), ToString::to_string)
            });
            if level == "studies" {
                seen.extend(texts);
            }
        }
        seen
    };
    let ct = "[\"1.2.840.10008.5.1.4.1.1.2\"]";
    assert_eq!(seen().await, ["3", "1", "1", "[3]", "[1]", "[\"CT\"]", ct]);
    let delete = async |path: &str| {
        let path = format!("/facilities/56001/dicom-web{path}?reason=wrong-worklist-entry");
        let answer = call(&service, Method::DELETE, &path, "admin", "").await;
        let rejected = if answer.status == StatusCode::OK { answer.json()["rejected"].as_u64() } else { None };
        (answer.status.as_u16(), rejected)
    };
    assert_eq!(delete(&instance).await, (200, Some(1)));
    assert_eq!(delete(&instance).await, (404, None));
    assert_eq!(seen().await, ["2", "1", "1", "[2]", "[1]", "[\"CT\"]", ct]);
    assert_eq!(delete(&series).await, (200, Some(2)));
    assert_eq!(seen().await, ["0", "0", "0", "", "", "", ""]);
    for path in [&study, &series, &instance] {
        assert_eq!(delete(path).await, (404, None));
        for resource in ["", "/metadata", "/rendered", "/thumbnail"] {
            let answer = call(&service, Method::GET, &format!("/dicom-web{path}{resource}"), "reader", "").await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}{resource}");
        }
    }
    let listed = format!("/api/rejections?facility=56001&study={uid}");
    let listed = call(&service, Method::GET, &listed, "admin", "").await.json();
    assert_eq!(listed["rejected"].as_array().map(Vec::len), Some(3), "{listed}");
    let wanted = serde_json::json!({"study": {"facility": "56001", "study": uid}, "reason": "a mistake"}).to_string();
    let restored = call(&service, Method::POST, "/api/restorations", "admin", &wanted).await;
    assert_eq!(restored.json(), serde_json::json!({ "restored": 3 }));
    assert_eq!(delete(&study).await, (200, Some(3)));
    assert_eq!(seen().await, ["0", "0", "0", "", "", "", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hospitals_administrator_names_neither_files_nor_the_machine_of_the_archive() {
    let service = service().await;
    let root = |more: &str| format!(r#"{{"name":"province","facility":"56002",{more}}}"#);
    let away = r#""url":"https://pacs.example/dicom-web""#;
    for (more, token, status, said) in [
        (away.to_owned(), "local", 200, ""),
        (format!(r#"{away},"token_file":"/etc/khoanh/tokens.toml""#), "local", 400, "token_file"),
        (format!(r#"{away},"authorities":"/etc/shadow""#), "local", 400, "authorities"),
        (r#""url":"http://127.0.0.1:8080/dicom-web""#.to_owned(), "local", 400, "calls.allow"),
        (r#""url":"http://169.254.169.254/""#.to_owned(), "admin", 400, "calls.allow"),
        (format!(r#"{away},"token_file":"/etc/khoanh/province.token""#), "admin", 200, ""),
        (format!(r#"{away},"token_file":"/etc/khoanh/province.token","removed":true"#), "local", 200, ""),
    ] {
        let answer = call(&service, Method::PUT, "/api/forward/roots", token, &root(&more)).await;
        assert_eq!(answer.status.as_u16(), status, "{more}: {:?}", answer.body);
        assert!(String::from_utf8_lossy(&answer.body).contains(said), "{more}: {:?}", answer.body);
    }
    // DICOM destinations, which are told of studies, too.
    let peer = |host: &str| format!(r#"{{"title":"PACS1","host":"{host}","port":104,"facility":"56002"}}"#);
    for (host, token, status) in [
        ("127.0.0.1", "local", 400),
        ("169.254.169.254", "local", 400),
        ("::1", "local", 400),
        ("10.56.1.2", "local", 200),
        ("pacs.bv56002.example", "local", 200),
        ("127.0.0.1", "admin", 200),
    ] {
        let answer = call(&service, Method::PUT, "/api/destinations", token, &peer(host)).await;
        assert_eq!(answer.status.as_u16(), status, "{host} by {token}: {:?}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_judged_of_a_study_is_asked_for_in_one_way() {
    let service = service().await;
    for path in ["/api/rejections", "/api/corrections", "/api/series/moves"] {
        for (query, token, status, place) in [
            ("study=1.2", "admin", 400, "query parameter facility"),
            ("facility=560&study=1.2", "admin", 400, "query parameter facility"),
            ("facility=56001", "admin", 400, "query parameter study"),
            ("facility=56001&study=1..2", "admin", 400, "query parameter study"),
            ("facility=56001&study=1.2", "local", 403, ""),
        ] {
            let answer = call(&service, Method::GET, &format!("{path}?{query}"), token, "").await;
            assert_eq!(answer.status.as_u16(), status, "{path}?{query}: {:?}", answer.body);
            assert!(String::from_utf8_lossy(&answer.body).contains(place), "{path}?{query}: {:?}", answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_changed_and_read_back() {
    let service = service().await;
    let source = r#"{"id":"ct-1","facility":"56001","called":null,"calling":"CT01","addresses":[{"address":"10.1.0.0","prefix":16}],
        "letters":"ascii-upper","names":"whole","text_max":16,"national_id":true,"worklist":"own"}"#;
    assert_eq!(call(&service, Method::PUT, "/api/sources", "admin", source).await.status, StatusCode::OK);
    let disabled = call(&service, Method::POST, "/api/sources/ct-1/disable", "admin", "").await;
    assert_eq!(disabled.json().get("disabled").and_then(|v| v.as_bool()), Some(true));
    let list = call(&service, Method::GET, "/api/sources", "admin", "").await.json();
    let known = list.as_array().and_then(|all| all.iter().find(|s| s.get("id").is_some_and(|id| id == "ct-1")));
    let known = known.expect("listed");
    assert!(known["letters"] == "ascii-upper" && known["text_max"] == 16 && known["worklist"] == "own", "{known}");
    for (path, body, status) in [
        ("/api/sources", "{", 400),
        ("/api/sources", r#"{"id":"x","facility":"99999","called":null,"calling":null,"addresses":[]}"#, 400),
        ("/api/facilities", r#"{"code":"560","name":"x","kind":"y"}"#, 400),
    ] {
        let answer = call(&service, Method::PUT, path, "admin", body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
    }
    let large = "x".repeat((1 << 20) + 1);
    let answer = call(&service, Method::PUT, "/api/sources", "admin", &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let missing = call(&service, Method::POST, "/api/sources/none/disable", "admin", "").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(call(&service, Method::GET, "/api/knocks", "admin", "").await.json().is_array());
    let stats = call(&service, Method::GET, "/api/stats", "admin", "").await.json();
    assert!(stats.get("total").is_some(), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_its_headers_and_every_route_is_served() {
    let service = Service::open();
    let page = service.get("/", "").await;
    assert!(String::from_utf8_lossy(&page.body).contains("Kho ảnh"));
    assert_eq!(page.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(service.get("/dicom-web/studies", "").await.header(header::CACHE_CONTROL), "private, no-cache");
    let options = call(&service, Method::OPTIONS, "/dicom-web/studies", "", "").await;
    assert_eq!(options.status, StatusCode::NO_CONTENT);
    assert!(options.header(header::ALLOW).contains("POST"), "{:?}", options.headers);
    let wrong = call(&service, Method::DELETE, "/dicom-web/studies", "", "").await;
    assert_eq!((wrong.status, wrong.content_type()), (StatusCode::METHOD_NOT_ALLOWED, "application/problem+json"));
    let head = call(&service, Method::HEAD, "/dicom-web/studies", "", "").await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    for route in crate::routes::ROUTES {
        for template in route.templates() {
            let path = template
                .replace("{facility}", "DEMO0")
                .replace("{frames}", "1")
                .replace("{*path}", "7FE00010")
                .replace(['{', '}'], "")
                .replace("study", "1.2")
                .replace("/1.2ies", "/studies");
            let answer = call(&service, Method::PATCH, &path, "", "").await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{template}: no route at {path}");
        }
    }
}
