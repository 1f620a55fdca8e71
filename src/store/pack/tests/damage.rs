//! Damage: every flipped bit is found, nothing refused leaves, and a hostile pack costs bounded memory and no panic.

use super::scenario::{Counting, Made, any, open, packed};
use crate::pack::{Manifest, Pack, PackError, VERSION, comment, crc32, zip};
use model::{Sameness, SamenessKind};
use std::io::Read;

const SEED: u64 = 0xF11B;

fn some(random: &mut fastrand::Rng) -> Vec<Made> {
    (0..6).map(|number| any(random, number)).collect()
}

/// Reads everything a reader can ask for; what leaves must be right.
fn read_all(pack: &Pack<Counting>, instances: &[Made]) -> Result<(), PackError> {
    let mut first = None;
    for (slot, Made { about, file }) in instances.iter().enumerate() {
        let mut back = Vec::new();
        let read = pack.file(slot).and_then(|mut pieces| {
            pieces.read_to_end(&mut back).map_err(PackError::Read)?;
            Ok(())
        });
        assert!(file.starts_with(&back), "what leaves is right");
        match read {
            Ok(()) => assert!(back.len() == file.len()),
            Err(error) => first = first.or(Some(error)),
        }
        for number in 0..about.frames.count() {
            match pack.frame(slot, number) {
                Ok(frame) => {
                    let (spans, _) = about.frames.place(number).expect("a place");
                    let start = usize::try_from(spans[0].at).expect("small");
                    let len = usize::try_from(spans[0].len).expect("small");
                    assert!(frame.bytes.starts_with(&file[start..start + len]), "what leaves is right");
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
    }
    first.map_or(Ok(()), Err)
}

#[test]
fn every_flipped_bit_is_found_and_named_and_nothing_wrong_leaves() {
    let mut random = fastrand::Rng::with_seed(SEED);
    let instances = some(&mut random);
    let (summary, bytes) = packed(&instances);
    let manifest = summary.manifest;
    let manifest_at = manifest.manifest_at().expect("a place");
    // Regions: each entry's header, data and lengths; the manifest; everything behind it.
    let mut regions = Vec::new();
    for entry in manifest.entries() {
        let lead = zip::lead_len(&entry.name);
        regions.push(entry.data_at - lead..entry.data_at);
        regions.push(entry.data_at..entry.data_at + entry.len);
        regions.push(entry.data_at + entry.len..entry.data_at + entry.len + zip::DESCRIPTOR_LEN);
    }
    regions.push(manifest_at - zip::lead_len("manifest.json")..manifest_at);
    regions.push(manifest_at..bytes.len() as u64);
    regions.retain(|region| !region.is_empty());
    for round in 0..100.max(regions.len() * 6) {
        let region = &regions[round % regions.len()];
        let at = random.u64(region.clone());
        let mut flipped = bytes.clone();
        flipped[usize::try_from(at).expect("small")] ^= 1 << random.u8(0..8);
        let (entry, offset) = match Pack::open(Counting::new(flipped)) {
            Err(PackError::Damaged { entry, offset, .. }) => (entry, offset),
            // The version in the comment.
            Err(PackError::Newer { .. }) => continue,
            Err(other) => panic!("seed {SEED}, byte {at}: {other}"),
            Ok(pack) => {
                let _ = read_all(&pack, &instances);
                match pack.verify() {
                    Err(PackError::Damaged { entry, offset, .. }) => (entry, offset),
                    other => panic!("seed {SEED}, byte {at} of {region:?}: {other:?}"),
                }
            }
        };
        if let Some(hit) = manifest.entries().find(|hit| (hit.data_at..hit.data_at + hit.len).contains(&at)) {
            assert_eq!(entry, hit.name, "seed {SEED}, byte {at}");
            assert!((hit.data_at..=at).contains(&offset), "seed {SEED}: byte {at}, said {offset}");
        }
    }
}

#[test]
fn a_pack_that_was_cut_or_grew_is_refused() {
    let mut random = fastrand::Rng::with_seed(SEED + 1);
    let (_, bytes) = packed(&some(&mut random));
    for _ in 0..200 {
        let len = random.usize(0..bytes.len());
        assert!(Pack::open(Counting::new(bytes[..len].to_vec())).is_err(), "cut to {len}");
    }
    let mut longer = bytes.clone();
    longer.insert(0, 0);
    assert!(Pack::open(Counting::new(longer)).is_err());
    longer = [bytes.as_slice(), b"\0"].concat();
    assert!(Pack::open(Counting::new(longer)).is_err());
    assert!(Pack::open(Counting::new(Vec::new())).is_err());
}

#[test]
fn a_pack_of_a_newer_program_says_so() {
    let (_, mut bytes) = packed(&[]);
    let at = bytes.len() - 73 + 12;
    assert_eq!(bytes[at], b'2');
    bytes[at] = b'3';
    let error = Pack::open(Counting::new(bytes.clone())).expect_err("newer");
    assert!(matches!(error, PackError::Newer { found: 3, known: 2 }), "{error}");
    bytes[at] = b'0';
    assert!(matches!(Pack::open(Counting::new(bytes)), Err(PackError::Damaged { .. })), "there was no version 0");
}

#[test]
fn a_pack_of_version_1_is_read_and_checked_for_ever() {
    let mut random = fastrand::Rng::with_seed(SEED + 5);
    let instances: Vec<Made> = (0..4).map(|number| any(&mut random, number * 2)).collect();
    assert!(instances.iter().all(|made| made.about.digest.kind() == SamenessKind::Sha256));
    let (summary, bytes) = packed(&instances);
    let at = summary.manifest.manifest_at().expect("a place");
    let json = serde_json::to_string(&summary.manifest).expect("JSON").replacen("\"version\":2", "\"version\":1", 1);
    let mut older = bytes[..usize::try_from(at).expect("small")].to_vec();
    older.extend_from_slice(json.as_bytes());
    let crc32 = crc32::append(0, json.as_bytes());
    let last = zip::ZipEntry { name: "manifest.json".into(), data_at: at, len: json.len() as u64, crc32 };
    older.extend_from_slice(&zip::descriptor(&last));
    let said = comment(1, at, json.len() as u64, crc32c::crc32c(json.as_bytes()));
    let entries: Vec<zip::ZipEntry> = summary.manifest.entries().chain([last]).collect();
    let end = zip::directory(&entries, older.len() as u64, &said);
    older.extend_from_slice(&end);
    let pack = Pack::open(Counting::new(older)).expect("opens");
    pack.verify().expect("whole");
    read_all(&pack, &instances).expect("reads");
    // As the index keeps it.
    let kept = pack.manifest().to_kept().expect("kept");
    assert_eq!(Manifest::of_kept(&kept).expect("read").instances().len(), 4);
}

#[test]
fn a_digest_of_other_bytes_is_noticed_where_pieces_are_right() {
    let mut random = fastrand::Rng::with_seed(SEED + 2);
    let instances = some(&mut random);
    let (summary, bytes) = packed(&instances);
    let json = serde_json::to_string(&summary.manifest).expect("JSON");
    let sha256 = summary.manifest.instances()[0].sha256.to_string();
    let other: Manifest = serde_json::from_str(&json.replace(&sha256, &"0".repeat(64))).expect("a manifest");
    let pack = Pack::with(Counting::new(bytes.clone()), std::sync::Arc::new(other));
    let (mut back, mut file) = (Vec::new(), pack.file(0).expect("there"));
    assert!(file.read_to_end(&mut back).is_err());
    assert!(file.read(&mut [0; 16]).is_err(), "what was refused does not leave with the next call");
    let last = pack.instance(0).expect("there").pieces.last().map_or(0, |piece| piece.raw);
    assert!(back.len() as u64 + last <= instances[0].file.len() as u64, "the last piece stays");
    assert!(pack.verify().is_err());
    for (slot, kind) in SamenessKind::ALL.into_iter().enumerate() {
        let received = summary.manifest.instances()[slot].digest;
        assert_eq!(received.kind(), kind);
        // Other bytes, and the same bytes said to be of the other kind.
        for wrong in [Sameness::new(kind, [0; 32]), Sameness::new(SamenessKind::ALL[1 - slot], *received.bytes())] {
            let text = json.replace(&format!("\"{received}\""), &format!("\"{wrong}\""));
            let other: Manifest = serde_json::from_str(&text).expect("a manifest");
            let pack = Pack::with(Counting::new(bytes.clone()), std::sync::Arc::new(other));
            let error = pack.verify().expect_err("another data set");
            assert!(error.to_string().contains("not the one that was received"), "{error}");
        }
    }
    let json = json.replace("Nguyễn Văn A", "Nguyễn Văn B");
    let other: Manifest = serde_json::from_str(&json).expect("a manifest");
    let pack = Pack::with(Counting::new(bytes), std::sync::Arc::new(other));
    let error = pack.verify().expect_err("not the manifest of the pack");
    assert!(error.to_string().contains("not the one that is known"), "{error}");
}

/// The pack with another manifest, its CRC right.
fn with_manifest(bytes: &[u8], at: u64, json: &[u8]) -> Vec<u8> {
    let mut made = bytes[..usize::try_from(at).expect("small")].to_vec();
    made.extend_from_slice(json);
    let said = comment(VERSION, at, json.len() as u64, crc32c::crc32c(json));
    made.extend_from_slice(&zip::directory(&[], made.len() as u64, &said));
    made
}

#[test]
fn a_hostile_manifest_is_an_error_or_harmless() {
    let mut random = fastrand::Rng::with_seed(SEED + 3);
    let instances = some(&mut random);
    let (summary, bytes) = packed(&instances);
    let json = serde_json::to_string(&summary.manifest).expect("JSON");
    let at = summary.manifest.manifest_at().expect("a place");
    open(with_manifest(&bytes, at, json.as_bytes()));
    let newer = json.replacen("\"version\":2", "\"version\":3", 1);
    let error = Pack::open(Counting::new(with_manifest(&bytes, at, newer.as_bytes()))).expect_err("newer");
    assert!(matches!(error, PackError::Newer { found: 3, known: 2 }), "{error}");
    let numbers: Vec<&str> = json.split(|c: char| !c.is_ascii_digit()).filter(|text| !text.is_empty()).collect();
    let huge = ["0", "1", "18446744073709551615", "9223372036854775807", "4294967296", "-1", "67108864", "1e99"];
    let mut refused = 0;
    for round in 0..900 {
        let mut text = json.clone();
        match round % 3 {
            0 => {
                let number = random.choice(&numbers).expect("one");
                let places: Vec<usize> = text.match_indices(*number).map(|(at, _)| at).collect();
                let place = *random.choice(&places).expect("one");
                text.replace_range(place..place + number.len(), random.choice(huge).expect("one"));
            }
            1 => {
                let from = random.usize(0..text.len());
                if let (true, Some(end)) = (text.is_char_boundary(from), text.get(from..).and_then(|t| t.find(','))) {
                    text.replace_range(from..from + end, "");
                }
            }
            _ => {
                let bytes: Vec<u8> = text.bytes().map(|b| if random.u32(0..5_000) == 0 { b ^ 1 } else { b }).collect();
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        match Pack::open(Counting::new(with_manifest(&bytes, at, text.as_bytes()))) {
            Err(_) => refused += 1,
            Ok(pack) => {
                for slot in 0..pack.manifest().instances().len() {
                    let mut back = Vec::new();
                    let _ = pack.file(slot).map(|mut pieces| pieces.read_to_end(&mut back));
                    let count = pack.instance(slot).map_or(0, |instance| instance.frames.count());
                    let _ = pack.frame(slot, 0).is_ok() || pack.frame(slot, count.saturating_sub(1)).is_ok();
                }
                let _ = (pack.series_json(), pack.verify());
            }
        }
    }
    assert!(refused > 300, "seed {SEED}: {refused} refused");
    for wrong in ["", "{}", "null", "[[[[", "{\"format\":\"khoanh pack\",\"version\":1}", &"[".repeat(100_000)] {
        assert!(Pack::open(Counting::new(with_manifest(&bytes, at, wrong.as_bytes()))).is_err(), "{wrong:.20}");
    }
}

#[test]
fn a_manifest_that_contradicts_itself_is_none() {
    let mut random = fastrand::Rng::with_seed(SEED + 4);
    let (summary, _) = packed(&some(&mut random));
    let good = serde_json::to_value(&summary.manifest).expect("JSON");
    let parse = |manifest: &serde_json::Value| serde_json::from_value::<Manifest>(manifest.clone());
    assert_eq!(parse(&good).expect("a manifest"), summary.manifest);
    let mut changes: Vec<(&str, serde_json::Value)> = ["offset", "len", "file_len"]
        .into_iter()
        .map(|member| (member, (good["instances"][0][member].as_u64().expect("a number") + 1).into()))
        .collect();
    changes.push(("meta_len", u32::MAX.into()));
    changes.push(("name", "../../etc/passwd".into()));
    changes.push(("frames", serde_json::json!({"native": {"at": u64::MAX, "count": 1, "bits": 8}})));
    changes.push(("frames", serde_json::json!({"encapsulated": {"fragments": [[8, u64::MAX]]}})));
    let pieces = good["instances"][0]["pieces"].as_array().expect("pieces").clone();
    for wrong in [[1u64, 2, 0], [0, 0, 0], [1 << 40, 1 << 40, 0], [1, 1, 0]] {
        let mut pieces = pieces.clone();
        pieces.push(serde_json::json!(wrong));
        changes.push(("pieces", pieces.into()));
    }
    for (member, value) in changes {
        let mut wrong = good.clone();
        wrong["instances"][0][member] = value;
        assert!(parse(&wrong).is_err(), "{member}: {}", wrong["instances"][0][member]);
    }
    for (member, value) in [("format", "zip".into()), ("version", serde_json::json!(0)), ("series_json", 7.into())] {
        let mut wrong = good.clone();
        wrong[member] = value;
        assert!(parse(&wrong).is_err(), "{member}");
    }
}
