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
    if part(0, 3) == 0 {
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
            let level = plain(number).as_bytes().get(2).copied().unwrap_or_default();
            if (b'1'..=b'5').contains(&level) {
                Vec::new()
            } else {
                vec!["the insurance card names no benefit level 1 to 5"]
            }
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
        assert_eq!(remarks_on_insurance("DN9560123456789").len(), 1);
        assert!(remarks_on_insurance("DN4560123456789").is_empty());
    }
}
