//! The numbers people have in Viet Nam: what kind a number is, and what is odd about it.
//!
//! No number here has a check digit, and registries have errors: a check remarks, it never rejects.
//! Deliberately not here: which persons are one ([`super::patient`] knows one facility only).

use super::birth::BirthDate;
use super::patient::Sex;

/// What kind a number is, told by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberKind {
    /// Personal identification number (CCCD): 12 digits.
    National,
    /// Old identity card (CMND): 9 digits.
    OldCard,
    /// Health-insurance card (BHYT): 15 characters, two letters and thirteen digits.
    InsuranceCard,
    /// Social-insurance number (BHXH): 10 digits.
    SocialInsurance,
    /// Anything else.
    Unknown,
}

/// The number without spaces, dots and dashes, letters raised.
pub fn plain(number: &str) -> String {
    let kept = number.chars().filter(|letter| !letter.is_whitespace() && !matches!(letter, '.' | '-'));
    kept.flat_map(char::to_uppercase).collect()
}

/// Codes of the provinces that a birth is registered in, as they are issued and stay in numbers after mergers; codes above
/// the last one are of births abroad.
const PROVINCES: [u16; 63] = [
    1, 2, 4, 6, 8, 10, 11, 12, 14, 15, 17, 19, 20, 22, 24, 25, 26, 27, 30, 31, 33, 34, 35, 36, 37, 38, 40, 42, 44, 45,
    46, 48, 49, 51, 52, 54, 56, 58, 60, 62, 64, 66, 67, 68, 70, 72, 74, 75, 77, 79, 80, 82, 83, 84, 86, 87, 89, 91, 92,
    93, 94, 95, 96,
];
/// Groups of insured people that stand first on a card.
const GROUPS: [&str; 51] = [
    "BA", "BT", "CA", "CB", "CC", "CH", "CK", "CN", "CS", "CT", "CY", "DK", "DN", "DT", "GB", "GD", "HC", "HG", "HK",
    "HN", "HS", "HT", "HX", "KC", "LS", "MS", "ND", "NN", "NO", "PV", "QN", "SH", "SV", "TA", "TB", "TC", "TD", "TE",
    "TH", "TK", "TN", "TQ", "TS", "TU", "TV", "TY", "XB", "XD", "XK", "XN", "XV",
];

/// What kind a number is.
pub fn kind_of(number: &str) -> NumberKind {
    let number = plain(number);
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    match (number.len(), digits) {
        (12, true) => NumberKind::National,
        (9, true) => NumberKind::OldCard,
        (10, true) => NumberKind::SocialInsurance,
        (15, false) if is_card(&number) => NumberKind::InsuranceCard,
        _ => NumberKind::Unknown,
    }
}

fn is_card(number: &str) -> bool {
    let Some((letters, digits)) = number.split_at_checked(2) else { return false };
    letters.bytes().all(|byte| byte.is_ascii_uppercase()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The social-insurance number at the end of an insurance card, or the number itself; by it cards are compared.
pub fn insurance_tail(number: &str) -> Option<String> {
    let number = plain(number);
    match kind_of(&number) {
        NumberKind::InsuranceCard => number.get(5..).map(ToOwned::to_owned),
        NumberKind::SocialInsurance => Some(number),
        _ => None,
    }
}

/// What is odd about a personal identification number, beside what else is known of its holder: province, century and
/// sex, year. Empty when nothing is.
pub fn remarks_on_national(number: &str, birth: Option<BirthDate>, sex: Sex) -> Vec<&'static str> {
    let number = plain(number);
    if kind_of(&number) != NumberKind::National {
        return vec!["the personal identification number is not 12 digits"];
    }
    let mut remarks = Vec::new();
    let part = |from: usize, to: usize| number.get(from..to).and_then(|digits| digits.parse::<u16>().ok()).unwrap_or(0);
    let place = part(0, 3);
    if place <= 96 && !PROVINCES.contains(&place) {
        remarks.push("the personal identification number names no place of registration");
    }
    let (century, male) = (part(3, 4) / 2, part(3, 4) % 2 == 0);
    let disagrees = match sex {
        Sex::Male => !male,
        Sex::Female => male,
        Sex::Other | Sex::Unknown => false,
    };
    if disagrees {
        remarks.push("the personal identification number says another sex");
    }
    if birth.is_some_and(|birth| birth.year() != 1900 + century * 100 + part(4, 6)) {
        remarks.push("the personal identification number says another year of birth");
    }
    remarks
}

/// What is odd about an insurance number. Empty when nothing is.
pub fn remarks_on_insurance(number: &str) -> Vec<&'static str> {
    match kind_of(number) {
        NumberKind::InsuranceCard => {
            let number = plain(number);
            let level = number.as_bytes().get(2).copied().unwrap_or_default();
            let mut remarks = Vec::new();
            if !number.get(..2).is_some_and(|group| GROUPS.contains(&group)) {
                remarks.push("the insurance card names no group that is known");
            }
            if !(b'1'..=b'5').contains(&level) {
                remarks.push("the insurance card names no benefit level 1 to 5");
            }
            remarks
        }
        NumberKind::SocialInsurance | NumberKind::National => Vec::new(),
        NumberKind::OldCard | NumberKind::Unknown => vec!["the insurance number has neither 10, 12 nor 15 characters"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_by_their_form() {
        for (number, kind) in [
            ("056 078 000001", NumberKind::National),
            ("225000001", NumberKind::OldCard),
            ("DN4560123456789", NumberKind::InsuranceCard),
            ("dn-4-56-0123456789", NumberKind::InsuranceCard),
            ("0123456789", NumberKind::SocialInsurance),
            ("B1234567", NumberKind::Unknown),
            ("", NumberKind::Unknown),
        ] {
            assert_eq!(kind_of(number), kind, "{number}");
        }
        assert_eq!(insurance_tail("DN4560123456789").as_deref(), Some("0123456789"));
        assert_eq!(insurance_tail("0123456789").as_deref(), Some("0123456789"));
        assert_eq!(insurance_tail("056078000001"), None);
    }

    #[test]
    fn what_disagrees_is_remarked() {
        let born = |year: &str| BirthDate::parse(year).ok();
        assert!(remarks_on_national("056078000001", born("1978"), Sex::Male).is_empty());
        assert!(remarks_on_national("056378000001", born("2078"), Sex::Female).is_empty());
        assert_eq!(remarks_on_national("056078000001", born("1979"), Sex::Female).len(), 2);
        assert!(remarks_on_national("056078000001", None, Sex::Unknown).is_empty());
        assert_eq!(remarks_on_national("123", None, Sex::Unknown).len(), 1);
        assert_eq!(remarks_on_national("000078000001", None, Sex::Unknown).len(), 1);
        // 003 is no province's; a code above the list is of a birth abroad.
        assert_eq!(remarks_on_national("003078000001", None, Sex::Unknown).len(), 1);
        assert!(remarks_on_national("101078000001", None, Sex::Unknown).is_empty());
        assert_eq!(remarks_on_insurance("DN9560123456789").len(), 1);
        assert_eq!(remarks_on_insurance("ZZ4560123456789").len(), 1);
        assert!(remarks_on_insurance("DN4560123456789").is_empty());
    }
}
