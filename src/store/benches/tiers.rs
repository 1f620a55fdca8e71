//! How fast envelopes are sealed and opened, and objects go up and down:
//! `cargo bench -p khoanh-store --bench tiers`.
//!
//! With `KHOANH_S3` set to the line that `scripts/s3-up` prints, puts (read back included) and gets are measured too.
//! It deliberately measures one thread: a core is the unit of the promises.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;
use store::cold::{Cold, ColdObject, ColdOptions, PutOptions, Throttle};
use store::envelope::{Header, OpenedPack, SealWriter, SealedPack};
use store::keys::DataKey;
use store::{PackId, ReadAt};

const MIB: usize = 1 << 20;
const PACK: PackId = PackId::new([1; 16]);

fn main() {
    let key = DataKey::new([7; 32]);
    let mut plain = vec![0; 256 * MIB];
    fastrand::Rng::with_seed(1).fill(&mut plain);
    println!("{:<44} {:>9}", "measure", "MB/s");

    let header = Header::draw(PACK).expect("random numbers");
    rate("seal, with SHA-256 of both sides", plain.len(), || {
        let mut writer = SealWriter::new(io::sink(), &key, &header).expect("begun");
        writer.write_all(&plain).expect("written");
        writer.finish().expect("finished");
    });
    let digest = [9; 32];
    let view = SealedPack::new(plain.clone(), PACK, &key, &digest).expect("sealed");
    let mut sealed = Vec::new();
    rate("seal while reading, 16 MiB at a time", plain.len(), || {
        for at in (0..view.len()).step_by(16 * MIB) {
            sealed.extend_from_slice(&view.read_at(at..view.len().min(at + 16 * MIB as u64)).expect("read"));
        }
    });
    let opened = OpenedPack::open(sealed, PACK, &key).expect("opened");
    rate("open, 16 MiB at a time", plain.len(), || read(&opened, 16 * MIB));
    rate("open, frames of 512 KiB", plain.len(), || read(&opened, MIB / 2));
    if let Ok(line) = std::env::var("KHOANH_S3") {
        cold(&line, &key);
    }
}

fn read(from: &dyn ReadAt, step: usize) {
    for at in (0..from.len()).step_by(step) {
        from.read_at(at..from.len().min(at + step as u64)).expect("read");
    }
}

fn rate(name: &str, bytes: usize, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    println!("{name:<44} {:>9.0}", bytes as f64 / 1e6 / start.elapsed().as_secs_f64());
}

fn cold(line: &str, key: &DataKey) {
    let told: serde_json::Value = serde_json::from_str(line).expect("the line of scripts/s3-up");
    let text = |name: &str| told.get(name).and_then(serde_json::Value::as_str).expect("told").to_owned();
    let work = tempfile::tempdir().expect("a folder");
    let mut options =
        ColdOptions::new(Some(&text("endpoint")), &text("region"), &text("plain_bucket"), work.path().to_owned())
            .with_credentials(&text("access_key"), &text("secret_key"));
    options.prefix = "bench".into();
    let cold = Arc::new(Cold::open(options, Throttle::unbounded()).expect("opens"));
    for (name, len, count) in [("1 MiB", MIB, 64), ("16 MiB", 16 * MIB, 8), ("256 MiB", 256 * MIB, 1)] {
        let mut bytes = vec![0; len];
        fastrand::Rng::with_seed(len as u64).fill(&mut bytes);
        let view = SealedPack::new(bytes, PACK, key, &[3; 32]).expect("sealed");
        let names: Vec<String> = (0..count).map(|number| cold.key(&format!("{len}-{number}"))).collect();
        rate(&format!("put {count} of {name}, sealed and read back"), len * count, || {
            for name in &names {
                cold.put(name, &view, &PutOptions::default()).expect("put");
            }
        });
        rate(&format!("get {count} of {name}, 4 MiB at a time"), len * count, || {
            for name in &names {
                read(&ColdObject::new(Arc::clone(&cold), name, None, view.len()), 4 * MIB);
            }
        });
        for name in &names {
            cold.destroy(name).expect("destroyed");
        }
    }
}
