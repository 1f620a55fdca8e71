//! What goes in comes out: every readable file of the corpus in its own transfer syntax, by C-STORE and by
//! STOW-RS, retrieved with the data set equal to the last byte.
//!
//! Files that share a SOP Instance UID go into separate stores.

use crate::corpus;
use std::path::Path;
use std::time::Duration;
use testkit::http::{Client, instance_path};
use testkit::modality::{Sending, send};
use testkit::object::Object;
use testkit::server::Server;

/// The program under test.
pub(crate) const KHOANH: &str = env!("CARGO_BIN_EXE_khoanh");

/// Asks for the stored bytes, whatever their syntax.
pub(crate) const AS_STORED: &str = "Accept: multipart/related; type=\"application/dicom\"; transfer-syntax=*\r\n";

/// Starts the program in an own folder; the folder goes with the value returned.
pub(crate) fn start() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let server = Server::start(Path::new(KHOANH), &folder.path().join("data"), &[]).expect("the server starts");
    (server, folder)
}

/// The stored object as it comes back.
pub(crate) fn retrieve(client: &mut Client, object: &Object) -> Result<Object, String> {
    let answer = client.get(&instance_path("/dicom-web", object), AS_STORED).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("HTTP {}: {}", answer.status, answer.text()));
    }
    let mut parts = answer.parts();
    if parts.len() != 1 {
        return Err(format!("{} parts", parts.len()));
    }
    Object::from_file(parts.remove(0)).map_err(|error| error.to_string())
}

fn assert_equal(server: &Server, list: &[(String, Object)]) {
    let mut client = Client::new(server.http, Duration::from_secs(60));
    let mut wrong = Vec::new();
    for (file, object) in list {
        match retrieve(&mut client, object) {
            Ok(found) if found.data_set() == object.data_set() && found.transfer_syntax == object.transfer_syntax => {}
            Ok(found) => wrong.push(format!(
                "{file}: {} bytes in {} came back as {} in {}",
                object.data_set().len(),
                object.transfer_syntax,
                found.data_set().len(),
                found.transfer_syntax
            )),
            Err(reason) => wrong.push(format!("{file}: {reason}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {} files differ:\n{}", wrong.len(), list.len(), wrong.join("\n"));
}

#[test]
fn every_readable_file_sent_by_c_store_comes_back_byte_equal() {
    let lists = corpus::readable();
    assert!(lists.iter().map(Vec::len).sum::<usize>() >= 140);
    for list in lists {
        let (server, _folder) = start();
        let objects: Vec<Object> = list.iter().map(|(_, object)| object.clone()).collect();
        let report = send(&objects, &Sending::to(server.dicom, 2));
        let failed: Vec<String> = (report.sent.iter().filter(|sent| sent.status != 0))
            .map(|sent| format!("{}: {:04X}", list[sent.index].0, sent.status))
            .collect();
        assert!(failed.is_empty() && report.errors.is_empty(), "{failed:?} {:?}", report.errors);
        assert_eq!(report.sent.len(), list.len());
        assert_equal(&server, &list);
        assert!(server.stop(Duration::from_secs(30)).expect("stops").success());
    }
}

#[test]
fn every_readable_file_sent_by_stow_comes_back_byte_equal() {
    for list in corpus::readable() {
        let (server, _folder) = start();
        let mut client = Client::new(server.http, Duration::from_secs(60));
        for part in list.chunks(16) {
            let files: Vec<&[u8]> = part.iter().map(|(_, object)| object.file.as_slice()).collect();
            let answer = client.stow("/dicom-web/studies", &files).expect("answered");
            let names: Vec<&String> = part.iter().map(|(file, _)| file).collect();
            // 202 where an oddity was stored with a warning; nothing may fail.
            assert!([200, 202].contains(&answer.status), "{names:?}: {} {}", answer.status, answer.text());
            for failed in ["00081198", "0008119A"] {
                assert!(!answer.text().contains(failed), "{names:?}: {}", answer.text());
            }
        }
        assert_equal(&server, &list);
    }
}
