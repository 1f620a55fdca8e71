//! What became of the objects of a C-MOVE: told by what is here before and after, and by what the other archive counts.

use super::pulled::{Fate, Pulled};
use super::way::Told;
use dimse::scu::moving::Moved;
use std::collections::{BTreeMap, HashSet};

/// What is here under a SOP Instance UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Here {
    /// Objects: one, and copies in conflict.
    pub(super) copies: usize,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// Gives each object that came its fate. What was here before and did not grow is equal only where it was sent for sure:
/// an object that was not sent has not been compared.
pub(super) fn judge(
    told: &Told,
    before: &BTreeMap<String, Here>,
    after: &BTreeMap<String, Here>,
    moved: Option<&Moved>,
    pulled: &mut Pulled<'_>,
) {
    let none = Here { copies: 0, bytes: 0 };
    for instance in told.keys() {
        let was = before.get(instance).unwrap_or(&none);
        let is = after.get(instance).unwrap_or(&none);
        pulled.bytes = pulled.bytes.saturating_add(is.bytes.saturating_sub(was.bytes));
        if pulled.fates.contains_key(instance) {
            continue;
        }
        let fate = match (was.copies, is.copies) {
            (0, 0) => continue,
            (0, _) => Fate::Moved,
            (was, is) if is > was => Fate::Conflict,
            _ if is_sent(instance, told.len(), moved) => Fate::Equal,
            _ => continue,
        };
        pulled.fates.insert(instance.clone(), fate);
    }
    if let Some(moved) = moved {
        let answer = &moved.answer;
        pulled.said = match answer.is_success() {
            true => "C-MOVE was answered 0000, and it is not here".into(),
            false => format!("C-MOVE was answered {:04X} {}", answer.status, answer.comment).trim_end().to_owned(),
        };
    }
}

/// Whether the other archive sent this one, as far as it says.
fn is_sent(instance: &str, told: usize, moved: Option<&Moved>) -> bool {
    let Some(moved) = moved else { return false };
    let told = u32::try_from(told).unwrap_or(u32::MAX);
    match (moved.taken, moved.failed.unwrap_or(0)) {
        (None, 0) => moved.answer.is_success(),
        (None, _) => false,
        (Some(taken), _) if taken >= told => true,
        (Some(taken), failed) => {
            let named: HashSet<&str> = moved.named.iter().map(String::as_str).collect();
            let whole = u32::try_from(named.len()).is_ok_and(|named| named >= failed);
            whole && taken.saturating_add(failed) >= told && !named.contains(instance)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dimse::scu::Answer;

    fn moved(status: u16, taken: Option<u32>, failed: Option<u32>, named: &[&str]) -> Moved {
        let named = named.iter().map(|uid| (*uid).to_owned()).collect();
        Moved { answer: Answer { status, comment: String::new() }, taken, failed, named }
    }

    #[test]
    fn what_was_here_counts_as_sent_only_where_the_counts_say_so() {
        let sent = |moved: &Moved| is_sent("1.2", 3, Some(moved));
        assert!(sent(&moved(0, Some(3), Some(0), &[])));
        assert!(sent(&moved(0, None, None, &[])), "a peer that does not count, and says success");
        assert!(!sent(&moved(0, Some(2), Some(0), &[])), "one was left out in silence");
        assert!(!sent(&moved(0xA801, None, None, &[])));
        assert!(!sent(&moved(0xB000, Some(2), Some(1), &[])), "nobody says which failed");
        assert!(sent(&moved(0xB000, Some(2), Some(1), &["1.3"])));
        assert!(!sent(&moved(0xB000, Some(2), Some(1), &["1.2"])));
        assert!(!is_sent("1.2", 3, None), "the association was lost");
    }
}
