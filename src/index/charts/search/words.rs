//! What misspelt words may have meant: words that somebody has.

use super::Search;
use crate::IndexError;
use model::chart::asked::{is_lost, is_near};
use std::collections::BTreeSet;

/// Words that begin alike which are looked at.
const ALIKE_MAX: usize = 20_000;
/// Words that one may have meant.
const MEANT_MAX: usize = 24;
/// Whole names that may have been meant.
const NAMES_MAX: usize = 96;

impl Search<'_> {
    /// Whole names that a name may have been, the likelier first: with one word otherwise, or with all lost letters.
    pub(super) fn meant(&self, words: &[String]) -> Result<Vec<Vec<String>>, IndexError> {
        if words.iter().any(|word| word.contains('?')) {
            return self.restored(words);
        }
        let mut names: Vec<(u64, Vec<String>)> = Vec::new();
        for (at, word) in words.iter().enumerate() {
            for (known, count) in self.near(word)? {
                let mut name = words.to_vec();
                if let Some(word) = name.get_mut(at) {
                    *word = known;
                }
                names.push((count, name));
            }
        }
        names.sort_by(|one, other| other.cmp(one));
        names.truncate(NAMES_MAX);
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// Words that are one typing error away from one, the more frequent ones first.
    fn near(&self, word: &str) -> Result<Vec<(String, u64)>, IndexError> {
        let mut found = BTreeSet::new();
        let mut letters = word.chars();
        let Some(first) = letters.next() else { return Ok(Vec::new()) };
        let mut take = |words: Vec<(String, u64)>| {
            found.extend(words.into_iter().filter(|(known, _)| known != word && is_near(known, word)));
        };
        take(self.words(&first.to_string(), ALIKE_MAX)?);
        // The first letter itself is wrong, lacks or is too much: few words begin with the rest.
        let rest: String = letters.clone().collect();
        if let Some(second) = letters.next().filter(|second| *second != first) {
            take(self.words(&second.to_string(), ALIKE_MAX)?);
        }
        for letter in 'A'..='Z' {
            if !rest.is_empty() {
                take(self.words(&format!("{letter}{rest}"), MEANT_MAX)?);
            }
            take(self.words(&format!("{letter}{word}"), MEANT_MAX)?);
        }
        let mut found: Vec<(String, u64)> = found.into_iter().collect();
        found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        found.truncate(MEANT_MAX);
        Ok(found)
    }

    /// Names whose lost letters are put back.
    fn restored(&self, words: &[String]) -> Result<Vec<Vec<String>>, IndexError> {
        let mut names: Vec<Vec<String>> = vec![Vec::new()];
        for word in words {
            let candidates = match word.split_once('?') {
                None => vec![word.clone()],
                Some((begin, _)) => self.lost(word, begin)?,
            };
            let longer = |name: Vec<String>| {
                let with = move |word: &String| name.iter().chain([word]).cloned().collect::<Vec<_>>();
                candidates.iter().map(with).collect::<Vec<_>>()
            };
            names = names.into_iter().flat_map(longer).take(NAMES_MAX).collect();
        }
        Ok(names)
    }

    fn lost(&self, pattern: &str, begin: &str) -> Result<Vec<String>, IndexError> {
        let known = self.words(begin, ALIKE_MAX)?;
        let fits = known.into_iter().filter(|(word, _)| is_lost(pattern, word));
        Ok(fits.take(MEANT_MAX / 3).map(|(word, _)| word).collect())
    }
}
