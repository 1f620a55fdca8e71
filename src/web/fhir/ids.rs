//! Logical ids: the facility and the number of what is meant, so that nothing has to be kept to find it again.
//!
//! An id has 1 to 64 letters, digits, dashes and dots (FHIR R4 2.24.0.1). `56001.22015985` is the number 22015985 of the
//! facility 56001; a byte that may not stand in an id is a dot and two hexadecimal digits. A number that does not fit has
//! no id and is not told by FHIR.

use model::{FacilityCode, Uid};
use std::fmt::Write as _;

/// Longest id.
const LENGTH_MAX: usize = 64;
/// Digits of a packed UID.
const BASE32: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// What fills the last digit of a packed UID.
const FILL: u32 = 15;

/// The id of a number of a facility; none where it does not fit.
pub(crate) fn of(facility: FacilityCode, number: &str) -> Option<String> {
    let mut id = format!("{facility}.");
    for byte in number.trim().bytes() {
        match byte {
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => id.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(id, ".{byte:02X}");
            }
        }
    }
    (id.len() <= LENGTH_MAX && id.len() > 6).then_some(id)
}

/// What an id names; none of a text that [`of`] does not write.
pub(crate) fn read(id: &str) -> Option<(FacilityCode, String)> {
    let (code, rest) = id.split_once('.')?;
    let facility = FacilityCode::parse(code).ok()?;
    let (mut bytes, mut rest) = (Vec::with_capacity(rest.len()), rest.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'.' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => other,
        });
    }
    let number = String::from_utf8(bytes).ok()?;
    (of(facility, &number).as_deref() == Some(id)).then_some((facility, number))
}

/// The id of a part of what a number names.
pub(crate) fn of_part(facility: FacilityCode, part: usize, number: &str) -> Option<String> {
    let whole = of(facility, number)?;
    let id = format!("{facility}-{part}{}", whole.get(5..)?);
    (id.len() <= LENGTH_MAX).then_some(id)
}

/// The part and the number that such an id names.
pub(crate) fn read_part(id: &str) -> Option<(FacilityCode, usize, String)> {
    let (code, rest) = id.split_at_checked(5)?;
    let (part, number) = rest.strip_prefix('-')?.split_once('.')?;
    let (facility, number) = read(&format!("{code}.{number}"))?;
    let part = part.parse().ok()?;
    (of_part(facility, part, &number).as_deref() == Some(id)).then_some((facility, part, number))
}

/// The id of a study: the UID behind the facility, packed where both together are too long.
pub(crate) fn of_study(facility: FacilityCode, study: &Uid) -> String {
    let plain = format!("{facility}.{}", study.as_str());
    if plain.len() <= LENGTH_MAX {
        return plain;
    }
    format!("{facility}-{}", packed(study))
}

/// The id of an act about a study: always packed, so that it fits.
pub(crate) fn of_act(facility: FacilityCode, part: usize, study: &Uid) -> String {
    format!("{facility}-{part}-{}", packed(study))
}

/// The part and the study that such an id names.
pub(crate) fn read_act(id: &str) -> Option<(FacilityCode, usize, Uid)> {
    let (code, rest) = id.split_at_checked(5)?;
    let (part, text) = rest.strip_prefix('-')?.split_once('-')?;
    let (facility, part) = (FacilityCode::parse(code).ok()?, part.parse().ok()?);
    let study = Uid::parse(&unpacked(text)?).ok()?;
    (of_act(facility, part, &study) == id).then_some((facility, part, study))
}

/// A UID in digits of five bits: half as long.
fn packed(study: &Uid) -> String {
    let nibbles = study.as_str().bytes().map(|byte| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => 10,
    });
    let (mut packed, mut held, mut bits) = (String::new(), 0_u32, 0_u32);
    for nibble in nibbles.chain([FILL]) {
        (held, bits) = (held << 4 | nibble, bits + 4);
        while bits >= 5 {
            bits -= 5;
            packed.push(digit(held >> bits & 31));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        packed.push(digit(held << (5 - bits) & 31));
    }
    packed
}

fn digit(value: u32) -> char {
    usize::try_from(value).ok().and_then(|at| BASE32.get(at)).map_or('0', |byte| char::from(*byte))
}

/// The study an id names.
pub(crate) fn read_study(id: &str) -> Option<(FacilityCode, Uid)> {
    let (code, rest) = id.split_at_checked(5)?;
    let facility = FacilityCode::parse(code).ok()?;
    let text = match rest.strip_prefix('.') {
        Some(text) => text.to_owned(),
        None => unpacked(rest.strip_prefix('-')?)?,
    };
    let study = Uid::parse(&text).ok()?;
    (of_study(facility, &study) == id).then_some((facility, study))
}

fn unpacked(text: &str) -> Option<String> {
    let (mut out, mut held, mut bits) = (String::new(), 0_u32, 0_u32);
    for letter in text.chars().take(LENGTH_MAX) {
        (held, bits) = (held << 5 | letter.to_digit(32)?, bits + 5);
        while bits >= 4 {
            bits -= 4;
            match held >> bits & 15 {
                FILL => return Some(out),
                10 => out.push('.'),
                nibble => out.push(char::from_digit(nibble, 10)?),
            }
        }
        held &= (1 << bits) - 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_from_its_id() {
        let facility = FacilityCode::parse("56001").expect("a code");
        for (number, id) in
            [("22015985", "56001.22015985"), ("BN.1/a b", "56001.BN.2E1.2Fa.20b"), ("số-1", "56001.s.E1.BB.91-1")]
        {
            assert_eq!(of(facility, number).as_deref(), Some(id));
            assert_eq!(read(id), Some((facility, number.to_owned())), "{id}");
        }
        assert_eq!(of(facility, &"1".repeat(59)), None);
        assert!(of(facility, &"1".repeat(58)).is_some_and(|id| id.len() == 64));
        assert_eq!(of(facility, " "), None);
        // Only one text names a thing.
        for wrong in
            ["", "56001", "56001.", "5600.1", "56001.a.2", "56001.a.2f", "56001.a.41", "56001.a_b", "56001.a.ff"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_part_is_named_beside_its_whole() {
        let facility = FacilityCode::parse("56001").expect("a code");
        assert_eq!(of_part(facility, 2, "K.1").as_deref(), Some("56001-2.K.2E1"));
        assert_eq!(read_part("56001-2.K.2E1"), Some((facility, 2, "K.1".to_owned())));
        for wrong in ["56001.K", "56001-.K", "56001-02.K", "56001-x.K", "56001-1.", "56001-1"] {
            assert_eq!(read_part(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_act_about_a_study_has_an_id_that_fits() {
        let facility = FacilityCode::parse("56001").expect("a code");
        let longest = format!("1.2.{}", "9".repeat(60));
        for text in ["1.2.3", "2.25.340282366920938463463374607431768211455", longest.as_str()] {
            let study = Uid::parse(text).expect("a UID");
            let id = of_act(facility, 815, &study);
            assert!(id.len() <= LENGTH_MAX && read_part(&id).is_none(), "{id}");
            assert_eq!(read_act(&id), Some((facility, 815, study)), "{id}");
        }
        for wrong in ["56001-815-", "56001-0815-1f", "56001-815", "56001-x-1f", "56001.815-1f"] {
            assert_eq!(read_act(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_study_has_an_id_that_fits() {
        let facility = FacilityCode::parse("56001").expect("a code");
        let longest = format!("1.2.{}", "9".repeat(60));
        for text in ["1.2.3", "2.25.340282366920938463463374607431768211455", longest.as_str()] {
            let study = Uid::parse(text).expect("a UID");
            let id = of_study(facility, &study);
            assert!(
                id.len() <= LENGTH_MAX && id.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)),
                "{id}"
            );
            assert_eq!(read_study(&id), Some((facility, study)), "{id}");
        }
        for wrong in ["", "56001", "56001.", "56001.1..2", "56001-0", "56001-wwww", "5600é.1", "56001-1f"] {
            assert_eq!(read_study(wrong), None, "{wrong}");
        }
    }
}
