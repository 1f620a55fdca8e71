//! The index of the corpus and its files.
#![allow(dead_code)]

use dataset::ScanError;
use dataset::part10::{Meta, Part10};
use std::path::PathBuf;

/// One row of `INDEX.csv`, as far as the tests look at it.
pub(crate) struct Row {
    pub(crate) file: String,
    pub(crate) bytes: usize,
    pub(crate) transfer_syntax: String,
    pub(crate) frames: u32,
    pub(crate) sop_instance: String,
    pub(crate) pydicom: String,
}

fn folder() -> PathBuf {
    std::env::var_os("KHOANH_DICOM")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/dicom")), PathBuf::from)
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let path = folder().join("INDEX.csv");
    let text =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("the corpus is missing: {path:?}: {error}"));
    let mut lines = text.lines();
    let header = fields(lines.next().expect("header"));
    let column = |name: &str| header.iter().position(|field| field == name).expect("column");
    let columns = ["file", "bytes", "transfer_syntax", "frames", "sop_instance_uid", "pydicom"].map(column);
    lines
        .map(|line| {
            let row = fields(line);
            let [file, bytes, syntax, frames, instance, pydicom] =
                columns.map(|at| row.get(at).cloned().unwrap_or_default());
            let uid = syntax.rsplit_once('(').map_or("", |(_, uid)| uid.trim_end_matches(')'));
            Row {
                file,
                bytes: bytes.parse().expect("bytes"),
                transfer_syntax: uid.to_owned(),
                frames: frames.parse().unwrap_or(1),
                sop_instance: instance,
                pydicom,
            }
        })
        .collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().expect("one").push(other),
        }
    }
    fields
}

impl Row {
    /// The file.
    pub(crate) fn read(&self) -> Vec<u8> {
        std::fs::read(folder().join(&self.file)).unwrap_or_else(|error| panic!("{}: {error}", self.file))
    }

    /// Its meta information and its data set.
    pub(crate) fn parts(&self) -> Result<(Meta, Vec<u8>), ScanError> {
        let mut reader = Part10::new(None);
        for piece in self.read().chunks(5000) {
            reader.feed(piece)?;
        }
        let meta = reader.finish()?.clone();
        let bytes = reader.into_bytes();
        Ok((meta.clone(), bytes[meta.len as usize..].to_vec()))
    }
}
