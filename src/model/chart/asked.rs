//! What somebody who looks for a patient typed, pasted or scanned: words of a name, a year or day of birth, numbers.
//!
//! The code of a citizen's card is `number|old number|name|ddmmyyyy|sex|address|date of issue`; its separators may be lost.
//! Deliberately not here: who is found by it.

use super::birth::BirthDate;
use super::identifier::plain;
use crate::{Date, name};
use unicode_normalization::UnicodeNormalization;

/// Longest text that is read, in characters.
const TEXT_MAX: usize = 512;
/// Most words and numbers of each kind.
const PARTS_MAX: usize = 12;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Folded words of the name, without repetitions; a run of `?` stands for lost letters.
    pub words: Vec<String>,
    /// The words as written, by [`written`].
    pub written: Vec<String>,
    /// Year of birth.
    pub year: Option<u16>,
    /// Whole day of birth, where more than the year is asked for.
    pub day: Option<Date>,
    /// Numbers, without spaces, dots and dashes.
    pub numbers: Vec<String>,
}

impl Asked {
    /// Reads a text.
    pub fn parse(text: &str) -> Self {
        let text: String = text.nfc().take(TEXT_MAX).collect();
        if text.contains('|') { Self::card(&text) } else { Self::typed(&text) }
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.numbers.is_empty()
    }

    fn card(text: &str) -> Self {
        let mut asked = Self::default();
        let mut named = false;
        for field in text.split('|').map(str::trim) {
            let digits = field.bytes().all(|byte| byte.is_ascii_digit());
            match (field.len(), digits, named) {
                (0, ..) => {}
                (8, true, true) => {
                    asked.born(day(field));
                    // What follows is sex, address and the date of issue.
                    break;
                }
                (_, true, false) => asked.number(field),
                (_, false, false) => {
                    asked.name(field);
                    named = true;
                }
                _ => {}
            }
        }
        asked
    }

    fn typed(text: &str) -> Self {
        let bare = without_brackets(text);
        let parts: Vec<&str> = bare.split(|c: char| c.is_whitespace() || ",;^=\\".contains(c)).collect();
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let mut asked = Self::default();
        let joined = plain(text);
        // A number written in groups.
        if parts.len() > 1 && is_digits(joined.trim_start_matches('+')) && (9..=15).contains(&joined.len()) {
            asked.number(&joined);
        }
        let scanned = parts.first().is_some_and(|first| first.len() == 12 && is_digits(first)) && parts.len() > 3;
        let letters = parts.iter().any(|part| part.chars().any(char::is_alphabetic));
        for (at, part) in parts.iter().enumerate() {
            if is_digits(part) && part.len() <= 3 && letters {
                // An age.
                continue;
            }
            let after_age = at.checked_sub(1).and_then(|at| parts.get(at)).is_some_and(|part| is_digits(part));
            if after_age && matches!(name::fold(part).as_str(), "T" | "TUOI" | "TH" | "THANG") && !scanned {
                continue;
            }
            asked.part(part, letters);
            if scanned && part.len() == 8 && is_digits(part) && !asked.words.is_empty() && day(part).is_some() {
                break;
            }
        }
        asked
    }

    fn part(&mut self, part: &str, letters: bool) {
        let digits = part.chars().filter(char::is_ascii_digit).count();
        let alphabetic = part.chars().any(char::is_alphabetic) || part.contains(['?', '\u{fffd}']);
        match (digits, alphabetic) {
            (0, _) => self.name(part),
            (_, false) => {
                if let Some(birth) = date(part, letters) {
                    self.born(Some(birth));
                } else {
                    self.number(part);
                }
            }
            (_, true) => {
                let (one, two) = part.split_once('-').unwrap_or((part, ""));
                if let Some(birth) = date(two, true).filter(|_| !one.bytes().any(|byte| byte.is_ascii_digit())) {
                    self.name(one);
                    self.born(Some(birth));
                } else if name::fold_name(&format!("A {part}")) != "A" {
                    self.number(part);
                    self.keep(part.to_owned());
                }
            }
        }
    }

    fn born(&mut self, birth: Option<BirthDate>) {
        self.year = birth.map(BirthDate::year);
        self.day = birth.and_then(BirthDate::whole);
    }

    fn number(&mut self, text: &str) {
        let number = plain(text);
        let number = number.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '/');
        // Telephone numbers as they are dialled from abroad.
        let number = match text.trim().strip_prefix('+').and_then(|_| number.strip_prefix("84")) {
            Some(rest) => format!("0{rest}"),
            None => number.to_owned(),
        };
        self.keep(number);
    }

    fn keep(&mut self, number: String) {
        if !number.is_empty() && !self.numbers.contains(&number) && self.numbers.len() < PARTS_MAX {
            self.numbers.push(number);
        }
    }

    fn name(&mut self, text: &str) {
        let text = text.replace('\u{fffd}', "?");
        for word in name::fold_pattern(&text).split(' ') {
            let word = word.replace('*', "");
            if word.chars().any(char::is_alphanumeric) && !self.words.contains(&word) && self.words.len() < PARTS_MAX {
                self.words.push(word);
            }
        }
        self.written.extend(written(&text));
    }
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0u32;
    let mut bare = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '(' | '[' | '{' => depth = depth.saturating_add(1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            other if depth == 0 => bare.push(other),
            _ => {}
        }
    }
    bare
}

/// Eight digits, day first or year first.
fn day(digits: &str) -> Option<BirthDate> {
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let turned = format!("{}{}{}", part(4, 8), part(2, 4), part(0, 2));
    let sane = |date: &BirthDate| (1880..=2100).contains(&date.year()) && date.whole().is_some();
    let day = |text: &str| BirthDate::parse(text).ok().filter(sane);
    day(&turned).or_else(|| day(digits))
}

/// A day or a year of birth; without separators only beside a name.
fn date(text: &str, named: bool) -> Option<BirthDate> {
    let parts: Vec<&str> = text.split(['/', '-', '.']).collect();
    match parts.as_slice() {
        [year] if year.len() == 4 && named => {
            BirthDate::parse(year).ok().filter(|date| (1880..=2100).contains(&date.year()))
        }
        [eight] if eight.len() == 8 && named => day(eight),
        [day, month, year] if year.len() == 4 => BirthDate::parse(&format!("{year}{month:0>2}{day:0>2}")).ok(),
        [year, month, day] if year.len() == 4 => BirthDate::parse(&format!("{year}{month:0>2}{day:0>2}")).ok(),
        _ => None,
    }
}

/// The words of a name with their marks, each with its tone at its end: the same wherever in the word the tone is written,
/// in capitals or not, composed or not.
pub fn written(text: &str) -> Vec<String> {
    let is_tone = |letter: &char| matches!(letter, '\u{300}' | '\u{301}' | '\u{303}' | '\u{309}' | '\u{323}');
    let words = text.split(|letter: char| !letter.is_alphanumeric() && !('\u{300}'..='\u{36f}').contains(&letter));
    let word = |word: &str| {
        let letters: Vec<char> = word.nfd().flat_map(char::to_lowercase).nfd().collect();
        let (tones, rest): (Vec<char>, Vec<char>) = letters.into_iter().partition(is_tone);
        rest.into_iter().chain(tones).collect::<String>()
    };
    words.filter(|word| !word.is_empty()).map(word).collect()
}

/// Whether a word is another but for one letter too much, too little or otherwise, or two neighbours exchanged.
pub fn is_near(one: &str, two: &str) -> bool {
    let (one, two): (Vec<char>, Vec<char>) = (one.chars().collect(), two.chars().collect());
    let (short, long) = if one.len() <= two.len() { (&one, &two) } else { (&two, &one) };
    if long.len().saturating_sub(short.len()) > 1 {
        return false;
    }
    let same = short.iter().zip(long.iter()).take_while(|(one, two)| one == two).count();
    let (short, long) = (short.get(same..).unwrap_or_default(), long.get(same..).unwrap_or_default());
    match (short, long) {
        (short, [_, rest @ ..]) if rest == short => true,
        ([_, short @ ..], [_, long @ ..]) if short == long => true,
        ([a, b, short @ ..], [c, d, long @ ..]) => a == d && b == c && short == long,
        (short, long) => short == long,
    }
}

/// Whether a word may have been one with lost letters: each `?` of a pattern stands for at most one, several in a row for
/// one at least.
pub fn is_lost(pattern: &str, word: &str) -> bool {
    fn fits(pattern: &[char], word: &[char]) -> bool {
        match (pattern, word) {
            ([], []) => true,
            (['?', pattern @ ..], [_, rest @ ..]) => fits(pattern, rest) || fits(pattern, word),
            (['?', pattern @ ..], []) => fits(pattern, word),
            ([letter, pattern @ ..], [first, rest @ ..]) => letter == first && fits(pattern, rest),
            _ => false,
        }
    }
    // A letter can be as many as three bytes.
    let (pattern, word): (Vec<char>, Vec<char>) = (pattern.chars().take(24).collect(), word.chars().collect());
    fits(&pattern, &word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> (Vec<String>, Option<u16>, Vec<String>) {
        let Asked { words, year, numbers, .. } = Asked::parse(text);
        (words, year, numbers)
    }

    #[test]
    fn what_is_typed_or_scanned_is_told_apart() {
        let an = ["NGUYEN", "VAN", "AN"];
        for (text, words, year, numbers) in [
            ("Nguyễn Văn An", &an[..], None, &[][..]),
            ("NGUYEN^VAN AN 1978", &an[..], Some(1978), &[][..]),
            ("nguyen van an-1978", &an[..], Some(1978), &[][..]),
            ("NGUYEN VAN AN 45T (BHYT)", &an[..], None, &[][..]),
            ("Nguyễn Văn An 45 tuổi", &an[..], None, &[][..]),
            ("Nguyễn Văn An 05/03/1978", &an[..], Some(1978), &[][..]),
            ("Nguyễn Văn An 05031978", &an[..], Some(1978), &[][..]),
            ("056 078 000 001", &[][..], None, &["056078000001", "056", "078", "000", "001"][..]),
            ("0001", &[][..], None, &["0001"][..]),
            ("1978", &[][..], None, &["1978"][..]),
            ("+84905000001", &[][..], None, &["0905000001"][..]),
            ("BN-0012", &[][..], None, &["BN0012", "BN-0012"][..]),
            ("DN4560123456789", &[][..], None, &["DN4560123456789"][..]),
            (
                "056078000001|225000001|Nguyễn Văn An|05031978|Nam|Tổ 1, Nha Trang|01012021",
                &an[..],
                Some(1978),
                &["056078000001", "225000001"][..],
            ),
            ("056078000001||NGUYEN VAN AN|05031978|Nam|To 1|01012021", &an[..], Some(1978), &["056078000001"][..]),
            (
                "056078000001 225000001 NGUYEN VAN AN 05031978 Nam To 1 Nha Trang 01012021",
                &an[..],
                Some(1978),
                &["056078000001", "225000001"][..],
            ),
            ("NGUY?N V\u{fffd}N AN", &["NGUY?N", "V?N", "AN"][..], None, &[][..]),
            ("", &[][..], None, &[][..]),
        ] {
            let found = asked(text);
            assert_eq!(found.0, words, "{text}");
            assert_eq!(
                (found.1, &found.2[..]),
                (year, numbers.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_whole_day_of_birth_is_kept_and_none_is_invented() {
        for (text, day) in [
            ("Nguyễn Văn An 05/03/1978", "1978-03-05"),
            ("Nguyễn Văn An 5.3.1978", "1978-03-05"),
            ("NGUYEN VAN AN 05031978", "1978-03-05"),
            ("nguyen van an-19780305", "1978-03-05"),
            ("056078000001|225000001|Nguyễn Văn An|05031978|Nam|Tổ 1, Nha Trang|01012021", "1978-03-05"),
            ("056078000001 225000001 NGUYEN VAN AN 05031978 Nam To 1 Nha Trang 01012021", "1978-03-05"),
            ("Nguyễn Văn An 1978", ""),
            ("Nguyễn Văn An", ""),
        ] {
            let found = Asked::parse(text).day.map(|day| day.to_string()).unwrap_or_default();
            assert_eq!(found, day, "{text}");
        }
    }

    #[test]
    fn tones_count_and_their_place_does_not() {
        assert_eq!(written("Khánh Hoà"), written("KHÁNH HÒA"));
        assert_eq!(written("Nguyễn"), written("Nguye\u{302}\u{303}n"));
        assert_ne!(written("Nguyễn Văn An"), written("Nguyễn Văn Ân"));
        assert_ne!(written("Đạt"), written("Dạt"));
    }

    #[test]
    fn one_typo_is_near_and_two_are_not() {
        for near in ["NGUYEN", "NGUYN", "NGUYEEN", "NGUYAN", "NGYUEN", "GUYEN", "NGUYENN", "MGUYEN"] {
            assert!(is_near("NGUYEN", near) && is_near(near, "NGUYEN"), "{near}");
        }
        for far in ["NGUY", "NYGEUN", "NGUEYM", "NGAYAN", "AN"] {
            assert!(!is_near("NGUYEN", far) && !is_near(far, "NGUYEN"), "{far}");
        }
        assert!(is_lost("NGUY?N", "NGUYEN") && is_lost("NGUY???N", "NGUYEN") && is_lost("V?N", "VAN"));
        assert!(!is_lost("NGUY?N", "NGUYET") && !is_lost("V?N", "VIEN"));
    }
}
