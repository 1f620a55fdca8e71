//! Reports by REST: what should be there, how long orders took, whose they are, and what counts as a look at images.

use super::charts::Hospitals;
use super::*;
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn order(accession: &str, start: &str) -> Value {
    json!({
        "patient": {"mrn": "1", "name": "Nguyễn Văn An", "birth": "1978", "sex": "male"},
        "accession": accession, "procedure": "Chụp CT ngực", "steps": [{"id": "S1", "modality": "CT", "start": start}],
    })
}

async fn status(all: &Hospitals, token: &str, path: &str) -> StatusCode {
    all.ask(token, Method::GET, path, "", "").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_of_the_callers_facilities_and_names_nobody() {
    let all = Hospitals::open().await;
    for (facility, placer) in [("56001", "P1"), ("56002", "P2")] {
        all.put(&format!("/api/orders/{placer}?facility={facility}"), order(placer, "2026-01-15T08:30")).await;
    }
    all.put("/api/orders/P3?facility=56002", order("P3", "2026-01-16T08:30")).await;
    let path = "/api/completeness?day=2026-01-15";
    let found = all.does("reader", Method::GET, path, Value::Null).await;
    assert_eq!((&found["orders"], &found["orders_without_images"]), (&json!(1), &json!(1)), "{found}");
    assert_eq!((&found["lacks"][0]["lacks"], &found["lacks"][0]["placer"]), (&json!("images"), &json!("P1")));
    assert!(!found.to_string().contains("Nguyễn"), "{found}");
    assert_eq!(status(&all, "reader", &format!("{path}&facility=56002")).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&all, "admin", &format!("{path}&facility=99999")).await, StatusCode::NOT_FOUND);
    assert_eq!(status(&all, "admin", path).await, StatusCode::BAD_REQUEST, "the token has no facility of its own");
    for wrong in ["", "?day=", "?day=15.01.2026", "?day=2026-02-30", "?day=2026-01-15&cursor=x"] {
        assert_eq!(
            status(&all, "reader", &format!("/api/completeness{wrong}")).await,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    let path = "/api/turnaround?from=2026-01-15&to=2026-01-16&baseline=2025-12";
    let seen = |found: &Value| -> Vec<String> {
        let lines = found["lines"].as_array().expect("lines").iter();
        lines.map(|line| format!("{} {} {}", line["facility"], line["modality"], line["orders"])).collect()
    };
    let found = all.does("reader", Method::GET, path, Value::Null).await;
    assert_eq!(seen(&found), [r#""56001" "all" 1"#, r#""56001" "CT" 1"#]);
    let found = all.does("admin", Method::GET, &format!("{path}&limit=1"), Value::Null).await;
    assert_eq!(found["next"], json!("56001"), "{found}");
    let found = all.does("admin", Method::GET, &format!("{path}&cursor=56001"), Value::Null).await;
    assert_eq!(seen(&found), [r#""56002" "all" 2"#, r#""56002" "CT" 2"#]);
    assert!(!found.to_string().contains("P2"), "{found}");
    assert_eq!(status(&all, "reader", &format!("{path}&facility=56002")).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&all, "admin", &format!("{path}&facility=99999")).await, StatusCode::NOT_FOUND);
    for wrong in [
        "from=2026-01-16&to=2026-01-15",
        "from=2026-01-01&to=2026-12-31",
        "from=2026-01-15",
        "from=2026-01-15&to=x",
        "from=2026-01-15&to=2026-01-15&baseline=2025",
        "from=2026-01-15&to=2026-01-15&cursor=none",
    ] {
        assert_eq!(
            status(&all, "admin", &format!("/api/turnaround?{wrong}")).await,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_images_is_recorded_once_and_their_metadata_are_no_look() {
    let all = Hospitals::open().await;
    all.put("/api/orders/P1?facility=56001", order("A1", "2026-01-15T08:30")).await;
    all.store("56001", "1.2.3", "A1", "1").await;
    let course = async || all.get("/api/orders/P1?facility=56001").await["course"].clone();
    let images = async || all.get("/api/orders/P1?facility=56001").await["images"].clone();
    let until = Instant::now() + Duration::from_secs(20);
    while images().await.is_null() {
        assert!(Instant::now() < until, "the study finds its order");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let root = "/facilities/56001/dicom-web/studies/1.2.3";
    assert_eq!(status(&all, "reader", &format!("{root}/metadata")).await, StatusCode::OK);
    assert!(course().await.is_null(), "nobody looked at images");
    assert_eq!(status(&all, "reader", root).await, StatusCode::OK);
    while course().await["opened"].is_null() {
        assert!(Instant::now() < until, "that it was opened is recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let opened = course().await;
    assert_eq!(status(&all, "reader", root).await, StatusCode::OK);
    assert_eq!(course().await, opened);
}

#[tokio::test]
async fn a_report_waits_for_the_turn_of_others_and_keeps_nobody_else_waiting() {
    let (archive, folder) = open_archive_with(|_| {});
    let app = App::new(Arc::clone(&archive), Options::default(), Tokens::open());
    let service = Service { router: router(Arc::clone(&app)), archive, _folder: folder };
    for path in ["/api/turnaround?from=2026-01-15&to=2026-01-16", "/api/completeness?day=2026-01-15&facility=DEMO0"] {
        let others = Arc::clone(&app.reports).acquire_owned().await.expect("the turn");
        let asked = service.get(path, "");
        tokio::pin!(asked);
        for _ in 0..3 {
            tokio::select! {
                biased;
                _ = &mut asked => panic!("{path}: it was made out of its turn"),
                other = service.get("/api/facilities", "") => assert_eq!(other.status, StatusCode::OK),
            }
        }
        // Whoever comes behind it waits for it.
        let next = Arc::clone(&app.reports).acquire_owned();
        tokio::pin!(next);
        tokio::select! {
            biased;
            _ = &mut next => panic!("{path}: nobody has the turn"),
            () = std::future::ready(()) => drop(others),
        }
        tokio::select! {
            biased;
            _ = &mut next => panic!("{path}: it does not wait for its turn"),
            () = std::future::ready(()) => {}
        }
        let made = asked.await;
        assert_eq!(made.status, StatusCode::OK, "{path}: {:?}", made.body);
    }
}
