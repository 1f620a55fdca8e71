//! The numbers an order is known by outside: Accession Number and Study Instance UID.

use crate::charts::ChartError;
use crate::charts::writing::Writing;
use model::Uid;
use model::chart::{ChartBody, ChartKind, Order, OrderState, OrderUpdate, Term};

/// Longest value of VR SH, in bytes here so that it fits whatever the character set of a console is.
const SH_BYTES_MAX: usize = 16;
/// What an Accession Number made here begins with.
const PREFIX: char = 'K';
/// Letters and digits that nobody mistakes for another on paper (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters behind the prefix.
const DRAWN: usize = 9;
/// Draws before giving up: each is free as good as certainly.
const DRAWS_MAX: usize = 16;
/// Orders looked at that have the same number.
const SAME_MAX: usize = 16;

/// Whether a text can be a value of VR SH that nobody takes for a pattern.
pub(super) fn is_short(text: &str) -> bool {
    let allowed = |letter: char| !letter.is_control() && !matches!(letter, '\\' | '*' | '?');
    !text.is_empty() && text.len() <= SH_BYTES_MAX && text.chars().all(allowed)
}

/// The Accession Number of a new order, and what its sender has instead.
///
/// # Errors
/// [`ChartError::Conflict`] when it is another order's.
pub(super) fn accession(
    writing: &Writing<'_>,
    placer: &str,
    sent: Option<&str>,
) -> Result<(String, String), ChartError> {
    let sent = sent.map_or("", str::trim);
    if sent.is_empty() {
        return Ok((fresh(writing)?, String::new()));
    }
    is_free(writing, placer, sent)?;
    if is_short(sent) { Ok((sent.to_owned(), String::new())) } else { Ok((fresh(writing)?, sent.to_owned())) }
}

/// Takes the numbers an update brings for a known order; gives remarks.
///
/// # Errors
/// As [`accession`].
pub(super) fn change(
    writing: &Writing<'_>,
    update: &OrderUpdate,
    order: &mut Order,
) -> Result<Vec<String>, ChartError> {
    let mut remarks = Vec::new();
    if update.study.as_ref().is_some_and(|study| *study != order.study) {
        remarks.push(format!("order {} keeps its Study Instance UID", order.placer));
    }
    let sent = update.accession.as_deref().map_or("", str::trim);
    if sent.is_empty() || sent == order.accession || sent == order.sent_accession {
        return Ok(remarks);
    }
    if order.state != OrderState::Scheduled || order.images.is_some() {
        remarks.push(format!("order {} has begun and keeps its Accession Number", order.placer));
        return Ok(remarks);
    }
    is_free(writing, &order.placer, sent)?;
    if is_short(sent) {
        let default = order.accession.clone();
        // A step that was named after the number goes on being so.
        order.steps.iter_mut().filter(|step| step.id == default).for_each(|step| sent.clone_into(&mut step.id));
        sent.clone_into(&mut order.accession);
        order.sent_accession.clear();
    } else {
        sent.clone_into(&mut order.sent_accession);
    }
    Ok(remarks)
}

/// Nobody else has the number; an order that was canceled has given it up.
fn is_free(writing: &Writing<'_>, placer: &str, number: &str) -> Result<(), ChartError> {
    for row in writing.find(ChartKind::Order, Term::Accession, number, SAME_MAX)? {
        let ChartBody::Order(other) = &row.body else { continue };
        if other.placer != placer && other.state != OrderState::Canceled {
            let other = &other.placer;
            return Err(ChartError::Conflict(format!("order {placer} has the Accession Number of order {other}")));
        }
    }
    Ok(())
}

fn fresh(writing: &Writing<'_>) -> Result<String, ChartError> {
    for _ in 0..DRAWS_MAX {
        let mut drawn = draw(writing.now())?;
        let mut number = String::from(PREFIX);
        for _ in 0..DRAWN {
            let letter = usize::try_from(drawn % 32).ok().and_then(|at| LETTERS.get(at)).copied().unwrap_or(b'0');
            number.push(char::from(letter));
            drawn /= 32;
        }
        if writing.find(ChartKind::Order, Term::Accession, &number, 1)?.is_empty() {
            return Ok(number);
        }
    }
    Err(ChartError::Unavailable("no free Accession Number was drawn".into()))
}

/// A UID nobody else has (PS3.5 annex B.2).
pub(super) fn fresh_uid(now: u64) -> Result<Uid, ChartError> {
    Uid::parse(&format!("2.25.{}", draw(now)?)).map_err(|error| ChartError::Unavailable(error.to_string()))
}

/// 128 bits, the last of them drawn by lot.
fn draw(now: u64) -> Result<u128, ChartError> {
    let id = store::draw_pack_id(now).map_err(|error| ChartError::Unavailable(error.to_string()))?;
    Ok(id.as_bytes().iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_fits_a_short_string() {
        for good in ["1", "2026-000123", "XN 12/3", "1234567890123456"] {
            assert!(is_short(good), "{good}");
        }
        for bad in ["", "12345678901234567", "A*", "A?", "A\\B", "A\tB", "ễễễễễễ"] {
            assert!(!is_short(bad), "{bad:?}");
        }
    }
}
