//! What the roles of links reach, the list of several studies on a telephone, and links whose parameters no proxy sees.

use super::*;

/// The cookie of a link for a patient's studies, opened in a role and for a purpose.
async fn opened(province: &Province, id: &str, role: &str, purpose: &str) -> (String, String) {
    let claims = province.claims(id, json!({"patient": "77", "role": role, "purpose": purpose}));
    let opened = province.launch("", &hs256(SECRET, &claims)).await;
    (opened.location().to_owned(), opened.cookie())
}

async fn hospital() -> Province {
    let province = Province::open().await;
    province.store("56001", object("1.2.3", "A1", "77", "20261101")).await;
    let order = json!({
        "placer": "CD-1", "patient": {"mrn": "77", "name": "Nguyễn Văn An"}, "accession": "A1", "study": "1.2.3",
        "procedure": "Chụp CT <ngực>", "steps": [{"id": "S1", "modality": "CT", "start": "2026-11-01T08:30"}],
    });
    let headers = [(header::AUTHORIZATION, "Bearer sender")];
    let put = province.ask(Method::POST, "/api/orders?facility=56001", &headers, &order.to_string()).await;
    assert_eq!(put.status, StatusCode::OK, "{:?}", put.body);
    province
}

async fn status(province: &Province, cookie: &str, path: &str) -> u16 {
    province.with_cookie(path, cookie).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_is_refused() {
    let province = hospital().await;
    let (see, take) = ("/dicom-web/studies/1.2.3/metadata", "/dicom-web/studies/1.2.3?accept=application/zip");
    for (id, role, purpose, seen, taken) in [
        ("1", "doctor", "treatment", 200, 200),
        ("2", "Bác sĩ", "break-glass", 200, 200),
        ("3", "doctor", "research", 200, 403),
        ("4", "nurse", "treatment", 200, 403),
        ("5", "", "", 200, 403),
        ("6", "clerk", "", 403, 403),
    ] {
        let (to, cookie) = opened(&province, id, role, purpose).await;
        let wanted = if seen == 200 { "/viewer/viewer?StudyInstanceUIDs=1.2.3" } else { "/viewer/iid/studies" };
        assert_eq!(to, wanted, "{role} {purpose}");
        let found = (status(&province, &cookie, see).await, status(&province, &cookie, take).await);
        assert_eq!(found, (seen, taken), "{role} {purpose}");
        assert_eq!(status(&province, &cookie, "/dicom-web/studies").await, seen, "{role} {purpose}");
    }
    let claims = province.claims("7", json!({"patient": "77", "role": "Người bệnh"}));
    let refused = province.launch("", &hs256(SECRET, &claims)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.json()["detail"].as_str().is_some_and(|text| text.contains("links of their own")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_fits_a_telephone_and_shows_orders_to_who_may_see_them() {
    let province = hospital().await;
    province.store("56001", object("1.2.4", "A2", "77", "20261102")).await;
    for (id, role, links, orders) in [("1", "doctor", 2, true), ("2", "clerk", 0, true), ("3", "somebody", 2, false)] {
        let (to, cookie) = opened(&province, id, role, "").await;
        assert_eq!(to, "/viewer/iid/studies", "{role}");
        let page = String::from_utf8_lossy(&province.with_cookie(&to, &cookie).await.body).into_owned();
        assert!(
            page.contains("width=device-width, initial-scale=1") && page.contains("<ol class=\"found\">"),
            "{page}"
        );
        assert_eq!(page.matches("<li>").count(), 2, "{role}: {page}");
        assert_eq!(page.matches("StudyInstanceUIDs=").count(), links, "{role}: {page}");
        let shown = page.contains("Chỉ định CD-1: Chụp CT &lt;ngực&gt; · ") && page.contains("lang=\"en\"");
        assert_eq!(shown, orders, "{role}: {page}");
    }
    let style = province.ask(Method::GET, "/page/launch.css", &[], "").await;
    let style = String::from_utf8_lossy(&style.body).into_owned();
    // Narrower than 30rem: one column, places to touch at least 3rem high, long words broken.
    assert!(style.contains("@media (max-width: 30rem)") && style.contains("grid-template-columns: 1fr;"), "{style}");
    assert!(style.contains("min-height: 3rem") && style.contains("overflow-wrap: anywhere"), "{style}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_behind_a_mark_are_posted_and_in_no_address() {
    let province = hospital().await;
    let page = province.ask(Method::GET, "/viewer/iid", &[HTML], "").await;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(page.status == StatusCode::OK && text.contains("id=\"posted\""), "{text}");
    assert!(page.header(header::CONTENT_SECURITY_POLICY).contains("connect-src 'self'"));
    let script = province.ask(Method::GET, "/page/launch.js", &[], "").await;
    assert!(String::from_utf8_lossy(&script.body).contains("location.hash"));
    let program = province.ask(Method::GET, "/viewer/iid", &[], "").await;
    assert_eq!(program.status, StatusCode::BAD_REQUEST, "a program is told what is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_link_opens_is_recorded_with_its_person_role_and_purpose() {
    let province = hospital().await;
    let (_, cookie) = opened(&province, "1", "doctor", "BTG").await;
    let opened_only = province.service.reads().await;
    let [one] = opened_only.as_slice() else { panic!("{opened_only:?}") };
    assert_eq!((one.by.as_str(), one.purpose.as_str()), ("launch:56001:bs.an", "doctor, BTG"));
    assert_eq!((one.way, one.study.as_str(), one.requests, one.objects), (model::chart::Way::Launch, "1.2.3", 1, 0));
    assert_eq!(status(&province, &cookie, "/dicom-web/studies/1.2.3?accept=application/zip").await, 200);
    let read = province.service.reads().await;
    let sums = |of: &dyn Fn(&model::chart::Read) -> u64| read.iter().map(of).sum::<u64>();
    assert_eq!((sums(&|one| one.requests), sums(&|one| one.objects)), (2, 1), "{read:?}");
}
