//! What opens a patient's link: its secret, its code, and the birth date as people write it.
//!
//! The secret is 130 random bits in the letters of Crockford's base 32, which nobody mistakes for each other on paper.
//! The check of the code is made of both, so whoever has the disks has neither and can try no code.

use super::super::ChartError;
use super::super::journal::unavailable;
use model::Digest;
use model::chart::BirthDate;
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest as _, Sha256};
use std::num::NonZeroU32;

/// Letters of a secret.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Length of a secret: 5 bits a letter.
const SECRET_LEN: usize = 26;
/// Digits of a code.
const CODE_LEN: usize = 6;
/// Rounds of PBKDF2-HMAC-SHA256. Few: without the secret, which is on no disk, there is nothing to try codes against.
pub(super) const ROUNDS: u32 = 20_000;
/// Longest text that is taken for a secret, code or date.
const TEXT_MAX: usize = 64;

fn random<const N: usize>() -> Result<[u8; N], ChartError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| unavailable("no random numbers"))?;
    Ok(bytes)
}

/// A new secret.
pub(super) fn draw() -> Result<String, ChartError> {
    let bytes: [u8; SECRET_LEN] = random()?;
    let letters = bytes.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31)));
    Ok(letters.map(|letter| char::from(*letter)).collect())
}

/// A new code.
pub(super) fn draw_code() -> Result<String, ChartError> {
    let most = 10u32.pow(6);
    loop {
        let number = u32::from_be_bytes(random()?);
        // Every code is equally likely.
        if number < u32::MAX - u32::MAX % most {
            return Ok(format!("{:06}", number % most));
        }
    }
}

/// A new salt.
pub(super) fn draw_salt() -> Result<Digest, ChartError> {
    random().map(Digest)
}

/// A secret as it was drawn, of what a person copied from paper; none of what cannot be one.
pub(super) fn read(text: &str) -> Option<String> {
    let kept = text.chars().take(TEXT_MAX).filter(|letter| !matches!(letter, '-' | ' '));
    let same = kept.map(|letter| match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    });
    let secret: String = same.collect();
    let sound = secret.len() == SECRET_LEN && secret.bytes().all(|byte| LETTERS.contains(&byte));
    sound.then_some(secret)
}

/// The digits of a code.
fn digits(text: &str) -> String {
    text.chars().take(TEXT_MAX).filter(char::is_ascii_digit).take(CODE_LEN.saturating_add(1)).collect()
}

/// By what a link is found.
pub(super) fn name(secret: &str) -> Digest {
    Digest(Sha256::digest(secret).into())
}

fn joined(secret: &str, code: &str) -> String {
    format!("{secret} {}", digits(code))
}

fn rounds(rounds: u32) -> NonZeroU32 {
    NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN)
}

/// What secret and code come to.
pub(super) fn check(secret: &str, code: &str, salt: &Digest) -> Digest {
    let mut out = [0; 32];
    let text = joined(secret, code);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds(ROUNDS), &salt.0, text.as_bytes(), &mut out);
    Digest(out)
}

/// Whether secret and code come to it; it takes the same time whether they do or not.
pub(super) fn holds(secret: &str, code: &str, (salt, made_in, check): (&Digest, u32, &Digest)) -> bool {
    let text = joined(secret, code);
    pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, rounds(made_in), &salt.0, text.as_bytes(), &check.0).is_ok()
}

/// A birth date as people write it: `5/3/1978`, `05-03-1978`, `05031978`, `1978-03-05`, `3/1978`, `1978`.
pub(super) fn birth(text: &str) -> Option<BirthDate> {
    let parts: Vec<&str> =
        text.split(|letter: char| !letter.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let joined = match parts.as_slice() {
        [year] if year.len() == 4 => (*year).to_owned(),
        [whole] if whole.len() == 8 => {
            let (day, rest) = whole.split_at_checked(2)?;
            let (month, year) = rest.split_at_checked(2)?;
            // Day first, as it is written here; a year first where that gives no date.
            return BirthDate::parse(&format!("{year}{month}{day}")).or_else(|_| BirthDate::parse(whole)).ok();
        }
        [month, year] if year.len() == 4 => format!("{year}{month:0>2}"),
        [year, month, day] if year.len() == 4 => format!("{year}{month:0>2}{day:0>2}"),
        [day, month, year] if year.len() == 4 => format!("{year}{month:0>2}{day:0>2}"),
        _ => return None,
    };
    BirthDate::parse(&joined).ok()
}

/// Whether somebody told all of a birth date that is known: more than is known does no harm.
pub(super) fn proves(told: BirthDate, known: BirthDate) -> bool {
    if known.whole().is_some() {
        return told == known;
    }
    told.year() == known.year() && known.month().is_none_or(|month| told.month() == Some(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_survives_being_copied_by_hand() {
        let (one, two) = (draw().expect("drawn"), draw().expect("drawn"));
        assert!(one.len() == SECRET_LEN && one != two);
        assert_eq!(read(&one.to_uppercase()), Some(one.clone()));
        let (head, tail) = one.split_at(13);
        assert_eq!(read(&format!(" {head} - {tail}")), Some(one));
        assert_eq!(read("oO0iIlL1oO0iIlL1oO0iIlL1ab"), Some(format!("{}ab", "00011111".repeat(3))));
        for wrong in ["", "abc", &"u".repeat(26), &"a".repeat(27), "../../../etc/passwd/......"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let code = draw_code().expect("drawn");
        assert!(code.len() == CODE_LEN && code.bytes().all(|byte| byte.is_ascii_digit()));
    }

    #[test]
    fn a_check_is_of_one_secret_and_one_code() {
        let salt = Digest([9; 32]);
        let made = check("secret", "012345", &salt);
        assert!(holds("secret", "012 345", (&salt, ROUNDS, &made)));
        for (secret, code) in [("secret", "012346"), ("secres", "012345"), ("secret", ""), ("secret", "0123456")] {
            assert!(!holds(secret, code, (&salt, ROUNDS, &made)), "{secret} {code}");
        }
        assert!(!holds("secret", "012345", (&Digest([8; 32]), ROUNDS, &made)));
    }

    #[test]
    fn a_birth_date_is_read_as_people_write_it_and_told_as_far_as_it_is_known() {
        let day = BirthDate::parse("1978-03-05").expect("a date");
        for text in ["5/3/1978", "05-03-1978", "05.03.1978", "05031978", "19780305", "1978-03-05", " 05 03 1978 "] {
            assert_eq!(birth(text), Some(day), "{text}");
        }
        assert_eq!(birth("3/1978"), BirthDate::parse("1978-03").ok());
        for wrong in ["", "5/3/78", "31/2/1978", "1/2/3/1978", "abc"] {
            assert_eq!(birth(wrong), None, "{wrong}");
        }
        let (year, month) = (BirthDate::parse("1978").expect("a year"), BirthDate::parse("1978-03").expect("a month"));
        assert!(proves(day, day) && proves(day, year) && proves(day, month) && proves(month, month));
        assert!(!proves(year, day) && !proves(month, day) && !proves(year, month));
        assert!(!proves(BirthDate::parse("1978-03-06").expect("a date"), day));
    }
}
