//! Compression with loss: where it is named and nowhere else, labelled, and refused with its reason.

use super::*;

const GREY: &str = "modality/rf/KarstenHilbertRF.dcm";
const WIDE: &str = "modality/ct-series/01.dcm";
const NEAR: &str = "syntax/CT1_JLSN.dcm";
const MARKS: &str = "modality/seg/seg_image_ct_true_fractional.dcm";
const BASELINE: &str = "1.2.840.10008.1.2.4.50";
const J2K: &str = "1.2.840.10008.1.2.4.91";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// A service with one file, and the path of its instance.
async fn with(name: &str) -> (Service, String) {
    let service = Service::open();
    let stored = service.store("/dicom-web/studies", &[&sample(name)]).await;
    assert_eq!(stored.status, StatusCode::OK, "{name}: {:?}", stored.body);
    let path = url_of(&stored);
    (service, path)
}

/// The path of the one instance that was stored.
fn url_of(stored: &Answer) -> String {
    let url = stored.json().pointer("/00081199/Value/0/00081190/Value/0").and_then(|v| v.as_str().map(str::to_owned));
    url.expect("a URL").replace("http://archive.test", "")
}

fn named(syntax: &str) -> String {
    format!("application/dicom; transfer-syntax={syntax}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_asked_for_with_loss_is_labelled_and_another_instance() {
    let (service, path) = with(GREY).await;
    for (syntax, method) in [(BASELINE, "ISO_10918_1"), ("1.2.840.10008.1.2.4.81", "ISO_14495_1"), (J2K, "ISO_15444_1")]
    {
        let answer = service.get(&path, &named(syntax)).await;
        assert_eq!((answer.status, answer.content_type()), (StatusCode::OK, named(syntax).as_str()));
        assert!(answer.header(header::WARNING).contains("compressed with loss"), "{:?}", answer.headers);
        assert!(answer.body == service.get(&path, &named(syntax)).await.body, "the same whenever it is asked for");
        let inside = |text: &str| answer.body.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(inside("DERIVED\\") && inside(method) && inside("Compressed with loss: "), "{syntax}");
        // It is an object like any other: an archive that has the original takes it beside it.
        let stored = service.store("/dicom-web/studies", &[&answer.body]).await;
        assert_eq!(stored.status, StatusCode::OK, "{syntax}: {:?}", stored.body);
        let derived = url_of(&stored);
        assert!(derived.contains("/instances/2.25.") && derived != path, "{derived}");
        assert_eq!(service.get(&format!("{derived}/rendered"), "image/png").await.status, StatusCode::OK);
    }
    let series = path.split("/instances/").next().expect("a series");
    let found = service.get(&format!("{series}/instances"), "").await;
    assert_eq!(found.json().as_array().map(Vec::len), Some(4), "the original and three others");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_where_it_is_not_named_or_something_else_is_as_welcome() {
    let (service, path) = with(GREY).await;
    let stored = named(EXPLICIT);
    for accept in [
        String::from("application/dicom"),
        named("*"),
        format!("{}, {}", named(BASELINE), named(EXPLICIT)),
        format!("{}, {};q=0.5", named("*"), named(J2K)),
    ] {
        let answer = service.get(&path, &accept).await;
        assert_eq!((answer.status, answer.content_type()), (StatusCode::OK, stored.as_str()), "{accept}");
        assert!(answer.header(header::WARNING).is_empty(), "{accept}");
    }
    let preferred = service.get(&path, &format!("{}, {};q=0.5", named(BASELINE), named("*"))).await;
    assert_eq!(preferred.content_type(), named(BASELINE));
    let parameter = format!("{path}?accept=application/dicom;transfer-syntax={BASELINE}");
    let asked = service.get(&parameter, "*/*").await;
    assert_eq!(asked.content_type(), named(BASELINE), "the parameter goes before the header");
    let study = path.split("/series/").next().expect("a study");
    let parts = service.get(study, "multipart/related; type=\"application/dicom\"").await.parts();
    assert!(parts.iter().all(|part| part.0 == stored));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_asked_for_with_loss_name_their_syntax() {
    let (service, path) = with(GREY).await;
    let frame = format!("{path}/frames/1");
    let wanted = format!("image/jpeg; transfer-syntax={BASELINE}");
    let answer = service.get(&frame, &wanted).await;
    assert_eq!((answer.status, answer.content_type()), (StatusCode::OK, wanted.as_str()));
    assert!(answer.body.starts_with(b"\xFF\xD8\xFF") && answer.header(header::WARNING).contains("with loss"));
    let value = service.get(&format!("{path}/pixeldata"), &wanted).await;
    assert!(value.body == answer.body && value.header(header::WARNING).contains("with loss"));
    for accept in ["image/jpeg", "image/jpeg; transfer-syntax=*"] {
        assert_eq!(service.get(&frame, accept).await.status, StatusCode::NOT_ACCEPTABLE, "{accept}");
    }
    assert!(service.get(&frame, "*/*").await.header(header::WARNING).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pixel_data_of_a_series_or_study_leaves_out_what_is_not_compressed_with_loss() {
    let (service, path) = with(WIDE).await;
    let (series, study) = (path.split("/instances/").next(), path.split("/series/").next());
    for resource in [series, study].map(|url| format!("{}/pixeldata", url.expect("a URL"))) {
        let ask = |media: &str, syntax: &str| format!("multipart/related; type={media}; transfer-syntax={syntax}");
        let refused = service.get(&resource, &ask("image/jpeg", BASELINE)).await;
        assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE, "{resource}");
        let detail = refused.json()["detail"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(detail.contains("8 bits, the image has 16"), "{detail}");
        let made = service.get(&resource, &ask("image/jp2", J2K)).await;
        assert!(made.status == StatusCode::OK && made.header(header::WARNING).contains("with loss"), "{resource}");
        assert_eq!(made.parts().len(), 1, "{resource}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_compressed_with_loss_is_refused_with_its_reason() {
    for (name, syntax, why) in [
        (WIDE, BASELINE, "JPEG Baseline holds samples of 8 bits, the image has 16"),
        (NEAR, J2K, "not compressed with loss again"),
        (MARKS, J2K, "measured or marked"),
    ] {
        let (service, path) = with(name).await;
        let refused = service.get(&path, &named(syntax)).await;
        assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE, "{name}");
        let detail = refused.json()["detail"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(detail.contains(why), "{name}: {detail}");
        let media = if syntax == BASELINE { "image/jpeg" } else { "image/jp2" };
        let frame = service.get(&format!("{path}/frames/1"), &format!("{media}; transfer-syntax={syntax}")).await;
        assert_eq!(frame.status, StatusCode::NOT_ACCEPTABLE, "{name}");
    }
    let (service, path) = with(WIDE).await;
    let answer = service.get(&path, &named(J2K)).await;
    assert_eq!((answer.status, answer.content_type()), (StatusCode::OK, named(J2K).as_str()));
}
