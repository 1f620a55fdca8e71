//! Which region of the body a text speaks of, by its words in Vietnamese and English and by the standard's terms
//! (PS3.16 annex L).
//!
//! A help for putting earlier studies in order and nothing more: whoever is not understood is put behind.

use model::name::fold;

/// Regions, each by the words it is called by, folded. Words that mean something else without their marks are left out.
const REGIONS: [&[&str]; 9] = [
    &["HEAD", "BRAIN", "SKULL", "FACE", "SINUS", "ORBIT", "SO NAO", "NAO", "HOP SO", "HAM MAT", "SO MAT", "XOANG"],
    &["NECK", "THYROID", "CERVICAL", "CSPINE", "TUYEN GIAP", "VUNG CO", "COT SONG CO"],
    &["CHEST", "LUNG", "THORAX", "RIB", "MEDIASTINUM", "NGUC", "LONG NGUC", "PHOI", "TRUNG THAT", "XUONG SUON"],
    &["HEART", "CARDIAC", "CORONARY", "AORTA", "TIM", "MACH VANH", "DONG MACH CHU"],
    &["ABDOMEN", "LIVER", "KIDNEY", "PANCREAS", "BUNG", "O BUNG", "GAN", "TUY", "HE TIET NIEU", "DA DAY"],
    &["PELVIS", "HIP", "PROSTATE", "UTERUS", "BLADDER", "KHUNG CHAU", "TIEU KHUNG", "KHOP HANG", "TU CUNG"],
    &["SPINE", "LSPINE", "TSPINE", "CSPINE", "LUMBAR", "COT SONG", "THAT LUNG"],
    &["BREAST", "MAMMO", "VU", "TUYEN VU", "NHU ANH"],
    &[
        "KNEE",
        "LEG",
        "FOOT",
        "ANKLE",
        "ARM",
        "HAND",
        "WRIST",
        "ELBOW",
        "SHOULDER",
        "EXTREMITY",
        "GOI",
        "KHOP GOI",
        "BAN CHAN",
        "CANG CHAN",
        "CHI DUOI",
        "CHI TREN",
        "BAN TAY",
        "CANG TAY",
        "KHOP VAI",
        "KHUYU",
    ],
];

/// The regions of a text, a bit for each.
pub(super) fn regions(text: &str) -> u16 {
    let text = format!(" {} ", fold(text));
    let speaks = |words: &[&str]| words.iter().any(|word| text.contains(&format!(" {word} ")));
    REGIONS.iter().enumerate().fold(0, |found, (bit, words)| found | (u16::from(speaks(words)) << bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_known_by_its_names_in_both_languages() {
        for (one, other) in [
            ("Chụp CLVT lồng ngực có thuốc", "CHEST"),
            ("CT sọ não", "Brain w/o contrast"),
            ("Siêu âm ổ bụng", "ABDOMEN"),
            ("X-quang khớp gối", "KNEE"),
            ("Chụp nhũ ảnh", "BREAST"),
        ] {
            assert_ne!(regions(one), 0, "{one}");
            assert_eq!(regions(one), regions(other), "{one} {other}");
        }
        assert_eq!(regions("CT ngực") & regions("CT bụng"), 0);
        assert_ne!(regions("CT ngực bụng") & regions("CT bụng"), 0);
        assert_eq!(regions("Chẩn đoán số 5, có thuốc"), 0);
        assert_eq!(regions(""), 0);
    }
}
