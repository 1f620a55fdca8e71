//! What clients find and how they ask for it.

use super::*;
use serde_json::Value;

/// A service that holds a CT series of three, an MR series of nine and one big endian CT.
async fn filled() -> Service {
    let service = Service::open();
    let mut files: Vec<Vec<u8>> = (1..=9).map(|n| sample(&format!("modality/mr-series/MR0{n}.dcm"))).collect();
    files.extend((1..=3).map(|n| sample(&format!("modality/ct-series/0{n}.dcm"))));
    files.push(sample("syntax/CTImage.dcm_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm"));
    files.push(sample("syntax/CT1_JLSL.dcm"));
    let slices: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let stored = service.store("/dicom-web/studies", &slices).await;
    assert_eq!(stored.status, StatusCode::OK, "{:?}", stored.body);
    service
}

async fn rows(service: &Service, path: &str) -> Vec<Value> {
    let answer = service.get(path, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
    answer.json().as_array().cloned().expect("an array")
}

fn value<'a>(row: &'a Value, tag: &str) -> &'a str {
    row.pointer(&format!("/{tag}/Value/0")).and_then(Value::as_str).unwrap_or("")
}

/// The path of the first match of a search.
async fn first(service: &Service, search: &str) -> String {
    let found = rows(service, search).await;
    value(found.first().expect("a match"), "00081190").replace("http://archive.test", "")
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_answer_at_every_level() {
    let service = filled().await;
    assert_eq!(rows(&service, "/dicom-web/studies").await.len(), 4);
    assert_eq!(rows(&service, "/dicom-web/instances?Modality=MR").await.len(), 9);
    assert_eq!(rows(&service, "/dicom-web/series?Modality=MR").await.len(), 1);
    assert_eq!(rows(&service, "/dicom-web/studies?ModalitiesInStudy=MR").await.len(), 1);
    let study = first(&service, "/dicom-web/studies?ModalitiesInStudy=MR").await;
    let series = rows(&service, &format!("{study}/series")).await;
    assert_eq!(value(&series[0], "00080060"), "MR");
    assert_eq!(rows(&service, &format!("{study}/instances")).await.len(), 9);
    let series = value(&series[0], "00081190").replace("http://archive.test", "");
    let page = rows(&service, &format!("{series}/instances?limit=4&offset=6")).await;
    assert_eq!(page.len(), 3);
    assert_eq!(rows(&service, "/dicom-web/studies?PatientID=nobody").await.len(), 0);
    let uid = study.rsplit('/').next().expect("a UID");
    assert_eq!(rows(&service, &format!("/dicom-web/studies?0020000D={uid}")).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_and_refusals_of_searches() {
    let service = filled().await;
    let ignored = service.get("/dicom-web/studies?RadionuclideTotalDose=7", "").await;
    assert!(ignored.header(header::WARNING).starts_with("299 khoanh"), "{:?}", ignored.headers);
    let xml = service.get("/dicom-web/studies", "multipart/related; type=\"application/dicom+xml\"").await;
    assert_eq!(xml.parts().len(), 4);
    let none = service.get("/dicom-web/studies?PatientID=x", "multipart/related; type=\"application/dicom+xml\"").await;
    assert_eq!(none.status, StatusCode::NO_CONTENT);
    for (path, accept, status) in [
        ("/dicom-web/studies?offset=10001", "", 400),
        ("/dicom-web/studies?StudyDate=yesterday", "", 400),
        ("/dicom-web/studies", "text/html", 406),
        ("/dicom-web/studies", "nonsense", 400),
        ("/dicom-web/studies/1.2.x/series", "", 400),
        ("/dicom-web/patients", "", 404),
        ("/facilities/56001/dicom-web/studies", "", 403),
        ("/facilities/a/dicom-web/studies", "", 400),
    ] {
        let answer = service.get(path, accept).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {accept}");
        assert_eq!(answer.content_type(), "application/problem+json", "{path}");
    }
    let options = Options { find_limit_default: 2, find_limit_max: 3, ..Options::default() };
    let small = Service::with(Tokens::open(), options);
    let files: Vec<Vec<u8>> = (1..=5).map(|n| sample(&format!("modality/mr-series/MR0{n}.dcm"))).collect();
    small.store("/dicom-web/studies", &files.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    for (query, count, warned) in
        [("", 2, true), ("?limit=9", 3, true), ("?limit=2", 2, false), ("?offset=3", 2, false)]
    {
        let answer = small.get(&format!("/dicom-web/instances{query}"), "").await;
        assert_eq!(answer.json().as_array().map(Vec::len), Some(count), "{query}");
        assert_eq!(answer.headers.contains_key(header::WARNING), warned, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_series_and_studies_stream_out() {
    let service = filled().await;
    let study = first(&service, "/dicom-web/studies?ModalitiesInStudy=MR").await;
    let stored = service.get(&study, "multipart/related; type=\"application/dicom\"; transfer-syntax=*").await.parts();
    let mut sent: Vec<Vec<u8>> = (1..=9).map(|n| sample(&format!("modality/mr-series/MR0{n}.dcm"))).collect();
    let mut got: Vec<Vec<u8>> = stored.into_iter().map(|part| part.1).collect();
    sent.sort();
    got.sort();
    assert!(sent == got);
    let usual = service.get(&study, "").await.parts();
    assert!(usual.iter().all(|part| part.0 == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"));
    for (accept, status) in [
        ("application/dicom", 406),
        ("application/zip", 200),
        ("multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.80", 200),
        ("multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.50", 406),
        ("multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2", 200),
        ("text/html, multipart/related; q=0.1", 200),
    ] {
        assert_eq!(service.get(&study, accept).await.status.as_u16(), status, "{accept}");
    }
    assert_eq!(service.get("/dicom-web/studies/1.2.3", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/dicom-web/studies/1.2.x", "").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_tagged_coded_and_based() {
    let service = filled().await;
    let study = first(&service, "/dicom-web/studies?ModalitiesInStudy=MR").await;
    let path = format!("{study}/metadata");
    let plain = service.get(&path, "").await;
    assert_eq!((plain.content_type(), plain.json().as_array().map(Vec::len)), ("application/dicom+json", Some(9)));
    let tag = plain.header(header::ETAG).to_owned();
    let request = |name: header::HeaderName, value: &str| {
        let request = Request::get(&path).header(header::HOST, "archive.test").header(name, value);
        request.body(Body::empty()).expect("a request")
    };
    let unchanged = service.send(request(header::IF_NONE_MATCH, &tag)).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let coded = service.send(request(header::ACCEPT_ENCODING, "zstd, gzip")).await;
    assert_eq!(coded.header(header::CONTENT_ENCODING), "zstd");
    assert!(coded.header(header::ETAG) != tag);
    assert!(zstd::stream::decode_all(coded.body.as_ref()).expect("zstd") == plain.body.as_ref());
    assert_eq!(service.get(&path, "text/html").await.status, StatusCode::NOT_ACCEPTABLE);
    let more = sample("modality/mr-series/MR01.dcm");
    let mut other = more.clone();
    *other.last_mut().expect("bytes") ^= 1;
    service.store("/dicom-web/studies", &[&other]).await;
    let uri = plain.json().pointer("/0/7FE00010/BulkDataURI").and_then(|v| v.as_str().map(str::to_owned));
    assert!(uri.is_some_and(|uri| uri.starts_with("http://archive.test/dicom-web/studies/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_follow_the_accept_header() {
    let service = filled().await;
    let jpegls =
        first(&service, "/dicom-web/instances?SOPInstanceUID=1.3.6.1.4.1.5962.1.1.1.1.6.20040826185059.5457").await;
    for (accept, status, content_type) in [
        ("image/jls", 200, "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        ("application/octet-stream", 200, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"),
        ("image/jp2", 200, "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"),
        ("image/jpeg", 406, "application/problem+json"),
        ("image/png", 406, "application/problem+json"),
    ] {
        let answer = service.get(&format!("{jpegls}/frames/1"), accept).await;
        assert_eq!((answer.status.as_u16(), answer.content_type()), (status, content_type), "{accept}");
    }
    let any = service.get(&format!("{jpegls}/frames/1"), "*/*").await.parts();
    assert_eq!(any.first().map(|part| part.0.as_str()), Some("image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"));
    for bad in ["0", "x", "1,", "1,,2"] {
        let answer = service.get(&format!("{jpegls}/frames/{bad}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(service.get(&format!("{jpegls}/frames/2"), "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get(&format!("{jpegls}/frames/1,1"), "image/jls").await.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(service.get(&format!("{jpegls}/frames/1,1"), "").await.parts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn big_endian_pixels_come_little_endian_unless_asked_as_stored() {
    let service = filled().await;
    let path =
        first(&service, "/dicom-web/instances?SOPInstanceUID=1.2.840.113619.2.30.1.1762295590.1623.978668950.109")
            .await;
    let frame = |accept: &'static str| {
        let (service, path) = (&service, format!("{path}/frames/1"));
        async move { service.get(&path, accept).await.body }
    };
    let little = frame("application/octet-stream").await;
    let stored = frame("application/octet-stream; transfer-syntax=*").await;
    let mut swapped = stored.to_vec();
    swapped.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    assert!(little.len() == 512 * 512 * 2 && little == swapped && little != stored);
    // The same slice in implicit little endian has the same pixels.
    let other = Service::open();
    let twin = sample("syntax/CTImage.dcm");
    other.store("/dicom-web/studies", &[&twin]).await;
    let twin = other.get(&format!("{path}/frames/1"), "application/octet-stream").await.body;
    assert!(twin == little);
    let bulk = service.get(&format!("{path}/bulkdata/7FE00010"), "application/octet-stream").await;
    assert!(bulk.body == little);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_frame_is_read_in_ranges_as_progressive_viewers_do() {
    let service = filled().await;
    let path = first(&service, "/dicom-web/instances?Modality=MR&limit=1").await;
    let rpcl = "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202";
    let path = format!("{path}/frames/1");
    let whole = service.get(&path, rpcl).await;
    assert_eq!((whole.status, whole.content_type()), (StatusCode::OK, rpcl));
    // A table of tile-part lengths says where each resolution ends, the lowest first (PS3.5 section 8.2.14).
    let marker = |bytes: &[u8], code: [u8; 2]| bytes.windows(2).position(|two| two == code);
    assert!(marker(&whole.body, [0xFF, 0x55]) < marker(&whole.body, [0xFF, 0x90]), "no TLM before the first tile part");
    let tag = whole.header(header::ETAG).to_owned();
    let request = |range: &str| {
        let request = Request::get(&path).header(header::HOST, "archive.test").header(header::ACCEPT, rpcl);
        request.header(header::RANGE, range).header(header::IF_RANGE, &tag).body(Body::empty()).expect("a request")
    };
    let mut read = Vec::new();
    for range in ["bytes=0-999", "bytes=1000-1999", "bytes=2000-"] {
        let part = service.send(request(range)).await;
        assert_eq!((part.status, part.header(header::ETAG)), (StatusCode::PARTIAL_CONTENT, tag.as_str()), "{range}");
        read.extend_from_slice(&part.body);
    }
    assert!(read == whole.body, "the ranges make up the frame");
    assert_eq!(service.send(request("bytes=99999999-")).await.status, StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_that_cannot_be_decoded_does_not_cost_its_study() {
    let service = Service::open();
    let good = sample("syntax/CT1_RLE.dcm");
    let mut spoilt = good.clone();
    // The number of segments of its only frame, the last fragment; and a SOP Instance UID of its own.
    let is_last = |at: usize| {
        let head = good.get(at..at + 8).and_then(|head| head.strip_prefix(&[0xFE, 0xFF, 0x00, 0xE0]));
        let len = head.and_then(|len| len.first_chunk()).map(|len| u32::from_le_bytes(*len) as usize);
        let after = len.and_then(|len| good.get(at + 8 + len..));
        after.is_some_and(|after| after.starts_with(&[0xFE, 0xFF, 0xDD, 0xE0]))
    };
    let frame = (0..good.len()).rev().find(|at| is_last(*at)).expect("a fragment");
    *spoilt.get_mut(frame + 8).expect("a frame") = 9;
    let uid = b"1787205428.2345";
    let places: Vec<usize> = (0..good.len()).filter(|at| good.get(*at..).is_some_and(|b| b.starts_with(uid))).collect();
    assert_eq!(places.len(), 2, "file meta and data set");
    places.iter().for_each(|at| *spoilt.get_mut(at + uid.len() - 1).expect("inside") = b'6');
    assert_eq!(service.store("/dicom-web/studies", &[&good, &spoilt]).await.status, StatusCode::OK);
    let study = first(&service, "/dicom-web/studies").await;
    let dicom = "multipart/related; type=\"application/dicom\"";
    let usual = service.get(&study, dicom).await;
    assert_eq!(usual.status, StatusCode::OK);
    let mut named: Vec<String> = usual.parts().into_iter().map(|part| part.0).collect();
    named.sort();
    let syntaxes = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"];
    assert_eq!(named, syntaxes.map(|syntax| format!("application/dicom; transfer-syntax={syntax}")), "truly named");
    let alone =
        first(&service, "/dicom-web/instances?SOPInstanceUID=1.2.276.0.7230010.3.1.4.1787205428.2346.1071048146.1")
            .await;
    assert_eq!(service.get(&alone, "application/dicom").await.body, spoilt, "its own bytes");
    let asked = service.get(&alone, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1").await;
    assert_eq!(asked.status, StatusCode::NOT_ACCEPTABLE, "what is asked by name is had or refused");
    assert!(
        asked.json().get("detail").is_some_and(|detail| detail.as_str().is_some_and(|why| why.contains("segments")))
    );
    assert_eq!(service.get(&format!("{alone}/frames/1"), "application/octet-stream").await.status.as_u16(), 406);
}

#[tokio::test(flavor = "multi_thread")]
async fn wado_uri_answers_in_the_transfer_syntax_asked() {
    let service = filled().await;
    let path = first(&service, "/dicom-web/instances?Modality=MR&limit=1").await;
    let uids: Vec<&str> = path.split('/').skip(3).step_by(2).collect();
    let [study, series, instance] = uids.as_slice() else { panic!("{path}") };
    let asked = |syntax: &str| {
        format!(
            "/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}\
             &contentType=application%2Fdicom{syntax}"
        )
    };
    for (parameter, status, syntax) in [
        ("", 200, "1.2.840.10008.1.2.1"),
        ("&transferSyntax=1.2.840.10008.1.2.4.90", 200, "1.2.840.10008.1.2.4.90"),
        ("&transferSyntax=1.2.840.10008.1.2.5", 200, "1.2.840.10008.1.2.5"),
        ("&transferSyntax=1.2.840.10008.1.2.4.50", 406, ""),
        ("&transferSyntax=x", 400, ""),
    ] {
        let answer = service.get(&asked(parameter), "").await;
        assert_eq!(answer.status.as_u16(), status, "{parameter} {:?}", answer.body);
        if status == 200 {
            assert_eq!(answer.content_type(), format!("application/dicom; transfer-syntax={syntax}"));
        }
    }
}
