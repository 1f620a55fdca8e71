//! STOW-RS as clients send it, and as they should not.

use super::*;
use model::FacilityCode;

const CT: &str = "syntax/CT1_UNC.dcm";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_is_success_and_nothing_grows() {
    let service = Service::open();
    let file = sample(CT);
    for _ in 0..3 {
        assert_eq!(service.store("/dicom-web/studies", &[&file, &file]).await.status, StatusCode::OK);
    }
    let stats = service.get("/api/stats", "").await.json();
    assert_eq!(stats.pointer("/total/instances").and_then(|v| v.as_u64()), Some(1), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_under_a_uid_are_kept_and_listed() {
    let service = Service::open();
    let first = sample(CT);
    let mut other = first.clone();
    *other.last_mut().expect("bytes") ^= 0x55;
    assert_eq!(service.store("/dicom-web/studies", &[&first]).await.status, StatusCode::OK);
    let answer = service.store("/dicom-web/studies", &[&other]).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let reason = answer.json().pointer("/00081199/Value/0/00081196/Value/0").and_then(|v| v.as_u64());
    assert_eq!(reason, Some(0x0111));
    let list = service.get("/api/conflicts?limit=10", "").await.json();
    assert_eq!(list.pointer("/conflicts/0/copy").and_then(|v| v.as_u64()), Some(1), "{list}");
    assert_eq!(service.get("/api/conflicts?limit=0", "").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(service.get("/api/conflicts?cursor=nonsense", "").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_parts_do_not_hold_up_their_neighbours() {
    let service = Service::open();
    let good = sample(CT);
    let truncated = sample("bad/made/trunc-in-pixeldata.dcm");
    let answer = service.store("/dicom-web/studies", &[b"no DICOM at all", &good, &truncated]).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
    let body = answer.json();
    let count = |tag: &str| body.pointer(&format!("/{tag}/Value")).and_then(|v| v.as_array()).map_or(0, Vec::len);
    assert_eq!((count("00081199"), count("00081198"), count("0008119A")), (1, 1, 1), "{body}");
    assert!(answer.headers.contains_key(header::WARNING));
    let only_bad = service.store("/dicom-web/studies", &[&truncated]).await;
    assert_eq!(only_bad.status, StatusCode::CONFLICT);
    let instances = service.get("/dicom-web/instances", "").await.json();
    assert_eq!(instances.as_array().map(Vec::len), Some(1), "nothing half-stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_in_the_path_must_be_the_study_of_the_instance() {
    let service = Service::open();
    let answer = service.store("/dicom-web/studies/1.2.3", &[&sample(CT)]).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    let reason = answer.json().pointer("/00081198/Value/0/00081197/Value/0").and_then(|v| v.as_u64());
    assert_eq!(reason, Some(0xA900));
    assert_eq!(service.store("/dicom-web/studies/1.2.x", &[&sample(CT)]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_break_the_rules_get_the_right_status() {
    let service = Service::open();
    let (file, path) = (sample(CT), "/dicom-web/studies");
    let good = multipart(&[&file]);
    let typed = |rest: &str| format!("multipart/related; type=\"application/dicom\"{rest}");
    for (content_type, status) in [
        (typed(""), 400),
        (typed(&format!("; boundary={}", "x".repeat(71))), 400),
        (typed("; boundary=another"), 400),
        (format!("multipart/related; type=\"application/dicom+json\"; boundary={BOUNDARY}"), 400),
        (format!("multipart/related; type=\"image/jpeg\"; boundary={BOUNDARY}"), 415),
        (format!("multipart/form-data; boundary={BOUNDARY}"), 415),
        ("application/json".into(), 415),
        ("nonsense".into(), 415),
    ] {
        let answer = service.post(path, &content_type, good.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{content_type}");
        assert_eq!(answer.content_type(), "application/problem+json");
    }
    let content_type = typed(&format!("; boundary={BOUNDARY}"));
    let empty = format!("--{BOUNDARY}--\r\n");
    assert_eq!(service.post(path, &content_type, empty).await.status, StatusCode::BAD_REQUEST);
    let unclosed = good.get(..good.len() - 10).expect("long enough").to_vec();
    assert_eq!(service.post(path, &content_type, unclosed).await.status, StatusCode::BAD_REQUEST);
    let found = service.get("/dicom-web/instances", "").await.json();
    assert_eq!(found, serde_json::json!([]), "nothing of these bodies is stored");
    let bare = service.post(path, "application/dicom", file.clone()).await;
    assert_eq!(bare.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "an extension that is off by default");
    let extended = Service::with(Tokens::open(), Options { stow_extensions: true, ..Options::default() });
    assert_eq!(extended.post(path, "application/dicom", file).await.status, StatusCode::OK, "one bare object");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_part_of_another_type_is_passed_over_in_bounded_memory() {
    let service = Service::open();
    let head = format!("--{BOUNDARY}\r\nContent-Type: application/dicom+json\r\n\r\n");
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let pieces = std::iter::once(Bytes::from(head))
        .chain(std::iter::repeat_n(piece, 100))
        .chain(std::iter::once(Bytes::from(tail)))
        .map(Ok::<_, std::io::Error>);
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let content_type = format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}");
    let answer = service.post("/dicom-web/studies", &content_type, body).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/dicom+json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_archive_answers_503_and_others_read_on() {
    let service = Service::open();
    let file = sample(CT);
    assert_eq!(service.store("/dicom-web/studies", &[&file]).await.status, StatusCode::OK);
    service.archive.begin_drain();
    let refused = service.store("/dicom-web/studies", &[&file]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{:?}", refused.body);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(service.get("/health/ready", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.get("/dicom-web/studies", "").await.status, StatusCode::OK);
    let demo = format!("/facilities/{}/dicom-web/studies", FacilityCode::DEMO);
    assert_eq!(service.get(&demo, "").await.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_in_xml_too() {
    let service = Service::with(Tokens::open(), Options { stow_extensions: true, ..Options::default() });
    let request = Request::post("/dicom-web/studies")
        .header(header::CONTENT_TYPE, "application/dicom")
        .header(header::ACCEPT, "application/dicom+xml")
        .body(Body::from(sample(CT)))
        .expect("a request");
    let answer = service.send(request).await;
    assert_eq!((answer.status, answer.content_type()), (StatusCode::OK, "application/dicom+xml"));
    assert!(String::from_utf8_lossy(&answer.body).contains("keyword=\"ReferencedSOPSequence\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_bulk_data_become_one_instance() {
    let service = Service::open();
    let metadata = r#"[{"00080016":{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018":{"vr":"UI","Value":["1.2.3.3"]},"0020000D":{"vr":"UI","Value":["1.2.3.1"]},
        "0020000E":{"vr":"UI","Value":["1.2.3.2"]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"Nguyễn^An"}]},
        "00280010":{"vr":"US","Value":[2]},"00280011":{"vr":"US","Value":[2]},"00280100":{"vr":"US","Value":[8]},
        "00280002":{"vr":"US","Value":[1]},"7FE00010":{"vr":"OB","BulkDataURI":"pixels"}},
        {"00080016":{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.7"]},"00080018":{"vr":"UI","Value":["1.2.3.4"]},
        "7FE00010":{"vr":"OB","BulkDataURI":"missing"}}]"#;
    let body = format!(
        "--{BOUNDARY}\r\nContent-Type: application/dicom+json\r\n\r\n{metadata}\r\n--{BOUNDARY}\r\n\
         Content-Type: application/octet-stream\r\nContent-Location: pixels\r\n\r\nabcd\r\n--{BOUNDARY}--\r\n"
    );
    let content_type = format!("multipart/related; type=\"application/dicom+json\"; boundary={BOUNDARY}");
    let answer = service.post("/dicom-web/studies", &content_type, body.clone()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "one is stored, one has no bulk data: {:?}", answer.body);
    let frame = "/dicom-web/studies/1.2.3.1/series/1.2.3.2/instances/1.2.3.3/frames/1";
    assert_eq!(service.get(frame, "application/octet-stream").await.body.as_ref(), b"abcd");
    let found = service.get("/dicom-web/studies?PatientName=nguyen", "").await.json();
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let small = Service::with(Tokens::open(), Options { stow_described_max: 100, ..Options::default() });
    let refused = small.post("/dicom-web/studies", &content_type, body).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// A ZIP file as the archive itself makes it.
fn zip(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = archive::zip::Zip::new();
    for (name, bytes) in entries {
        let bytes = bytes.clone();
        zip.add(name, None, move || Ok(Box::new(std::io::Cursor::new(bytes))));
    }
    let mut file = Vec::new();
    std::io::Read::read_to_end(&mut zip, &mut file).expect("memory");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zip_file_is_an_extension_that_is_off_by_default() {
    let entries = [
        ("DICOMDIR", vec![1; 400]),
        ("readme.txt", vec![b'x'; 1_000]),
        ("images/one", sample(CT)),
        ("images/two.dcm", b"no DICOM at all".to_vec()),
        ("images/", Vec::new()),
    ];
    let (path, media) = ("/dicom-web/studies", "application/zip");
    let refused = Service::open().post(path, media, zip(&entries)).await;
    assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let service = Service::with(Tokens::open(), Options { stow_extensions: true, ..Options::default() });
    let answer = service.post(path, media, zip(&entries)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
    let body = answer.json();
    let count = |tag: &str| body.pointer(&format!("/{tag}/Value")).and_then(|v| v.as_array()).map_or(0, Vec::len);
    assert_eq!((count("00081199"), count("00081198") + count("0008119A")), (1, 1), "{body}");
    let warnings: Vec<_> = answer.headers.get_all(header::WARNING).iter().filter_map(|w| w.to_str().ok()).collect();
    assert!(warnings.iter().any(|text| text.contains("3 entries")), "{warnings:?}");
    let found = service.get("/dicom-web/instances", "").await.json();
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    // What we give as a ZIP file is taken again.
    let url = body.pointer("/00081199/Value/0/00081190/Value/0").and_then(|v| v.as_str()).expect("a URL");
    let given = service.get(&url.replace("http://archive.test", ""), "application/zip;transfer-syntax=*").await;
    assert_eq!(service.post(path, media, given.body.clone()).await.status, StatusCode::OK);
    let cut = given.body.slice(..given.body.len() / 2);
    assert_eq!(service.post(path, media, cut).await.status, StatusCode::BAD_REQUEST);
    let mut wrong = given.body.to_vec();
    let at = wrong.len() / 2;
    wrong[at] ^= 1;
    assert_ne!(service.post(path, media, wrong).await.status, StatusCode::OK, "another checksum");
    let found = service.get("/dicom-web/instances", "").await.json();
    assert_eq!(found.as_array().map(Vec::len), Some(1), "nothing of these is kept");
}
