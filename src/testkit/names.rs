//! Vietnamese people, hospitals and descriptions for synthetic studies.
//!
//! Frequencies are roughly those of the country (a third are called Nguyễn), because a name index
//! is tested by its common names. Every person is invented; numbers carry the reserved test serials.

use fastrand::Rng;

const FAMILIES: &[(&str, u32)] = &[
    ("Nguyễn", 38),
    ("Trần", 11),
    ("Lê", 9),
    ("Phạm", 7),
    ("Hoàng", 5),
    ("Huỳnh", 5),
    ("Phan", 4),
    ("Vũ", 4),
    ("Võ", 3),
    ("Đặng", 2),
    ("Bùi", 2),
    ("Đỗ", 2),
    ("Hồ", 2),
    ("Ngô", 1),
    ("Dương", 1),
    ("Lý", 1),
    ("Tôn Nữ", 1),
    ("Niê", 1),
    ("K'Brôi", 1),
];
const MIDDLE_MALE: &[&str] = &["Văn", "Hữu", "Đức", "Minh", "Quang", "Thanh", "Công", "Đình", "Xuân", "Bá"];
const MIDDLE_FEMALE: &[&str] = &["Thị", "Thị Thanh", "Ngọc", "Thị Ngọc", "Thu", "Kim", "Thị Mỹ", "Hồng", "Diệu"];
const GIVEN_MALE: &[&str] = &[
    "An", "Bình", "Cường", "Dũng", "Đạt", "Hải", "Hiếu", "Hoà", "Hùng", "Khánh", "Long", "Nam", "Phúc", "Quốc", "Sơn",
    "Thắng", "Thuỷ", "Tuấn", "Việt", "Ý",
];
const GIVEN_FEMALE: &[&str] = &[
    "An",
    "Ánh",
    "Chi",
    "Dung",
    "Hà",
    "Hằng",
    "Hoa",
    "Hương",
    "Lan",
    "Linh",
    "Mai",
    "Nga",
    "Nhung",
    "Oanh",
    "Phượng",
    "Quyên",
    "Thảo",
    "Thúy",
    "Trang",
    "Yến",
];

/// A synthetic facility: code, name, departments that order images.
pub const FACILITIES: &[(&str, &str)] = &[
    ("56001", "Bệnh viện Đa khoa tỉnh Khánh Hòa"),
    ("56002", "Bệnh viện Đa khoa khu vực Cam Ranh"),
    ("56003", "Bệnh viện Đa khoa khu vực Ninh Hòa"),
    ("56011", "Bệnh viện Ung bướu tỉnh"),
    ("56020", "Trung tâm Y tế huyện Diên Khánh"),
    ("56777", "Phòng khám Đa khoa Vạn Phước"),
];

/// Departments that order examinations.
pub const DEPARTMENTS: &[&str] =
    &["Khoa Cấp cứu", "Khoa Nội tổng hợp", "Khoa Ngoại chấn thương", "Khoa Nhi", "Khoa Sản", "Khoa Khám bệnh"];

/// A synthetic patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Name with component separators, UTF-8.
    pub name: String,
    /// Hospital number, unique only inside a facility.
    pub id: String,
    /// `YYYYMMDD`.
    pub birth_date: String,
    /// `M` or `F`.
    pub sex: &'static str,
}

impl Person {
    /// Draws the person with this hospital number; the same seed and number give the same person.
    pub fn draw(seed: u64, number: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let female = rng.bool();
        let (middle, given) = if female { (MIDDLE_FEMALE, GIVEN_FEMALE) } else { (MIDDLE_MALE, GIVEN_MALE) };
        Self {
            name: format!("{}^{}^{}", family(&mut rng), pick(&mut rng, given), pick(&mut rng, middle)),
            id: format!("{:02}{:06}", 18 + number % 8, number % 1_000_000),
            birth_date: format!("{}{:02}{:02}", rng.u32(1930..2024), rng.u32(1..13), rng.u32(1..29)),
            sex: if female { "F" } else { "M" },
        }
    }
}

/// A doctor's name.
pub fn doctor(rng: &mut Rng) -> String {
    format!("{}^{}^{}^BS", family(rng), pick(rng, GIVEN_MALE), pick(rng, MIDDLE_MALE))
}

/// One of a list.
pub(crate) fn pick<'a>(rng: &mut Rng, list: &[&'a str]) -> &'a str {
    list.get(rng.usize(0..list.len().max(1))).copied().unwrap_or_default()
}

fn family(rng: &mut Rng) -> &'static str {
    let total: u32 = FAMILIES.iter().map(|(_, weight)| weight).sum();
    let mut drawn = rng.u32(0..total);
    for (name, weight) in FAMILIES {
        if drawn < *weight {
            return name;
        }
        drawn -= weight;
    }
    "Nguyễn"
}
