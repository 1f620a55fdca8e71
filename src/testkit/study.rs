//! Synthetic studies: whole examinations of invented patients, the same for the same seed.
//!
//! Values are plausible for searching and realistic in size; they are not meant to pass an IOD validator.

use crate::element::{DataSet, file_meta};
use crate::names::{DEPARTMENTS, FACILITIES, Person, doctor, pick};
use crate::object::{Object, syntax};
use crate::pixels;
use fastrand::Rng;

/// A JPEG frame of 640 × 480 grey pixels.
const ULTRASOUND_JPEG: &[u8] = include_bytes!("ultrasound.jpg");

/// What kind of examination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Computed tomography, 512 × 512, 16 bit.
    Ct,
    /// Magnetic resonance, 256 × 256, 16 bit.
    Mr,
    /// Digital radiography, 2500 × 2000, 16 bit.
    Dx,
    /// Ultrasound cine of 27 MB, RGB.
    UsRaw,
    /// Ultrasound cine as JPEG Baseline.
    UsJpeg,
    /// Structured report.
    Sr,
    /// A computed radiograph in miniature: 2 to 8 KiB.
    Tiny,
}

/// One synthetic study; its instances are made on demand.
#[derive(Debug, Clone)]
pub struct Study {
    /// What it holds.
    pub kind: Kind,
    /// Facility code and name.
    pub facility: (&'static str, &'static str),
    /// The patient.
    pub patient: Person,
    /// Accession Number.
    pub accession: String,
    /// Study Instance UID.
    pub uid: String,
    /// `YYYYMMDD`.
    pub date: String,
    /// `HHMMSS`.
    pub time: String,
    /// Number of instances over all series.
    pub instances: u32,
    seed: u64,
}

/// A UID made of a seed and a path of numbers, under the UUID root (PS3.5 section B.2).
pub fn uid(seed: u64, path: &[u64]) -> String {
    let mut rng =
        Rng::with_seed(path.iter().fold(seed, |mixed, part| {
            (mixed ^ part.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
        }));
    format!("2.25.{}", rng.u128(1u128 << 100..))
}

impl Study {
    /// The study with this number.
    pub fn draw(seed: u64, number: u64, kind: Kind, instances: u32) -> Self {
        let seed = seed ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03);
        let mut rng = Rng::with_seed(seed);
        let facility = FACILITIES.get(rng.usize(0..FACILITIES.len())).copied().unwrap_or_default();
        Self {
            kind,
            facility,
            patient: Person::draw(0xA11CE, rng.u64(0..8_000)),
            accession: format!("{}{:07}", rng.u32(18..26), number % 10_000_000),
            uid: uid(seed, &[number]),
            date: format!("{}{:02}{:02}", rng.u32(2016..2026), rng.u32(1..13), rng.u32(1..29)),
            time: format!("{:02}{:02}{:02}", rng.u32(6..20), rng.u32(0..60), rng.u32(0..60)),
            instances,
            seed,
        }
    }

    /// Every instance.
    pub fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        (0..self.instances).map(|number| self.object(number))
    }

    /// The instance with this number from 0: the same bytes every time.
    pub fn object(&self, number: u32) -> Object {
        let mut rng = Rng::with_seed(self.seed ^ u64::from(number).wrapping_mul(0xA24B_AED4_963E_E407));
        let (sop_class, modality, per_series) = match self.kind {
            Kind::Ct => ("1.2.840.10008.5.1.4.1.1.2", "CT", 500),
            Kind::Mr => ("1.2.840.10008.5.1.4.1.1.4", "MR", 24),
            Kind::Dx => ("1.2.840.10008.5.1.4.1.1.1.1", "DX", 1),
            Kind::UsRaw | Kind::UsJpeg => ("1.2.840.10008.5.1.4.1.1.3.1", "US", 8),
            Kind::Sr => ("1.2.840.10008.5.1.4.1.1.88.11", "SR", 8),
            Kind::Tiny => {
                let names = ["CR", "CT", "MR", "US", "DX", "XA"];
                ("1.2.840.10008.5.1.4.1.1.1", pick(&mut Rng::with_seed(self.seed.rotate_left(7)), &names), 10)
            }
        };
        let series = number / per_series;
        let transfer_syntax = if self.kind == Kind::UsJpeg { syntax::JPEG } else { syntax::EXPLICIT };
        let sop_instance = uid(self.seed, &[1, u64::from(series), u64::from(number)]);
        let series_uid = uid(self.seed, &[2, u64::from(series)]);
        let mut data = DataSet::new();
        let place = InSeries {
            sop_class,
            modality,
            sop_instance: &sop_instance,
            series: &series_uid,
            series_number: series,
            number,
        };
        self.head(&mut data, &mut rng, &place);
        self.body(&mut data, &mut rng, number % per_series);
        let mut file = file_meta(sop_class, &sop_instance, transfer_syntax);
        let data_set_at = file.len();
        file.extend_from_slice(&data.into_bytes());
        Object {
            sop_class: sop_class.into(),
            study: self.uid.clone(),
            series: series_uid,
            transfer_syntax: transfer_syntax.into(),
            sop_instance,
            file,
            data_set_at,
        }
    }

    fn head(&self, data: &mut DataSet, rng: &mut Rng, place: &InSeries<'_>) {
        let mut shared = Rng::with_seed(self.seed);
        data.text(0x0008_0005, "CS", "ISO_IR 192")
            .text(0x0008_0008, "CS", "ORIGINAL\\PRIMARY")
            .text(0x0008_0016, "UI", place.sop_class)
            .text(0x0008_0018, "UI", place.sop_instance)
            .text(0x0008_0020, "DA", &self.date)
            .text(0x0008_0021, "DA", &self.date)
            .text(0x0008_0030, "TM", &self.time)
            .text(0x0008_0050, "SH", &self.accession)
            .text(0x0008_0060, "CS", place.modality)
            .text(0x0008_0070, "LO", pick(&mut shared, &["Hãng A", "Vendor B", "Vendor C"]))
            .text(0x0008_0080, "LO", self.facility.1)
            .text(0x0008_0090, "PN", &doctor(&mut shared))
            .text(0x0008_1010, "SH", &format!("{}01", place.modality))
            .text(0x0008_1030, "LO", pick(&mut shared, DESCRIPTIONS))
            .text(0x0008_103E, "LO", &format!("Loạt {}", place.series_number + 1))
            .text(0x0008_1040, "LO", pick(&mut shared, DEPARTMENTS))
            .text(0x0010_0010, "PN", &self.patient.name)
            .text(0x0010_0020, "LO", &self.patient.id)
            .text(0x0010_0030, "DA", &self.patient.birth_date)
            .text(0x0010_0040, "CS", self.patient.sex)
            .text(0x0018_0015, "CS", pick(&mut shared, &["CHEST", "HEAD", "ABDOMEN", "KNEE"]))
            .text(0x0018_0050, "DS", "1.25")
            .text(0x0020_000D, "UI", &self.uid)
            .text(0x0020_000E, "UI", place.series)
            .text(0x0020_0010, "SH", &self.accession)
            .text(0x0020_0011, "IS", &(place.series_number + 1).to_string())
            .text(0x0020_0013, "IS", &(place.number + 1).to_string())
            .text(0x0020_0032, "DS", &format!("-180\\-180\\{}.25", rng.i32(-900..900)))
            .text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0");
    }

    fn body(&self, data: &mut DataSet, rng: &mut Rng, slice: u32) {
        let z = f32::from(u16::try_from(slice % 100).unwrap_or(0)) / 100.0;
        match self.kind {
            Kind::Ct => {
                grey(data, 512, 512, 1, "0.7\\0.7");
                data.value(0x7FE0_0010, "OW", &pixels::ct(rng, 512, z));
            }
            Kind::Mr => {
                grey(data, 256, 256, 0, "0.9\\0.9");
                data.value(0x7FE0_0010, "OW", &pixels::mr(rng, 256, z));
            }
            Kind::Dx => {
                grey(data, 2500, 2000, 0, "0.14\\0.14");
                data.value(0x7FE0_0010, "OW", &pixels::dx(rng, 2500, 2000));
            }
            Kind::UsRaw => {
                let frames: Vec<u8> =
                    (0u8..30).flat_map(|frame| pixels::us(rng, 480, 640, f32::from(frame) * 0.4)).collect();
                colour(data, "RGB", 3);
                data.value(0x7FE0_0010, "OB", &frames);
            }
            Kind::UsJpeg => {
                colour(data, "MONOCHROME2", 1);
                data.encapsulated(&[ULTRASOUND_JPEG; 30]);
            }
            Kind::Sr => report(data, rng),
            Kind::Tiny => {
                let rows = rng.u16(14..74);
                grey(data, rows, 48, 0, "1\\1");
                data.value(0x7FE0_0010, "OW", pixels::mr(rng, 80, z).get(..usize::from(rows) * 96).unwrap_or_default());
            }
        }
    }
}

struct InSeries<'a> {
    sop_class: &'a str,
    modality: &'a str,
    sop_instance: &'a str,
    series: &'a str,
    series_number: u32,
    number: u32,
}

const DESCRIPTIONS: &[&str] = &[
    "Chụp CLVT lồng ngực không cản quang",
    "Chụp X-quang ngực thẳng",
    "Siêu âm tim Doppler màu",
    "Chụp cộng hưởng từ sọ não",
    "Siêu âm ổ bụng tổng quát",
    "Chụp CLVT sọ não",
];

fn grey(data: &mut DataSet, rows: u16, columns: u16, signed: u16, spacing: &str) {
    data.us(0x0028_0002, 1)
        .text(0x0028_0004, "CS", "MONOCHROME2")
        .us(0x0028_0010, rows)
        .us(0x0028_0011, columns)
        .text(0x0028_0030, "DS", spacing)
        .us(0x0028_0100, 16)
        .us(0x0028_0101, 16)
        .us(0x0028_0102, 15)
        .us(0x0028_0103, signed)
        .text(0x0028_1050, "DS", "40")
        .text(0x0028_1051, "DS", "400");
}

fn colour(data: &mut DataSet, photometric: &str, samples: u16) {
    data.us(0x0028_0002, samples).text(0x0028_0004, "CS", photometric);
    if samples > 1 {
        data.us(0x0028_0006, 0);
    }
    data.text(0x0028_0008, "IS", "30")
        .us(0x0028_0010, 480)
        .us(0x0028_0011, 640)
        .us(0x0028_0100, 8)
        .us(0x0028_0101, 8)
        .us(0x0028_0102, 7)
        .us(0x0028_0103, 0);
}

fn report(data: &mut DataSet, rng: &mut Rng) {
    data.text(0x0040_A040, "CS", "CONTAINER");
    data.sequence(0x0040_A730, |item| {
        item.text(0x0040_A010, "CS", "CONTAINS").text(0x0040_A040, "CS", "TEXT");
        let sentences = ["Không thấy tổn thương khu trú. ", "Tim không to. ", "Màng phổi hai bên bình thường. "];
        let text: String = (0..rng.usize(20..60)).map(|_| pick(rng, &sentences)).collect();
        item.text(0x0040_A160, "UT", &text);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let study = Study::draw(7, 3, Kind::Mr, 30);
        assert_eq!(study.object(29), Study::draw(7, 3, Kind::Mr, 30).object(29));
        assert_ne!(study.object(29).sop_instance, Study::draw(8, 3, Kind::Mr, 30).object(29).sop_instance);
    }

    #[test]
    fn a_written_object_reads_back_with_its_own_uids() {
        for kind in [Kind::Ct, Kind::Mr, Kind::Dx, Kind::UsRaw, Kind::UsJpeg, Kind::Sr, Kind::Tiny] {
            let object = Study::draw(1, 2, kind, 1).object(0);
            assert_eq!(Object::from_file(object.file.clone()).expect("readable"), object, "{kind:?}");
        }
    }

    #[test]
    fn sizes_are_as_the_corpora_promise() {
        let size = |kind| Study::draw(1, 2, kind, 1).object(0).file.len();
        assert!((27_000_000..28_500_000).contains(&size(Kind::UsRaw)));
        assert!((2_048..8_192).contains(&size(Kind::Sr)), "{}", size(Kind::Sr));
        for number in 0..40 {
            let tiny = Study::draw(1, number, Kind::Tiny, 1).object(0).file.len();
            assert!((2_048..=8_192).contains(&tiny), "{tiny}");
        }
    }
}
