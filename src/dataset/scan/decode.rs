//! Kept values as the text the index holds: decoded, trimmed, several values joined by a backslash.
//!
//! Forms are looked at only to flag them; a value in the wrong form is kept as it is.

use crate::charset::{Charset, Notes};
use crate::syntax::Coding;
use crate::vr::Vr;
use model::{Flag, Uid};
use std::collections::BTreeSet;

/// A value kept for the index.
#[derive(Debug)]
pub(super) struct Kept {
    /// VR of the table of attributes.
    pub(super) vr: Vr,
    /// VR as written.
    pub(super) written: Vr,
    pub(super) coding: Coding,
    /// Position of the header.
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    /// The value was longer than what is kept.
    pub(super) cut: bool,
}

/// The text of a value; what is odd about it goes to `flags`.
pub(super) fn decode(kept: &Kept, charset: &Charset, flags: &mut BTreeSet<Flag>) -> String {
    if kept.cut {
        flags.insert(Flag::ValueLength);
    }
    if matches!(kept.vr, Vr::US | Vr::SS | Vr::UL | Vr::SL) && !kept.written.is_text() {
        return numbers(kept);
    }
    let mut notes = Notes::default();
    let text = if kept.vr.is_encoded_text() {
        charset.decode(&kept.bytes, kept.vr, &mut notes)
    } else {
        kept.bytes.iter().map(|byte| char::from(*byte)).collect()
    };
    note(&notes, flags);
    let text = if kept.vr.is_multi_valued() {
        let values: Vec<&str> = text.split('\\').map(trim).collect();
        values.join("\\")
    } else {
        text.trim_end_matches([' ', '\0']).to_owned()
    };
    check(kept, &text, flags);
    text
}

/// Carries what was met in reading text over to the flags of an instance.
pub(super) fn note(notes: &Notes, flags: &mut BTreeSet<Flag>) {
    let met = [
        (notes.repaired, Flag::CharsetRepaired),
        (notes.invalid, Flag::CharsetInvalid),
        (notes.unknown, Flag::CharsetUnknown),
    ];
    flags.extend(met.into_iter().filter(|(met, _)| *met).map(|(_, flag)| flag));
}

fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\0'])
}

fn numbers(kept: &Kept) -> String {
    let vr = if kept.written.word() > 1 { kept.written } else { kept.vr };
    let coding = kept.coding;
    let values: Vec<String> = kept
        .bytes
        .chunks_exact(vr.word().max(2))
        .map(|word| match vr {
            Vr::SS => i64::from(coding.u16(word, 0).cast_signed()),
            Vr::SL => i64::from(coding.u32(word, 0).cast_signed()),
            _ if word.len() == 2 => i64::from(coding.u16(word, 0)),
            _ => i64::from(coding.u32(word, 0)),
        })
        .map(|number| number.to_string())
        .collect();
    values.join("\\")
}

fn check(kept: &Kept, text: &str, flags: &mut BTreeSet<Flag>) {
    let values = || text.split('\\').filter(|value| !value.is_empty());
    if let Some(longest) = kept.vr.max_chars() {
        let too_long = |value: &str| value.chars().count() > longest;
        if if kept.vr.is_multi_valued() { values().any(too_long) } else { too_long(text) } {
            flags.insert(Flag::ValueLength);
        }
    }
    let well_formed = match kept.vr {
        Vr::DA => values().all(is_date),
        Vr::TM => values().all(is_time),
        Vr::IS => values().all(|value| value.parse::<i32>().is_ok()),
        Vr::DS => values().all(|value| value.parse::<f64>().is_ok_and(f64::is_finite)),
        _ => true,
    };
    if !well_formed {
        flags.insert(Flag::ValueForm);
    }
    let padded = kept.vr == Vr::UI && kept.bytes.last() == Some(&b' ');
    if kept.vr == Vr::UI && (padded || values().any(|value| Uid::parse(value).is_ok_and(|uid| !uid.is_conformant()))) {
        flags.insert(Flag::UidForm);
    }
}

fn is_date(value: &str) -> bool {
    let digits = value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_digit());
    let part = |range: std::ops::Range<usize>| value.get(range).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    digits && (1..=12).contains(&part(4..6)) && (1..=31).contains(&part(6..8))
}

fn is_time(value: &str) -> bool {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pair =
        |at: usize, below: u32| whole.get(at..at + 2).is_none_or(|part| part.parse().is_ok_and(|n: u32| n < below));
    digits(whole)
        && matches!(whole.len(), 2 | 4 | 6)
        && digits(fraction)
        && fraction.len() <= 6
        && pair(0, 24)
        && pair(2, 60)
        && pair(4, 61)
}
