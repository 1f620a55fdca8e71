//! Packs of every readable file of the corpus, read back by the archive and by programs that are not: `unzip`,
//! Python's `zipfile`, and `scripts/read_pack.py`.

use crate::corpus;
use crate::interop::python;
use dataset::Limits;
use dataset::part10::Part10;
use dataset::scan::Scanner;
use dataset::syntax::{DEFLATED_LE, EXPLICIT_BE};
use model::attribute::key;
use model::facility::CharsetHint;
use model::{AttrKey, FacilityCode, Sameness, SamenessHasher, SamenessKind, Uid};
use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use store::PackId;
use store::coding::PixelLayout;
use store::envelope::{Header, SealWriter};
use store::keys::DataKey;
use store::pack::{FramePlaces, InstanceIn, Pack, PackAbout, PackSummary, PackWriter};

const SERIES_JSON: &[u8] = br#"[{"00080018":{"vr":"UI","Value":["1.2.3"]}}]"#;

/// An instance as the archive would pack it.
pub(crate) fn instance(file: &[u8]) -> Option<InstanceIn> {
    let mut head = Part10::new(None);
    head.feed(file).ok()?;
    let meta = head.finish().ok()?.clone();
    let data_set = file.get(usize::try_from(meta.len).ok()?..)?;
    let mut scanner = Scanner::new(&meta.transfer_syntax, CharsetHint::Auto, Limits::default());
    scanner.feed(data_set).ok()?;
    let scanned = scanner.finish().ok()?;
    let number = |key: AttrKey| scanned.attributes.get(&key).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let pixel = PixelLayout {
        bits_allocated: u16::try_from(number(key::BITS_ALLOCATED)).ok()?,
        samples: u16::try_from(number(key::SAMPLES_PER_PIXEL)).ok()?,
        columns: number(key::COLUMNS),
        big_endian: meta.transfer_syntax.as_str() == EXPLICIT_BE,
    };
    let deflated = meta.transfer_syntax.as_str() == DEFLATED_LE;
    let frames = if deflated { FramePlaces::None } else { FramePlaces::of(&scanned.layout, meta.len) };
    Some(InstanceIn {
        sop_class: scanned.sop_class.clone(),
        sop_instance: scanned.sop_instance.clone(),
        transfer_syntax: meta.transfer_syntax,
        meta_len: meta.len,
        file_len: u64::try_from(file.len()).ok()?,
        digest: scanned.digest,
        frames,
        pixel: Some(pixel),
        codestreams: false,
        head: serde_json::json!({"fact": "instance", "layout": scanned.layout}),
    })
}

/// Packs files into a new file.
fn pack(path: &Path, files: &[(String, Vec<u8>)]) -> PackSummary {
    let uid = |text| Uid::parse(text).expect("a UID");
    let about = PackAbout { facility: FacilityCode::DEMO, study: uid("1.2.3"), series: uid("1.2.3.4"), part: 1 };
    let out = BufWriter::new(File::create(path).expect("a new file"));
    let mut writer = PackWriter::create(out, about).expect("begins");
    for (name, file) in files {
        let instance = instance(file).unwrap_or_else(|| panic!("{name} cannot be scanned"));
        writer.add(instance, &mut file.as_slice()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    writer.finish(SERIES_JSON).expect("ends").0
}

/// The corpus in lists without a SOP Instance UID twice.
fn lists() -> Vec<Vec<(String, Vec<u8>)>> {
    let lists = corpus::readable().into_iter();
    lists.map(|list| list.into_iter().map(|(name, object)| (name, object.file)).collect()).collect()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/prepare test"))
}

fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn read_pack(arguments: &[&Path]) -> Command {
    let mut command = Command::new(python());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/read_pack.py")).args(arguments);
    command
}

#[test]
fn every_file_of_the_corpus_comes_back_from_a_pack_byte_equal() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (number, files) in lists().iter().enumerate() {
        let path = folder.path().join(format!("{number}.zip"));
        let summary = pack(&path, files);
        let pack = Pack::open(fs::read(&path).expect("the pack")).expect("opens");
        assert_eq!(pack.verify().expect("whole"), summary.len);
        assert_eq!(pack.series_json().expect("metadata"), SERIES_JSON);
        for (slot, (name, file)) in files.iter().enumerate() {
            let mut back = Vec::new();
            pack.file(slot).expect("there").read_to_end(&mut back).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(back == *file, "{name} differs");
            let instance = instance(file).expect("scanned");
            for number in 0..instance.frames.count() {
                let frame = pack.frame(slot, number).unwrap_or_else(|error| panic!("{name}, {number}: {error}"));
                let (spans, _) = instance.frames.place(number).expect("a place");
                let of = |place: u64| usize::try_from(place).expect("small");
                let expected: Vec<u8> =
                    spans.iter().flat_map(|span| file[of(span.at)..of(span.at + span.len)].to_vec()).collect();
                assert!(frame.bytes == expected, "{name}, frame {number}");
            }
        }
    }
}

#[test]
fn unzip_and_python_read_a_pack_and_so_does_the_small_reader() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (number, files) in lists().iter().enumerate() {
        let path = folder.path().join(format!("{number}.zip"));
        let summary = pack(&path, files);
        let listed = succeed(Command::new("unzip").arg("-l").arg(&path));
        let names = summary.manifest.instances().iter().map(|instance| instance.name.as_str());
        for name in names.chain(["series.json.zst", "manifest.json"]) {
            assert!(listed.contains(name), "{name} in\n{listed}");
        }
        assert!(listed.contains("khoanh pack 2 manifest"), "{listed}");
        let tested = succeed(Command::new("unzip").arg("-t").arg(&path));
        assert!(tested.contains("No errors detected"), "{tested}");
        let python_says =
            "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(z.testzip(), len(z.namelist()))";
        let said = succeed(Command::new(python()).arg("-c").arg(python_says).arg(&path));
        assert_eq!(said.trim(), format!("None {}", files.len() + 2));
        let extracted = folder.path().join(format!("{number}"));
        let said = succeed(&mut read_pack(&[&path, Path::new("--extract"), &extracted]));
        for (instance, (name, file)) in summary.manifest.instances().iter().zip(files) {
            let back = extracted.join(instance.name.trim_end_matches(".khz"));
            assert!(fs::read(&back).expect("extracted") == *file, "{name} differs");
            assert!(said.contains(&format!("{} ", instance.sha256)), "{said}");
        }
        assert_eq!(fs::read(extracted.join("series.json")).expect("extracted"), SERIES_JSON);
    }
}

#[test]
fn the_small_reader_refuses_a_changed_bit() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path: PathBuf = folder.path().join("pack.zip");
    let files = lists().swap_remove(0);
    let files = &files[..3];
    let summary = pack(&path, files);
    succeed(&mut read_pack(&[&path, Path::new("--check")]));
    let whole = fs::read(&path).expect("the pack");
    for (slot, instance) in summary.manifest.instances().iter().enumerate() {
        let mut changed = whole.clone();
        let at = usize::try_from(instance.offset + instance.len / 2).expect("small");
        changed[at] ^= 4;
        fs::write(&path, &changed).expect("written");
        let output = run(&mut read_pack(&[&path, Path::new("--check")]));
        assert!(!output.status.success(), "instance {slot}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&instance.name), "{said}");
    }
}

#[test]
fn the_small_reader_compares_the_digest_of_the_data_set_of_either_kind() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path: PathBuf = folder.path().join("pack.zip");
    let files = lists().swap_remove(0);
    let (_, file) = &files[0];
    let right = instance(file).expect("scanned");
    let mut older = SamenessHasher::new(SamenessKind::Sha256, &right.transfer_syntax);
    older.update(&file[usize::try_from(right.meta_len).expect("small")..]);
    let check = |digest: Sameness| {
        let out = BufWriter::new(File::create(&path).expect("a new file"));
        let uid = |text| Uid::parse(text).expect("a UID");
        let about = PackAbout { facility: FacilityCode::DEMO, study: uid("1.2.3"), series: uid("1.2.3.4"), part: 1 };
        let mut writer = PackWriter::create(out, about).expect("begins");
        writer.add(InstanceIn { digest, ..right.clone() }, &mut file.as_slice()).expect("added");
        writer.finish(SERIES_JSON).expect("ends");
        let output = run(&mut read_pack(&[&path, Path::new("--check")]));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let older = older.finish();
    assert_eq!(check(older), (true, String::new()));
    for wrong in [Sameness::Sha256([1; 32]), Sameness::Sha256(*right.digest.bytes()), Sameness::Blake3([1; 32])] {
        let (whole, said) = check(wrong);
        let missing = wrong.kind() == SamenessKind::Blake3 && said.contains("not compared");
        assert!(missing || (!whole && said.contains("not the data set")), "{wrong}: {said}");
    }
    let (whole, said) = check(right.digest);
    assert!(whole && (said.is_empty() || said.contains("not compared")), "{said}");
}

#[test]
fn the_small_reader_opens_a_sealed_pack_with_its_key_and_with_no_other() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (plain, sealed) = (folder.path().join("pack.zip"), folder.path().join("sealed"));
    let files = lists().swap_remove(0);
    // So short that chunks of the envelope end inside entries, and long enough for many of them.
    let files = &files[..12];
    let summary = pack(&plain, files);
    let (right, wrong) = (DataKey::new([7; 32]), DataKey::new([8; 32]));
    let header = Header::of_plain(PackId::new([3; 16]), &right, &summary.sha256.0);
    let mut writer = SealWriter::new(File::create(&sealed).expect("a new file"), &right, &header).expect("begins");
    std::io::copy(&mut File::open(&plain).expect("the pack"), &mut writer).expect("sealed");
    writer.finish().expect("ends");
    let key = folder.path().join("key");
    fs::write(&key, right.export().as_bytes()).expect("written");
    let extracted = folder.path().join("extracted");
    let arguments = [&sealed, Path::new("--key"), &key, Path::new("--extract"), &extracted];
    succeed(&mut read_pack(&arguments));
    for (instance, (name, file)) in summary.manifest.instances().iter().zip(files) {
        let back = extracted.join(instance.name.trim_end_matches(".khz"));
        assert!(fs::read(&back).expect("extracted") == *file, "{name} differs");
    }
    fs::write(&key, wrong.export().as_bytes()).expect("written");
    assert!(!run(&mut read_pack(&arguments)).status.success(), "another key");
    assert!(!run(&mut read_pack(&[&sealed])).status.success(), "no key");
}
