//! From an order message to the worklist: table 4.4 of the reference, row by row, for three versions of HL7, over both
//! wires of the running program; and the same through the letters of an old console.
//!
//! A row that a sample leaves empty fails: every row has its sample in `orders`.

use dataset::nested::{self, Member, Members};
use model::facility::CharsetHint;
use std::path::Path;
use std::time::Duration;
use testkit::association::Titles;
use testkit::element::DataSet;
use testkit::mllp::Sender;
use testkit::object::syntax;
use testkit::server::Server;
use testkit::worklist::Console;

const PATIENCE: Duration = Duration::from_secs(60);
const SAMPLES: [(&str, &str, &str); 3] = [
    ("HIS231", include_str!("orders/orm-2.3.1.hl7"), include_str!("orders/orm-2.3.1.toml")),
    ("HIS251", include_str!("orders/omi-2.5.1.hl7"), include_str!("orders/omi-2.5.1.toml")),
    ("HIS27", include_str!("orders/omi-2.7.hl7"), include_str!("orders/omi-2.7.toml")),
];
const CODES: [&str; 3] = ["AA", "AA", "CA"];
/// Scheduled Procedure Step Sequence.
const STEP: u32 = 0x0040_0100;

/// A row of the table: where in the answer, its value representation, and what each sample says.
type Row = (&'static str, &'static [u32], &'static str, [&'static str; 3]);

const NAME: &[u32] = &[0x0010_0010];
const SERVICE: &[u32] = &[0x0032_1033];
const ALLERGIES: &str = "Iod cản quang\\Tôm";
const MRI: &str = "Cộng hưởng từ sọ não";
/// What a sample has nothing of: a year or a month alone is no birth date.
const NO_DAY: &str = "";

const TABLE: &[Row] = &[
    ("Patient's Name", NAME, "PN", ["Nguyễn^Ánh^Thị", "Trần^Bích^Thị", "LÊ^YẾN^THỊ"]),
    ("Patient ID", &[0x0010_0020], "LO", ["22017001", "22017002", "22017003"]),
    ("its issuer", &[0x0010_0021], "LO", ["DEMO0", "DEMO0", "DEMO0"]),
    ("the personal number", &[0x0010_1002, 0x0010_0020], "LO", ["056190000001", "056190000002", "056178000003"]),
    ("its issuer", &[0x0010_1002, 0x0010_0021], "LO", ["VNM"; 3]),
    ("its type", &[0x0010_1002, 0x0010_0022], "CS", ["TEXT"; 3]),
    ("its type in HL7", &[0x0010_1002, 0x0010_0024, 0x0040_0035], "CS", ["NI"; 3]),
    ("Birth date", &[0x0010_0030], "DA", [NO_DAY, "19900214", NO_DAY]),
    ("Age", &[0x0010_1010], "AS", ["036Y", "036Y", "048Y"]),
    ("Sex", &[0x0010_0040], "CS", ["F", "F", "F"]),
    ("Weight", &[0x0010_1030], "DS", ["52.5", "61.0", "48"]),
    ("Alerts", &[0x0010_2000], "LO", ["Cách ly hô hấp"; 3]),
    ("Allergies", &[0x0010_2110], "LO", [ALLERGIES, ALLERGIES, "Penicillin"]),
    ("Pregnancy", &[0x0010_21C0], "US", ["3", "3", "3"]),
    ("Accession Number", &[0x0008_0050], "SH", ["ACC7001", "ACC7002", "ACC7003"]),
    ("its issuer", &[0x0008_0051, 0x0040_0031], "UT", ["DEMO0", "DEMO0", "DEMO0"]),
    ("Requested Procedure ID", &[0x0040_1001], "SH", ["RP7001", "RP7002", "RP7003"]),
    (
        "Study Instance UID",
        &[0x0020_000D],
        "UI",
        ["1.2.826.0.1.3680043.10.44.1", "1.2.826.0.1.3680043.10.44.2", "1.2.826.0.1.3680043.10.44.3"],
    ),
    ("Step ID", &[STEP, 0x0040_0009], "SH", ["SPS7001", "SPS7002", "SPS7003"]),
    ("Modality", &[STEP, 0x0008_0060], "CS", ["MR", "MR", "CR"]),
    ("Protocol Code", &[STEP, 0x0040_0008, 0x0008_0100], "SH", ["P5-09", "P1-1", "P2-1"]),
    ("its scheme", &[STEP, 0x0040_0008, 0x0008_0102], "SH", ["99BV", "99BV", "99BV"]),
    (
        "its meaning",
        &[STEP, 0x0040_0008, 0x0008_0104],
        "LO",
        ["Sọ não không tiêm", "Sọ não thường quy", "Ngực thẳng tại giường"],
    ),
    (
        "Step description",
        &[STEP, 0x0040_0007],
        "LO",
        ["Sọ não không tiêm", "Sọ não thường quy", "Ngực thẳng tại giường"],
    ),
    ("Station Name", &[STEP, 0x0040_0010], "SH", ["MRROOM1", "MRROOM1", "XQDD1"]),
    ("Location", &[STEP, 0x0040_0011], "SH", ["P.MR1", "Phòng MRI 1", "Phòng XQ di động"]),
    ("Station AE Title", &[STEP, 0x0040_0001], "AE", ["MR01", "MR01", "CR01"]),
    ("Start date", &[STEP, 0x0040_0002], "DA", ["20261128"; 3]),
    ("Start time", &[STEP, 0x0040_0003], "TM", ["083000", "090000", "080500"]),
    ("Performing physician", &[STEP, 0x0040_0006], "PN", ["Phạm^Dũng", "Võ^Lan", "Bùi^Sơn"]),
    ("Requested Procedure Description", &[0x0032_1060], "LO", [MRI, MRI, "X-quang ngực thẳng"]),
    ("Requested Procedure Code", &[0x0032_1064, 0x0008_0100], "SH", ["1.05.01", "1.05.01", "1.01.02"]),
    ("its scheme", &[0x0032_1064, 0x0008_0102], "SH", ["QD1227"; 3]),
    ("its meaning", &[0x0032_1064, 0x0008_0104], "LO", [MRI, MRI, "X-quang ngực thẳng"]),
    ("Requesting physician", &[0x0032_1032], "PN", ["Trần^Bình^Văn", "Trần^Bình^Văn", "Đỗ^Hà^Thu"]),
    ("Requesting service", SERVICE, "LO", ["Khoa Nội", "Khoa Nội", "Cấp cứu"]),
    ("Referring physician", &[0x0008_0090], "PN", ["Lê^Hoa^Thị", "Lê^Hoa^Thị", "Ngô^Tuấn"]),
    ("Placer order number", &[0x0040_2016], "LO", ["DC7001", "DC7002", "DC7003"]),
    ("Filler order number", &[0x0040_2017], "LO", ["AC7001", "AC7002", "AC7003"]),
    ("Priority", &[0x0040_1003], "SH", ["STAT", "STAT", "HIGH"]),
    ("Admission ID", &[0x0038_0010], "LO", ["MALK7001", "MALK7002", "MALK7003"]),
    ("Current location", &[0x0038_0300], "LO", ["KHOANOI P12 G3", "PKNOI P3", "CAPCUU G7"]),
    ("Reason", &[0x0040_1002], "LO", ["Đau đầu kéo dài", "Đau đầu kéo dài", "Sốt chưa rõ nguyên nhân"]),
    (
        "Patient state",
        &[0x0038_0500],
        "LO",
        ["Có máy tạo nhịp; Đau đầu", "Có máy tạo nhịp; Đau đầu", "Không tự đứng được; Sốt cao"],
    ),
];

/// The keys of all rows below a path, empty; `wanted` is put for the rows that are matched.
fn keys(below: &[u32], wanted: &[(&[u32], &str)], out: &mut DataSet) {
    let mut tags: Vec<u32> =
        TABLE.iter().filter(|row| row.1.starts_with(below)).map(|row| row.1[below.len()]).collect();
    tags.sort_unstable();
    tags.dedup();
    for tag in tags {
        let path = [below, &[tag]].concat();
        match TABLE.iter().find(|row| row.1 == path) {
            Some((_, _, vr, _)) => {
                let value = wanted.iter().find(|(at, _)| *at == path).map_or("", |(_, value)| *value);
                out.text(tag, vr, value);
            }
            None => {
                out.sequence(tag, |item| keys(&path, wanted, item));
            }
        }
    }
}

fn told<'a>(line: &'a Members, path: &[u32]) -> &'a str {
    let (tag, below) = path.split_first().expect("a path");
    match line.get(tag) {
        Some(Member::Value(_, text)) if below.is_empty() => text.trim_matches([' ', '\0']),
        Some(Member::Items(items)) => items.first().map_or("", |item| told(item, below)),
        _ => "",
    }
}

/// The archive with the senders of the samples and two consoles, the samples taken.
fn start(folder: &Path) -> Server {
    let sources = folder.join("hl7-sources.toml");
    let mut text = String::new();
    for (name, _, map) in SAMPLES {
        std::fs::write(folder.join(format!("{name}.toml")), map).expect("written");
        text += &format!("[[source]]\nname = \"{name}\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\n");
        text += &format!("application = \"{name}\"\nmap = \"{name}.toml\"\n");
    }
    std::fs::write(&sources, text).expect("written");
    let config = folder.join("khoanh.toml");
    std::fs::write(&config, format!("[hl7]\nsources = {sources:?}\n")).expect("written");
    let config = config.to_string_lossy();
    let arguments = ["--config", config.as_ref(), "--hl7", "127.0.0.1:0"];
    let program = Path::new(env!("CARGO_BIN_EXE_khoanh"));
    let server = Server::start(program, &folder.join("data"), &arguments).expect("it starts");
    for (title, options) in
        [("FULL", &["--national-id"][..]), ("OLD", &["--letters", "ascii-upper", "--text-max", "16"][..])]
    {
        let add = [&["sources", "add", "--facility", "DEMO0", "--calling", title][..], options].concat();
        let output = server.command(&add).expect("the command runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut sender = Sender::connect(server.hl7.expect("an address for HL7"), PATIENCE).expect("connected");
    let sent = SAMPLES.map(|(_, message, _)| sender.send(&message.replace('\n', "\r")).expect("answered"));
    assert_eq!(sent, CODES);
    server
}

fn ask(server: &Server, calling: &str, wanted: &[(&[u32], &str)]) -> Vec<nested::Nested> {
    let mut asked = DataSet::new();
    asked.text(0x0008_0005, "CS", "ISO_IR 192");
    keys(&[], wanted, &mut asked);
    let titles = Titles::new("KHOANH", calling);
    let mut console = Console::open(server.dicom, &titles, PATIENCE).expect("an association");
    let (status, found) = console.ask(&asked.into_bytes()).expect("answered");
    assert_eq!(status, 0);
    console.release().expect("released");
    let read = |bytes: &Vec<u8>| nested::read(bytes, syntax::EXPLICIT, CharsetHint::Auto).expect("a data set");
    found.iter().map(read).collect()
}

#[test]
fn every_row_of_the_table_is_filled_from_a_message_of_each_version() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(folder.path());
    for (sample, (name, ..)) in SAMPLES.iter().enumerate() {
        let accession = format!("ACC700{}", sample + 1);
        let found = ask(&server, "FULL", &[(&[0x0008_0050], &accession)]);
        let [line] = found.as_slice() else { panic!("{name}: {} lines", found.len()) };
        assert_eq!(line.charset, "ISO_IR 192", "Specific Character Set");
        let wrong: Vec<String> = TABLE
            .iter()
            .filter(|row| told(&line.members, row.1) != row.3[sample])
            .map(|row| format!("{} {:08X?}: {:?}, not {:?}", row.0, row.1, told(&line.members, row.1), row.3[sample]))
            .collect();
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
        let empty = |row: &&Row| row.3[sample].is_empty() && row.1 != [0x0010_0030];
        assert_eq!(TABLE.iter().find(empty), None, "{name} leaves a row empty");
    }
    assert!(server.stop(PATIENCE).expect("it stops").success());
}

#[test]
fn every_key_that_consoles_ask_by_finds_its_line_and_an_old_console_reads_it() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(folder.path());
    let all = ["ACC7001", "ACC7002", "ACC7003"];
    let by = |wanted: &[(&[u32], &str)]| {
        let mut found: Vec<String> =
            ask(&server, "FULL", wanted).iter().map(|line| told(&line.members, &[0x0008_0050]).to_owned()).collect();
        found.sort_unstable();
        found
    };
    let (station, date, modality) = (&[STEP, 0x0040_0001][..], &[STEP, 0x0040_0002][..], &[STEP, 0x0008_0060][..]);
    for (wanted, found) in [
        (vec![(station, "MR01")], &all[..2]),
        (vec![(date, "20261128")], &all[..]),
        (vec![(date, "20261127-20261129")], &all[..]),
        (vec![(date, "20261129-")], &all[..0]),
        (vec![(modality, "CR")], &all[2..]),
        (vec![(modality, "MR"), (date, "20261128")], &all[..2]),
        (vec![(NAME, "tran*")], &all[1..2]),
        (vec![(NAME, "lê thị yến")], &all[2..]),
        (vec![(&[0x0010_0020][..], "22017001")], &all[..1]),
        (vec![(&[0x0008_0050][..], "ACC7002")], &all[1..2]),
        (vec![], &all[..]),
    ] {
        assert_eq!(by(&wanted), found, "{wanted:?}");
    }
    let found = ask(&server, "OLD", &[(&[0x0008_0050], "ACC7001")]);
    let line = found.first().expect("a line");
    assert_eq!((told(&line.members, NAME), line.charset.as_str()), ("NGUYEN^ANH^THI", ""));
    assert_eq!(told(&line.members, &[STEP, 0x0040_0007]), "SO NAO KHONG TIE", "16 letters");
    assert_eq!((told(&line.members, SERVICE), told(&line.members, &[0x0010_1002, 0x0010_0020])), ("KHOA NOI", ""));
    assert_eq!(told(&line.members, &[0x0010_0020]), "22017001", "numbers are never cut");
    assert!(server.stop(PATIENCE).expect("it stops").success());
}

/// An order that says no more than it must: the last column of the table, where a value is made or has a default.
const BARE: &str = "MSH|^~\\&|HIS251|BV56001|KHOANH|TINH|20261128073000||ORM^O01|T44-9|P|2.3||||||UNICODE UTF-8\r\
                    PID|1||22017009^^^BV56001^MR||Phạm^Giang\rORC|NW|DC7009\rOBR|1|DC7009||XQ.NGUC^X-quang ngực^99BV\r";

#[test]
fn what_an_order_leaves_out_is_made_or_has_its_default_and_no_description_is_empty() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(folder.path());
    let mut sender = Sender::connect(server.hl7.expect("an address for HL7"), PATIENCE).expect("connected");
    assert_eq!(sender.send(BARE).expect("answered"), "AA");
    let found = ask(&server, "FULL", &[(&[0x0010_0020], "22017009")]);
    let [line] = found.as_slice() else { panic!("{} lines", found.len()) };
    let of = |path: &[u32]| told(&line.members, path);
    let accession = of(&[0x0008_0050]);
    assert!((1..=16).contains(&accession.len()), "{accession}");
    assert!(of(&[0x0020_000D]).starts_with("2.25."), "{}", of(&[0x0020_000D]));
    // A console that gives back any of the three numbers names the order.
    assert_eq!((of(&[0x0040_1001]), of(&[STEP, 0x0040_0009])), (accession, accession));
    assert_eq!((of(&[0x0040_1003]), of(&[0x0040_2016])), ("ROUTINE", "DC7009"));
    let arrived = (of(&[STEP, 0x0040_0002]).len(), of(&[STEP, 0x0040_0003]).len());
    assert_eq!(arrived, (8, 6), "a step begins when its order came");
    // OBR-4.5 is empty, and so is OBR-44.
    assert_eq!((of(&[STEP, 0x0040_0007]), of(&[0x0032_1060])), ("X-quang ngực", "X-quang ngực"));
    // A room that no table knows: whoever asks may do it.
    assert_eq!(of(&[STEP, 0x0040_0001]), "FULL");
    assert!(server.stop(PATIENCE).expect("it stops").success());
}
