//! Measures searches of patients by name on a made-up province of a given size, filled through the same apply code.
//!
//! `cargo run --release -p khoanh-index --example charts -- [persons] [folder]`
//! prints the rate of apply and the time of searches as median, 95th and 99th percentile. Names are drawn as often as
//! they are in Viet Nam: a third of all people are called Nguyễn.

use index::RocksOptions;
use index::charts::{ChartDriver, ChartEntry, ChartQuery, Charts, RocksCharts};
use model::chart::{BirthDate, ChartBody, ChartKey, ChartKind, ChartRow, Identifiers, Patient, Sex, Term};
use model::{FacilityCode, name};
use std::error::Error;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

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
/// Patients of a batch.
const BATCH: u64 = 500;
/// Searches of each kind.
const ROUNDS: usize = 1_000;

struct Province {
    rng: fastrand::Rng,
}

impl Province {
    fn drawn(&mut self, list: &[(&'static str, u32)]) -> &'static str {
        let mut share = self.rng.u32(..list.iter().map(|(_, weight)| weight).sum::<u32>());
        for &(name, weight) in list {
            if share < weight {
                return name;
            }
            share -= weight;
        }
        ""
    }

    fn person(&mut self) -> (String, Sex, u16) {
        let sex = if self.rng.bool() { Sex::Male } else { Sex::Female };
        let middle = self.drawn(if sex == Sex::Male { &MALE } else { &FEMALE });
        // The less of two even draws: names in front are drawn more often.
        let given = self.rng.usize(..GIVEN.len()).min(self.rng.usize(..GIVEN.len()));
        (format!("{} {middle} {}", self.drawn(&FAMILIES), GIVEN[given]), sex, self.rng.u16(1935..2024))
    }

    fn patient(&mut self, number: u64) -> Outcome<ChartEntry> {
        let facility = FacilityCode::parse(&format!("56{:03}", number % 25 + 1))?;
        let key = ChartKey::new(ChartKind::Patient, facility, &format!("{number:08}"))?;
        let (name, sex, year) = self.person();
        let tail = number % 1_000_000;
        let national = (self.rng.u32(..10) > 2).then(|| format!("056{}{:02}{tail:06}", self.rng.u8(..4), year % 100));
        let patient = Patient {
            mrn: key.id.clone(),
            name,
            birth: BirthDate::parse(&format!("{year}{:02}{:02}", self.rng.u8(1..=12), self.rng.u8(1..=28))).ok(),
            sex,
            ids: Identifiers { national, ..Identifiers::default() },
            phones: vec![format!("09{:08}", self.rng.u32(..100_000_000))],
            address: format!("Tổ {}, phường Vĩnh Hải, Nha Trang, Khánh Hòa", self.rng.u8(1..40)),
            changed: 1_500_000_000_000 + self.rng.u64(..280_000_000_000),
            ..Patient::default()
        };
        let body = ChartBody::Patient(Box::new(patient));
        Ok(ChartEntry::Put(Box::new(ChartRow { key, lsn: number, created: number, seal: None, body })))
    }

    /// A name that somebody may have, as words to search by.
    fn words(&mut self) -> Vec<String> {
        let (name, ..) = self.person();
        name::tokens(&name)
    }
}

fn fill(index: &RocksCharts, province: &mut Province, persons: u64) -> Outcome<()> {
    let mut spent = Duration::ZERO;
    let mut number = index.applied();
    let before = number;
    while number < persons {
        let batch = (1..=BATCH).map(|more| province.patient(number + more)).collect::<Outcome<Vec<_>>>()?;
        number += BATCH;
        let begun = Instant::now();
        index.apply(&batch, number)?;
        spent += begun.elapsed();
    }
    let begun = Instant::now();
    index.flush()?;
    if number > before {
        println!("{:44} {:>10.0} patients/s", "apply, batches of 500", (number - before) as f64 / spent.as_secs_f64());
    }
    println!("flush {:.1?}, {number} patients", begun.elapsed());
    Ok(())
}

fn searches(index: &RocksCharts, what: &str, mut query: impl FnMut() -> ChartQuery) -> Outcome<()> {
    let (mut times, mut rows, mut short) = (Vec::new(), 0, 0);
    for _ in 0..ROUNDS {
        let query = query();
        let begun = Instant::now();
        let page = index.find(&query, None, 20)?;
        times.push(begun.elapsed());
        rows += page.rows.len();
        short += usize::from(page.rows.len() < 20 && page.cursor.is_some());
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 1000).copied().unwrap_or_default();
    let what = format!("{what} ({:.1} rows, {short} short)", rows as f64 / ROUNDS as f64);
    println!(
        "{what:44} median {:>9.1?}  p95 {:>9.1?}  p99 {:>9.1?}  most {:>9.1?}",
        at(500),
        at(950),
        at(990),
        times.last().copied().unwrap_or_default()
    );
    Ok(())
}

fn by_words(words: Vec<String>, years: Option<(u16, u16)>) -> ChartQuery {
    let driver = ChartDriver::Words(words);
    ChartQuery { kind: ChartKind::Patient, facilities: None, driver, moments: None, years }
}

fn all_searches(index: &RocksCharts, province: &mut Province, persons: u64) -> Outcome<()> {
    searches(index, "whole name", || by_words(province.words(), None))?;
    searches(index, "whole name, year", || {
        let year = province.rng.u16(1935..2024);
        by_words(province.words(), Some((year, year)))
    })?;
    searches(index, "NGUYEN VAN AN", || by_words(["NGUYEN", "VAN", "AN"].map(str::to_owned).into(), None))?;
    searches(index, "NGUYEN VAN AN, year", || {
        let year = province.rng.u16(1935..2024);
        by_words(["NGUYEN", "VAN", "AN"].map(str::to_owned).into(), Some((year, year)))
    })?;
    searches(index, "two family names", || by_words(["TRAN", "NGUYEN"].map(str::to_owned).into(), None))?;
    searches(index, "first letters", || {
        let first = |word: &String| word.chars().take(1).collect::<String>();
        by_words(province.words().iter().map(first).collect(), None)
    })?;
    searches(index, "whole name, one facility", || ChartQuery {
        facilities: FacilityCode::parse(&format!("56{:03}", province.rng.u32(1..=25))).ok().map(|code| [code].into()),
        ..by_words(province.words(), None)
    })?;
    searches(index, "number of a patient", || ChartQuery {
        driver: ChartDriver::Equal(Term::Mrn, format!("{:08}", province.rng.u64(1..=persons))),
        ..by_words(Vec::new(), None)
    })
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let persons: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let own = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| own.path().to_path_buf(), Into::into);
    let index = RocksCharts::open(&folder, RocksOptions::default())?;
    let mut province = Province { rng: fastrand::Rng::with_seed(1) };
    fill(&index, &mut province, persons)?;
    // Another seed for the searches: the same ones whether it was filled now or before.
    province.rng = fastrand::Rng::with_seed(2);
    all_searches(&index, &mut province, persons)?;
    drop(index);
    let begun = Instant::now();
    let index = RocksCharts::open(&folder, RocksOptions::default())?;
    println!("open {:.1?}, applied {}", begun.elapsed(), index.applied());
    all_searches(&index, &mut province, persons)
}
