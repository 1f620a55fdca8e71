//! Coding negotiation, tags and the URLs inside documents.

use super::*;
use model::FacilityCode;

fn asked(text: &str) -> Coding {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, text.parse().expect("header"));
    coding(&headers)
}

fn document(json: &str) -> Metadata {
    let json_zstd = Arc::new(zstd::stream::encode_all(json.as_bytes(), 1).expect("zstd"));
    Metadata { etag: "s1-1".into(), json_zstd, facility: FacilityCode::DEMO, notes: Vec::new() }
}

#[test]
fn the_client_chooses_the_coding() {
    assert_eq!(coding(&HeaderMap::new()), Coding::Identity);
    assert_eq!(asked("gzip, deflate, br, zstd"), Coding::Zstd);
    assert_eq!(asked("gzip, deflate"), Coding::Gzip);
    assert_eq!(asked("zstd;q=0.5, gzip;q=0.8"), Coding::Gzip);
    assert_eq!(asked("zstd;q=0, gzip;q=0.0, br"), Coding::Identity);
    assert_eq!(asked("identity;q=1, gzip;q=0.1"), Coding::Identity);
}

#[test]
fn documents_join_into_one_array_with_our_urls() {
    let bulk =
        format!(r#"[{{"7FE00010":{{"vr":"OW","BulkDataURI":"{BASE_PLACEHOLDER}/studies/1/bulkdata/7FE00010"}}}}]"#);
    let name = format!(r#"[{{"00100020":{{"vr":"LO","Value":["{BASE_PLACEHOLDER}x"]}}}}]"#);
    let parts = [document(&bulk), document("[]"), document(&name)];
    for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
        let bytes = render(&parts, "https://h/dicom-web", coding).expect("rendered");
        let mut plain = Vec::new();
        match coding {
            Coding::Identity => plain = bytes,
            Coding::Gzip => {
                flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).expect("gzip");
            }
            Coding::Zstd => plain = zstd::stream::decode_all(bytes.as_slice()).expect("zstd"),
        }
        let json: serde_json::Value = serde_json::from_slice(&plain).expect("JSON");
        assert_eq!(json.as_array().map(Vec::len), Some(2));
        let uri = json.pointer("/0/7FE00010/BulkDataURI").and_then(|v| v.as_str());
        assert_eq!(uri, Some("https://h/dicom-web/studies/1/bulkdata/7FE00010"));
        let kept = json.pointer("/1/00100020/Value/0").and_then(|v| v.as_str());
        assert_eq!(kept, Some(format!("{BASE_PLACEHOLDER}x").as_str()));
    }
}
