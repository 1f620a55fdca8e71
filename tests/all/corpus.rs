//! The DICOM files of the tests (`KHOANH_DICOM`, else `../shared/dicom`) and their index.
//!
//! A missing corpus fails the test that asks for it.

use std::collections::HashMap;
use std::path::PathBuf;
use testkit::object::Object;

/// One row of the corpus' INDEX.csv.
pub(crate) struct Row {
    /// Path below the corpus.
    pub(crate) file: String,
    /// Whether and how another reader failed: `ok` when it did not.
    pub(crate) pydicom: String,
    /// What is particular about it; for broken files what is expected of a server.
    pub(crate) notes: String,
}

/// Where the corpus lies.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("KHOANH_DICOM")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/dicom")), PathBuf::from)
}

/// Every row.
pub(crate) fn rows() -> Vec<Row> {
    let path = folder().join("INDEX.csv");
    let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = reader.deserialize::<HashMap<String, String>>();
    rows.map(|row| {
        let mut row = row.expect("a row of INDEX.csv");
        let mut take = |name: &str| row.remove(name).unwrap_or_else(|| panic!("no column {name}"));
        Row { file: take("file"), pydicom: take("pydicom"), notes: take("notes") }
    })
    .collect()
}

/// The bytes of a file.
pub(crate) fn read(file: &str) -> Vec<u8> {
    let path = folder().join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files that must be refused although other software reads them: a UID with letters identifies nothing.
pub(crate) const REFUSED: &[&str] = &["structure/bad_sequence.dcm"];

/// Every readable file outside `bad/`, as objects, split so that no two in one list share a SOP Instance UID.
pub(crate) fn readable() -> Vec<Vec<(String, Object)>> {
    let mut lists: Vec<Vec<(String, Object)>> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for row in rows() {
        if row.file.starts_with("bad/") || row.pydicom != "ok" || REFUSED.contains(&row.file.as_str()) {
            continue;
        }
        let object = Object::from_file(read(&row.file)).unwrap_or_else(|error| panic!("{}: {error}", row.file));
        assert!(object.is_identified(), "{}", row.file);
        let list = seen.entry(object.sop_instance.clone()).and_modify(|copies| *copies += 1).or_insert(0);
        if lists.len() <= *list {
            lists.push(Vec::new());
        }
        lists[*list].push((row.file, object));
    }
    lists
}
