//! What a patient's link keeps to itself: another patient's images, the places of others, and the processors.

use super::*;
use parking_lot::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tokio::task::{self, spawn_blocking};

/// Sessions of one link at one time (docs/SECURITY.md).
const OF_LINK: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_uid_that_two_patients_share_a_link_shows_neither() {
    let desk = Desk::open().await;
    let link = desk.issue(json!({"studies": ["1.2.3", "1.2.4"]})).await;
    let cookie = desk.opened(&link).await;
    desk.store(object_of("1.2.3", "1.2.3.9", "78")).await;
    desk.wait(10_000);
    let reads = [
        ("/dicom-web/studies/1.2.4/metadata", 200),
        ("/dicom-web/studies/1.2.3/metadata", 404),
        ("/facilities/56001/dicom-web/studies/1.2.3/series", 404),
        ("/dicom-web/studies/1.2.3/series/1.2.3.9/thumbnail", 404),
    ];
    desk.reads(&cookie, &reads).await;
    let found = desk.get("/dicom-web/studies?PatientID=78", &cookie).await;
    assert!(!text(&found).contains("1.2.3"), "{:?}", found.body);
    for cookie in [cookie, desk.opened(&link).await] {
        let page = text(&desk.get("/share", &cookie).await);
        assert!(page.contains("/series/1.2.4.1/thumbnail") && !page.contains("1.2.3"), "{page}");
        assert!(page.contains("1 of the studies cannot be seen"), "{page}");
    }
    let both = desk.api("sender", Method::POST, "/api/shares", &json!({"studies": ["1.2.3"]})).await;
    assert_eq!(both.status, StatusCode::CONFLICT, "{:?}", both.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opened_again_and_again_ends_its_own_oldest_session_alone() {
    let desk = Desk::open().await;
    let (link, other) = (desk.issue(json!({"studies": ["1.2.3"]})).await, desk.issue(json!({"accession": "A5"})).await);
    let (first, beside) = (desk.opened(&link).await, desk.opened(&other).await);
    for _ in 1..OF_LINK {
        desk.opened(&link).await;
    }
    desk.reads(&first, &[("/dicom-web/studies/1.2.3/metadata", 200)]).await;
    let last = desk.opened(&link).await;
    desk.reads(&first, &[("/dicom-web/studies/1.2.3/metadata", 401)]).await;
    desk.reads(&last, &[("/dicom-web/studies/1.2.3/metadata", 200)]).await;
    desk.reads(&beside, &[("/dicom-web/studies/1.2.5/metadata", 200)]).await;
    // A browser that opens another link gives the place of the one before back.
    let form = format!("birth=2%2F1%2F1990&code={}", other.code);
    let wrong = desk.ask(Method::POST, &other.path, &[(header::COOKIE, &last)], &form).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    desk.reads(&last, &[("/dicom-web/studies/1.2.3/metadata", 200)]).await;
    let form = format!("{BORN}&code={}", other.code);
    let opened = desk.ask(Method::POST, &other.path, &[(header::COOKIE, &last)], &form).await;
    assert_eq!(opened.status, StatusCode::SEE_OTHER, "{:?}", opened.body);
    desk.reads(&last, &[("/dicom-web/studies/1.2.3/metadata", 401)]).await;
}

/// A clock that holds up whoever asks it for a request, once, and tells that somebody is held up.
struct Gate {
    time: u64,
    reached: Sender<()>,
    open: Mutex<Option<Receiver<()>>>,
}

impl archive::clock::Clock for Gate {
    fn now_ms(&self) -> u64 {
        // The archive's own threads have names of theirs.
        if thread::current().name().is_some_and(|name| name.starts_with("tokio")) {
            let open = self.open.lock().take();
            if let Some(open) = open {
                self.reached.send(()).expect("the test waits");
                // The end of the test opens it, too.
                let _ = open.recv();
            }
        }
        self.time
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_on_a_code_keeps_the_only_turn_until_it_ends_also_when_its_asker_has_gone() {
    let (reached, told) = channel();
    let gate = Arc::new(Gate { time: NOW, reached, open: Mutex::default() });
    let desk =
        Arc::new(Desk::with(Arc::clone(&gate) as Arc<dyn archive::clock::Clock>, Arc::new(AtomicU64::new(NOW))).await);
    let link = desk.issue(json!({"studies": ["1.2.3"]})).await;
    let tries = Arc::clone(&desk.app.tries);
    assert_eq!(tries.available_permits(), 1, "more than one processor for strangers");
    let (open, opened) = channel();
    *gate.open.lock() = Some(opened);
    let (asking, path) = (Arc::clone(&desk), link.path.clone());
    let asker = tokio::spawn(async move { asking.post(&path, "birth=1%2F1%2F1990&code=1").await.status });
    spawn_blocking(move || told.recv()).await.expect("no panic").expect("the work has begun");
    asker.abort();
    assert!(asker.await.expect_err("it has gone").is_cancelled());
    assert_eq!(tries.available_permits(), 0, "the turn was given on while the work goes on");
    // Whoever comes meanwhile waits.
    let (asking, path) = (Arc::clone(&desk), link.path.clone());
    let next = tokio::spawn(async move { asking.post(&path, "birth=1%2F1%2F1990&code=1").await.status });
    task::yield_now().await;
    assert!(!next.is_finished());
    open.send(()).expect("somebody is held up");
    assert_eq!(next.await.expect("no panic"), StatusCode::FORBIDDEN);
    assert_eq!(tries.available_permits(), 1);
    desk.opened(&link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_link_shows_is_recorded_by_its_number() {
    let desk = Desk::open().await;
    let link = desk.issue(json!({"studies": ["1.2.3"]})).await;
    let cookie = desk.opened(&link).await;
    desk.reads(&cookie, &[("/dicom-web/studies/1.2.3/metadata", 200), ("/dicom-web/studies/1.2.4/metadata", 404)])
        .await;
    let read = desk.service.reads().await;
    let [one] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((one.by.clone(), one.way), (format!("share:56001:{}", link.id), model::chart::Way::Share));
    assert_eq!((one.study.as_str(), one.requests, one.objects), ("1.2.3", 1, 0));
}
