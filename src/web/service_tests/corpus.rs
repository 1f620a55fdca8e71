//! Every readable file of the shared test data, stored and brought back.

use super::*;
use std::collections::HashMap;

/// Refused by the scanner: its sequence lengths contradict each other, though pydicom reads on.
const REFUSED: &str = "structure/bad_sequence.dcm";

struct Row {
    file: String,
    syntax: String,
    frames: Option<u32>,
    instance: String,
}

/// Fields of a CSV line; a quoted field may hold commas.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

/// The files that pydicom reads and that no test made broken on purpose.
fn rows() -> Vec<Row> {
    let index = String::from_utf8(sample("INDEX.csv")).expect("UTF-8");
    let mut lines = index.lines();
    let names = fields(lines.next().expect("a header"));
    let at = |name: &str| names.iter().position(|n| n == name).expect(name);
    let (file, syntax, frames, uid, pydicom) =
        (at("file"), at("transfer_syntax"), at("frames"), at("sop_instance_uid"), at("pydicom"));
    lines
        .map(fields)
        .filter(|row| row[pydicom] == "ok" && !row[file].starts_with("bad/") && !row[uid].is_empty())
        .map(|row| Row {
            file: row[file].clone(),
            syntax: row[syntax].rsplit('(').next().unwrap_or("").trim_end_matches(')').to_owned(),
            frames: row[frames].parse().ok(),
            instance: row[uid].clone(),
        })
        .collect()
}

/// The bytes of a file behind preamble and file meta information, as far as it has them.
fn data_set(file: &[u8]) -> &[u8] {
    let mut part10 = dataset::part10::Part10::new(None);
    let started = part10.feed(file).expect("readable").is_some();
    assert!(started || part10.finish().is_ok());
    let meta = part10.finish().expect("complete");
    file.get(usize::try_from(meta.len).expect("small")..).expect("inside the file")
}

async fn check(service: &Service, row: &Row) {
    let (name, file) = (&row.file, sample(&row.file));
    let stored = service.store("/dicom-web/studies", &[&file]).await;
    if name == REFUSED {
        assert_eq!(stored.status, StatusCode::CONFLICT, "{name}");
        return;
    }
    assert!(matches!(stored.status.as_u16(), 200 | 202), "{name}: {} {:?}", stored.status, stored.body);
    let path = stored.stored_path();
    assert!(path.ends_with(&row.instance), "{name}: {path}");

    let raw = service.get(&path, "application/dicom; transfer-syntax=*").await;
    assert_eq!(raw.status, StatusCode::OK, "{name}");
    assert_eq!(raw.body.get(128..132), Some(&b"DICM"[..]), "{name}");
    if file.get(128..132) == Some(&b"DICM"[..]) {
        assert!(raw.body == file, "{name}: stored {} bytes, got {}", file.len(), raw.body.len());
    } else {
        assert!(raw.body.ends_with(data_set(&file)), "{name}: the data set is as it was sent");
    }
    let parts = service.get(&path, "multipart/related; type=\"application/dicom\"; transfer-syntax=*").await.parts();
    assert!(parts.len() == 1 && parts[0].1 == raw.body, "{name}");

    let usual = service.get(&path, "").await;
    assert_eq!(usual.status, StatusCode::OK, "{name}: {:?}", usual.body);
    let part = usual.parts().remove(0);
    let explicit = row.syntax.is_empty() || archive::transcode::is_decoded(&row.syntax);
    let named = if explicit { "1.2.840.10008.1.2.1" } else { &row.syntax };
    assert_eq!(part.0, format!("application/dicom; transfer-syntax={named}"), "{name}");
    assert_eq!(part.1.get(128..132), Some(&b"DICM"[..]), "{name}");

    let metadata = service.get(&format!("{path}/metadata"), "application/dicom+json").await;
    assert_eq!(metadata.status, StatusCode::OK, "{name}");
    let json = metadata.json();
    let uid = json.pointer("/0/00080018/Value/0").and_then(|v| v.as_str());
    assert_eq!(uid, Some(row.instance.as_str()), "{name}");
    check_bulk_data(service, name, &json).await;
    check_frames(service, row, &path).await;
}

/// Every BulkDataURI of a document resolves.
async fn check_bulk_data(service: &Service, name: &str, json: &serde_json::Value) {
    let mut waiting = vec![json];
    while let Some(value) = waiting.pop() {
        match value {
            serde_json::Value::Array(items) => waiting.extend(items),
            serde_json::Value::Object(members) => waiting.extend(members.values()),
            serde_json::Value::String(text) if text.starts_with("http://archive.test/dicom-web/studies/") => {
                let uri = text.replace("http://archive.test", "");
                let answer = service.get(&uri, "").await;
                assert_eq!(answer.status, StatusCode::OK, "{name}: {uri} {:?}", answer.body);
                assert!(!answer.parts().is_empty(), "{name}: {uri}");
            }
            _ => {}
        }
    }
}

async fn check_frames(service: &Service, row: &Row, path: &str) {
    let Some(count) = row.frames else {
        let none = service.get(&format!("{path}/frames/1"), "").await;
        assert_eq!(none.status, StatusCode::NOT_FOUND, "{}: no pixels, no frames", row.file);
        return;
    };
    let first = service.get(&format!("{path}/frames/1"), "*/*").await;
    assert_eq!(first.status, StatusCode::OK, "{}: {:?}", row.file, first.body);
    let parts = first.parts();
    assert!(parts.len() == 1 && !parts[0].1.is_empty(), "{}", row.file);
    // A video is one stream: its frames cannot be taken one by one.
    if !row.file.contains("video") {
        let list = (1..=count.min(40)).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let several = service.get(&format!("{path}/frames/{list}"), "").await;
        assert_eq!(several.status, StatusCode::OK, "{}: {:?}", row.file, several.body);
        assert!(several.parts().first().map(|p| &p.1) == parts.first().map(|p| &p.1), "{}", row.file);
    }
    let beyond = service.get(&format!("{path}/frames/{}", count + 1), "").await;
    assert_eq!(beyond.status, StatusCode::NOT_FOUND, "{}", row.file);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_readable_file_comes_back_as_it_was_sent() {
    let rows = rows();
    assert!(rows.len() > 100, "the test data has {} readable files", rows.len());
    // Files that share a SOP Instance UID go to separate archives.
    let (mut archives, mut seen): (Vec<Service>, HashMap<String, usize>) = (Vec::new(), HashMap::new());
    for row in &rows {
        let times = seen.entry(row.instance.clone()).or_default();
        if archives.len() == *times {
            archives.push(Service::open());
        }
        check(&archives[*times], row).await;
        *times += 1;
    }
}
