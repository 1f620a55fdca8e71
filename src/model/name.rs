//! Folding of Vietnamese names and text so that the ways people write them meet.
//!
//! A folded text is upper case, without marks, with single spaces between words; `Đ` is `D`.
//! Because every tone and vowel mark goes, the place of a tone (`Hoà`, `Hòa`) and the Unicode form
//! (composed, decomposed) no longer matter.
//! Deliberately not done: `i`/`y` variants, guessing lost letters, any change of what is stored or shown.

use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Separates the folded names of one attribute: several values, or the component groups of one.
pub const GROUP: char = '=';
/// Words of a text that are searched; a real name has some tens at most.
pub const WORDS_MAX: usize = 64;
/// Bytes of a text that are searched, as it stands and folded.
pub const SEARCHED_MAX: usize = 1_024;
/// A text of so many bytes is searched to its end: no letter folds to more than four words, nor to eleven times its
/// bytes (U+FDFA).
const SHORT: usize = WORDS_MAX * 3 / 4;

/// The beginning of a text that is searched: at most [`SEARCHED_MAX`] bytes, as it stands and folded, and [`WORDS_MAX`]
/// words. What stands behind it is kept and shown, and nothing is found by it.
pub fn searched(text: &str) -> &str {
    if text.len() <= SHORT {
        return text;
    }
    let (mut words, mut bytes, mut inside) = (0usize, 0usize, false);
    let mut buffer = [0; 4];
    for (at, letter) in text.char_indices() {
        for part in letters(letter.encode_utf8(&mut buffer)) {
            let begins = part.is_alphanumeric() && !inside;
            inside = part.is_alphanumeric();
            words += usize::from(begins);
            bytes += usize::from(begins) + if inside { part.len_utf8() } else { 0 };
        }
        if words > WORDS_MAX || bytes > SEARCHED_MAX || at + letter.len_utf8() > SEARCHED_MAX {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// Folds a text: compatibility decomposition, marks stripped, upper case, everything that is neither letter
/// nor digit to a space, spaces collapsed.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut gap = false;
    for letter in letters(text) {
        if letter.is_alphanumeric() {
            if gap && !folded.is_empty() {
                folded.push(' ');
            }
            gap = false;
            folded.push(letter);
        } else {
            gap = true;
        }
    }
    folded
}

/// The text in ASCII letters, for a console that shows no others: marks stripped, capitals and the structure of names
/// kept, `?` for what has no such letter.
pub fn ascii(text: &str) -> String {
    let plain = |letter: char| match letter {
        'Đ' | 'Ð' => 'D',
        'đ' | 'ð' => 'd',
        // What separates values or parts of a name was not there before.
        '\\' | '^' | '=' => '?',
        other if other.is_ascii() => other,
        _ => '?',
    };
    let mut out = String::with_capacity(text.len());
    for letter in text.chars().filter(|letter| !is_combining_mark(*letter)) {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            out.extend(std::iter::once(letter).nfkd().filter(|part| !is_combining_mark(*part)).map(plain));
        }
    }
    out
}

/// The text in letters of ISO 8859-1, for a console that shows no others: of a letter as many marks stay as there is a
/// letter for (`Nguyên` for `Nguyễn`), the structure of names is kept, `?` for what has no such letter.
pub fn latin1(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.nfc() {
        match letter {
            'Đ' => out.push('D'),
            'đ' => out.push('d'),
            '\0'..='\u{7f}' | '\u{a0}'..='\u{ff}' => out.push(letter),
            other if is_combining_mark(other) => {}
            other => out.push_str(&nearest(other)),
        }
    }
    out
}

/// The letter with as many of its marks, the first ones, as ISO 8859-1 has a letter for.
fn nearest(letter: char) -> String {
    let parts: Vec<char> = std::iter::once(letter).nfd().collect();
    (2..=parts.len())
        .rev()
        .map(|marks| parts.iter().take(marks).copied().nfc().collect::<String>())
        .find(|composed| composed.chars().all(|one| matches!(one, '\u{a0}'..='\u{ff}')))
        .unwrap_or_else(|| ascii(letter.encode_utf8(&mut [0; 4])))
}

/// Folds a pattern: as [`fold`], but `*` (any run) and `?` (one character) stay what they are.
pub fn fold_pattern(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut space = false;
    let mut punctuation = false;
    for letter in letters(text) {
        let wildcard = matches!(letter, '*' | '?');
        if wildcard || letter.is_alphanumeric() {
            // Punctuation beside a wildcard needs no space: the wildcard covers it.
            if (space || punctuation && !wildcard) && !folded.is_empty() {
                folded.push(' ');
            }
            (space, punctuation) = (false, false);
            folded.push(letter);
        } else if letter.is_whitespace() || letter == '^' {
            space = true;
        } else {
            punctuation = true;
        }
    }
    folded
}

/// Folds one person name (one component group) and leaves out what is no name: text in brackets (`(BHYT)`),
/// an age (`45T`, `45 TUOI` written together) and a birth year (`-1978`), unless nothing else would be left.
pub fn fold_name(text: &str) -> String {
    let bare = without_brackets(text);
    let folded = fold(&bare);
    let folded = if folded.is_empty() { fold(text) } else { folded };
    let kept: Vec<&str> = folded.split(' ').filter(|word| !is_noise(word)).collect();
    if kept.is_empty() { folded } else { kept.join(" ") }
}

/// Folds a person name attribute: every value and every component group, joined by [`GROUP`], repetitions left out.
pub fn fold_names(value: &str) -> String {
    let mut groups: Vec<String> = Vec::new();
    for group in value.split(['\\', '=']) {
        let folded = fold_name(group);
        if !folded.is_empty() && !groups.contains(&folded) {
            groups.push(folded);
        }
    }
    groups.join(&GROUP.to_string())
}

/// The words of a person name, as they are indexed.
pub fn tokens(value: &str) -> Vec<String> {
    words(&fold_names(value))
}

/// The distinct words of a folded text, in order of first appearance.
pub fn words(folded: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let words = folded.split([' ', GROUP]).filter(|word| !word.is_empty() && seen.insert(*word));
    words.map(str::to_owned).collect()
}

/// Decomposed, unmarked upper-case characters.
fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(|c| base(c).to_uppercase())
}

/// The letters that Unicode does not decompose but people use for `D`.
fn base(letter: char) -> char {
    match letter {
        // đ Đ, and the look-alikes typed for them: eth and African D.
        '\u{0111}' | '\u{0110}' | '\u{00f0}' | '\u{00d0}' | '\u{0189}' | '\u{0256}' => 'D',
        other => other,
    }
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0u32;
    let mut bare = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                bare.push(' ');
            }
            other if depth == 0 => bare.push(other),
            _ => {}
        }
    }
    bare
}

/// An age such as `45T`, `45TUOI`, `6TH` (months), or a year 1900–2099.
fn is_noise(word: &str) -> bool {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at_checked(digits).unwrap_or((word, ""));
    match unit {
        "" => number.len() == 4 && (number.starts_with("19") || number.starts_with("20")),
        "T" | "TUOI" | "TH" | "THANG" | "Y" => (1..=3).contains(&number.len()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
