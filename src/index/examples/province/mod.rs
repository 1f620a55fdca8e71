//! A made-up province of patients: names as often as they are in Viet Nam, numbers that nobody has.
//!
//! Each patient follows from its number alone, so that a kept folder can be asked for people who are in it. Personal
//! numbers begin with a place of registration that is not issued.

#![allow(dead_code, reason = "each example uses its part")]

use index::charts::{ChartEntry, Charts, RocksCharts};
use model::chart::{BirthDate, ChartBody, ChartKey, ChartKind, ChartRow, Identifiers, Patient, Sex};
use model::{FacilityCode, name};
use std::error::Error;
use std::time::{Duration, Instant};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Family names and how many of 1,000 people have them; the rest shares the last ones.
const FAMILIES: [(&str, u32); 24] = [
    ("Nguyễn", 330),
    ("Trần", 110),
    ("Lê", 95),
    ("Phạm", 70),
    ("Huỳnh", 51),
    ("Phan", 45),
    ("Vũ", 39),
    ("Đặng", 21),
    ("Bùi", 20),
    ("Đỗ", 14),
    ("Hồ", 13),
    ("Ngô", 13),
    ("Dương", 10),
    ("Lý", 5),
    ("Đinh", 20),
    ("Đoàn", 20),
    ("Trịnh", 20),
    ("Mai", 20),
    ("Tô", 20),
    ("Cao", 20),
    ("Hà", 14),
    ("Tạ", 10),
    ("Niê", 10),
    ("Pi Năng", 10),
];
const MALE: [(&str, u32); 8] =
    [("Văn", 480), ("Đình", 80), ("Hữu", 80), ("Minh", 100), ("Quang", 80), ("Đức", 60), ("Xuân", 60), ("Công", 60)];
const FEMALE: [(&str, u32); 6] =
    [("Thị", 600), ("Thị Thanh", 100), ("Ngọc", 120), ("Thị Kim", 80), ("Thanh", 60), ("Bích", 40)];
/// Given names, the more frequent ones first: each is drawn a little less often than the one before.
const GIVEN: [&str; 96] = [
    "Anh", "Hùng", "Hương", "Hoa", "Linh", "Dũng", "Tuấn", "Lan", "Minh", "Hà", "Hải", "Nam", "Thảo", "Trang", "Thủy",
    "Hằng", "Bình", "Sơn", "Long", "Hạnh", "Mai", "Phương", "Nga", "Thành", "Cường", "Đức", "An", "Quang", "Tâm",
    "Hòa", "Dung", "Yến", "Loan", "Ngọc", "Hiền", "Huy", "Khánh", "Phúc", "Tú", "Vân", "Việt", "Thắng", "Hiếu", "Hưng",
    "Kiên", "Liên", "Lộc", "Lợi", "Mạnh", "Mỹ", "Ngân", "Nghĩa", "Nhung", "Oanh", "Phát", "Phong", "Quân", "Quyên",
    "Quỳnh", "Tài", "Tân", "Thái", "Thanh", "Thịnh", "Thu", "Thúy", "Tiến", "Toàn", "Trung", "Tùng", "Tuyết", "Uyên",
    "Vinh", "Vy", "Xuân", "Bảo", "Bích", "Châu", "Chi", "Chung", "Diễm", "Diệp", "Đạt", "Đông", "Giang", "Hảo", "Hậu",
    "Hoàng", "Huệ", "Khang", "Khoa", "Lam", "Nhật", "Như", "Sang", "Trinh",
];
/// Of so many names one is recorded with a slip, which makes words that hardly anybody has.
const SLIPS: u32 = 200;
/// Of so many names one is recorded without marks, in capitals.
const PLAIN: u32 = 20;
/// Patients of a batch.
const BATCH: u64 = 1_000;

fn drawn(rng: &mut fastrand::Rng, list: &[(&'static str, u32)]) -> &'static str {
    let mut share = rng.u32(..list.iter().map(|(_, weight)| weight).sum::<u32>());
    for &(name, weight) in list {
        if share < weight {
            return name;
        }
        share -= weight;
    }
    ""
}

/// Sex, and a name with its marks.
pub(crate) fn named(rng: &mut fastrand::Rng) -> (Sex, String) {
    let sex = if rng.bool() { Sex::Male } else { Sex::Female };
    let middle = drawn(rng, if sex == Sex::Male { &MALE } else { &FEMALE });
    // The less of two even draws: names in front are drawn more often.
    let given = rng.usize(..GIVEN.len()).min(rng.usize(..GIVEN.len()));
    (sex, format!("{} {middle} {}", drawn(rng, &FAMILIES), GIVEN[given]))
}

/// The name in capitals without marks.
pub(crate) fn plain(name: &str) -> String {
    name::ascii(name).to_uppercase()
}

/// The name, without its marks, with one letter wrong, too much, too little, or two exchanged.
pub(crate) fn mistyped(name: &str, rng: &mut fastrand::Rng) -> String {
    let mut letters: Vec<char> = plain(name).chars().collect();
    let places: Vec<usize> = (0..letters.len()).filter(|at| letters[*at].is_alphabetic()).collect();
    let at = places[rng.usize(..places.len())];
    match rng.u8(..4) {
        0 => letters[at] = rng.char('A'..='Z'),
        1 => letters.insert(at, rng.char('A'..='Z')),
        2 if letters.get(at + 1).is_some_and(|next| next.is_alphabetic()) => letters.swap(at, at + 1),
        _ => drop(letters.remove(at)),
    }
    letters.into_iter().collect()
}

/// A patient of the province; numbers begin with 1.
pub(crate) fn patient(number: u64) -> Outcome<(ChartKey, Patient)> {
    let mut rng = fastrand::Rng::with_seed(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let facility = FacilityCode::parse(&format!("56{:03}", number % 25 + 1))?;
    let key = ChartKey::new(ChartKind::Patient, facility, &format!("{number:08}"))?;
    let (sex, mut name) = named(&mut rng);
    if rng.u32(..SLIPS) == 0 {
        name = mistyped(&name, &mut rng);
    } else if rng.u32(..PLAIN) == 0 {
        name = plain(&name);
    }
    let year = rng.u16(1935..2024);
    let century = u16::from(year >= 2000) * 2 + u16::from(sex == Sex::Female);
    let tail = number % 1_000_000;
    let national =
        (rng.u32(..10) > 2).then(|| format!("99{}{century}{:02}{tail:06}", number / 1_000_000 % 10, year % 100));
    let insurance = (rng.u32(..10) > 1).then(|| format!("DN499{:010}", number * 7));
    let patient = Patient {
        mrn: key.id.clone(),
        name,
        birth: BirthDate::parse(&format!("{year}{:02}{:02}", rng.u8(1..=12), rng.u8(1..=28))).ok(),
        sex,
        ids: Identifiers { national, insurance: insurance.into_iter().collect(), ..Identifiers::default() },
        phones: vec![format!("09{:08}", rng.u32(..100_000_000))],
        address: format!("Tổ {}, phường Vĩnh Hải, Nha Trang, Khánh Hòa", rng.u8(1..40)),
        changed: 1_500_000_000_000 + rng.u64(..280_000_000_000),
        ..Patient::default()
    };
    Ok((key, patient))
}

fn entry(number: u64) -> Outcome<ChartEntry> {
    let (key, patient) = patient(number)?;
    let body = ChartBody::Patient(Box::new(patient));
    Ok(ChartEntry::Put(Box::new(ChartRow { key, lsn: number, created: number, seal: None, body })))
}

/// Fills the index up to so many patients; goes on where it stands.
pub(crate) fn fill(index: &RocksCharts, persons: u64) -> Outcome<()> {
    let (mut spent, before) = (Duration::ZERO, index.applied());
    let mut number = before;
    while number < persons {
        let until = persons.min(number + BATCH);
        let batch = (number + 1..=until).map(entry).collect::<Outcome<Vec<_>>>()?;
        number = until;
        let begun = Instant::now();
        index.apply(&batch, number)?;
        spent += begun.elapsed();
    }
    let begun = Instant::now();
    index.flush()?;
    if number > before {
        let rate = (number - before) as f64 / spent.as_secs_f64();
        println!("apply, batches of {BATCH}: {rate:.0} patients/s; flush {:.1?}; {number} patients", begun.elapsed());
    }
    Ok(())
}

/// Of sorted times the one below which so many of 1,000 lie.
pub(crate) fn at(times: &[Duration], share: usize) -> Duration {
    times.get(times.len() * share / 1000).or(times.last()).copied().unwrap_or_default()
}
