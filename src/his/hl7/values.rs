//! Data types: names, times, coded values, locations, telephone numbers, weights.

use super::message::Piece;
use model::chart::Code;
use model::{Date, name};

/// A time as it was written, with the zone where one was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    date: Date,
    /// Of the day.
    seconds: i64,
    /// Minutes east of UTC.
    zone: Option<i64>,
}

impl Moment {
    /// Reads `YYYYMMDD[HH[MM[SS[.S…]]]][+HHMM]`; none for anything else, and for a date of which the day is not known.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (clock, zone) = match text.find(['+', '-']) {
            Some(at) => (text.get(..at)?, Some(zone(text.get(at..)?)?)),
            None => (text, None),
        };
        let clock = clock.split('.').next().unwrap_or_default();
        if !clock.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(clock.len(), 8 | 10 | 12 | 14) {
            return None;
        }
        let number = |from: usize, to: usize| clock.get(from..to).map_or(Some(0), |digits| digits.parse::<u16>().ok());
        let small = |from: usize, to: usize| u8::try_from(number(from, to)?).ok();
        let date = Date::new(number(0, 4)?, small(4, 6)?, small(6, 8)?)?;
        let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second.min(59));
        Some(Self { date, seconds, zone })
    }

    /// Milliseconds since 1970 UTC; `offset` is that of the sender's clock in minutes. Earlier times are 0.
    pub fn ms(self, offset: i64) -> u64 {
        let seconds = self.date.days() * 86_400 + self.seconds - self.zone.unwrap_or(offset) * 60;
        u64::try_from(seconds).unwrap_or(0) * 1_000
    }

    /// Day and time as the sender's clock shows them: `YYYYMMDD` and `HHMMSS`.
    pub fn local(self, offset: i64) -> (String, String) {
        let shift = self.zone.map_or(0, |zone| offset - zone);
        let seconds = self.date.days() * 86_400 + self.seconds + shift * 60;
        let (day, of_day) = (Date::from_days(seconds.div_euclid(86_400)), seconds.rem_euclid(86_400));
        let date = format!("{:04}{:02}{:02}", day.year(), day.month(), day.day());
        (date, format!("{:02}{:02}{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60))
    }

    /// The time of a clock, as `YYYYMMDDHHMMSS`.
    pub fn stamp(ms: u64, offset: i64) -> String {
        let seconds = i64::try_from(ms / 1_000).unwrap_or(0);
        let utc = Self {
            date: Date::from_days(seconds.div_euclid(86_400)),
            seconds: seconds.rem_euclid(86_400),
            zone: Some(0),
        };
        let (date, time) = utc.local(offset);
        date + &time
    }
}

/// `+0700` in minutes.
fn zone(text: &str) -> Option<i64> {
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = digits.split_at_checked(2)?;
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    (minutes <= 14 * 60).then_some(if sign == "-" { -minutes } else { minutes })
}

/// A whole name, family name first, from a name whose family name is component `first` (XPN: 1, XCN: 2).
///
/// `Family^Given^Middle` as it should be, the whole name in the first component, or carets for spaces: where the second is
/// Văn or Thị, which nobody is called by, the components stand as they are spoken.
pub fn name(piece: Piece<'_>, first: usize) -> Option<String> {
    if piece.is_null() {
        return Some(String::new());
    }
    let family = piece.component(first).sub(1).text();
    let (given, middle) = (piece.component(first + 1).text(), piece.component(first + 2).text());
    let as_spoken = !middle.is_empty() && ["VAN", "THI"].contains(&name::fold(&given).as_str());
    let parts = if as_spoken { [family, given, middle] } else { [family, middle, given] };
    let words: Vec<&str> = parts.iter().flat_map(|part| part.split_whitespace()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// A physician (XCN): the name, or what stands in its place.
pub fn physician(piece: Piece<'_>) -> Option<String> {
    name(piece, 2).or_else(|| piece.component(1).said())
}

/// A person with times (NDL), as versions before 2.7 have it, or a plain XCN, as most write.
pub fn performer(piece: Piece<'_>) -> Option<String> {
    if let Some(inner) = piece.component(1).inner() {
        return physician(inner);
    }
    let second = piece.component(2).text();
    if second.is_empty() || second.starts_with(|letter: char| letter.is_ascii_digit()) {
        return name(piece, 2).filter(|_| second.is_empty()).or_else(|| piece.component(1).said());
    }
    physician(piece)
}

/// A coded value (CE, CWE) of which `first` is the component of the code: 1, or 4 for the alternate one.
pub fn code(piece: Piece<'_>, first: usize) -> Option<Code> {
    let part = |number: usize| piece.component(number).text();
    let code = Code { value: part(first), meaning: part(first + 1), scheme: part(first + 2) };
    (!code.value.is_empty() || !code.meaning.is_empty()).then_some(code)
}

/// What a coded value says in words: its text, or its code where there is none.
pub fn words(piece: Piece<'_>) -> Option<String> {
    piece.component(2).said().filter(|text| !text.is_empty()).or_else(|| piece.component(1).said())
}

/// A location (PL): its parts joined by spaces, without status and type.
pub fn location(piece: Piece<'_>) -> Option<String> {
    if piece.is_null() {
        return Some(String::new());
    }
    let parts = [1, 2, 3, 4, 7, 8, 9].map(|number| piece.component(number).sub(1).text());
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// An address (XAD) in one line.
pub fn address(piece: Piece<'_>) -> Option<String> {
    if piece.is_null() {
        return Some(String::new());
    }
    let parts = [1, 2, 3, 9, 4, 6].map(|number| piece.component(number).sub(1).text());
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A telephone number (XTN): digits, with the leading zero of a call from inside the country.
pub fn phone(piece: Piece<'_>) -> Option<String> {
    let whole = [piece.component(1).text(), piece.component(12).text()];
    let parts = format!("{}{}", piece.component(6).text(), piece.component(7).text());
    let digits = |text: &String| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let found = whole.into_iter().chain([parts]).find(|text| !digits(text).is_empty())?;
    let number = digits(&found);
    match number.strip_prefix("84").filter(|rest| found.trim_start().starts_with('+') && !rest.is_empty()) {
        Some(rest) => Some(format!("0{rest}")),
        None => Some(number),
    }
}

/// A weight in kilograms, from a number and its unit; none where it is no number.
pub fn kilograms(number: &str, unit: &str) -> Option<String> {
    let number = number.trim().replace(',', ".");
    let plain = !number.is_empty() && number.len() <= 12 && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: f64 = number.parse().ok().filter(|value: &f64| plain && value.is_finite() && *value > 0.0)?;
    let grams = matches!(unit.trim(), "g" | "gr" | "gram" | "G");
    Some(if grams { format!("{}", value / 1_000.0) } else { number })
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    /// Asks something of ZZZ-1.
    fn of<T>(value: &str, ask: impl Fn(Piece<'_>) -> T) -> T {
        let text = format!("MSH|^~\\&|\rZZZ|{value}");
        let message = Message::parse(&text).expect("a message");
        ask(message.first("ZZZ").expect("ZZZ").field(1))
    }

    #[test]
    fn times_keep_the_clock_of_the_sender() {
        let noon = Moment::parse("20261128120000").expect("a time");
        assert_eq!(noon.local(420), ("20261128".to_owned(), "120000".to_owned()));
        assert_eq!(noon.ms(420), 1_795_842_000_000);
        let zoned = Moment::parse("202611282330+0000").expect("a zone");
        assert_eq!(zoned.local(420), ("20261129".to_owned(), "063000".to_owned()));
        assert_eq!(zoned.ms(420), zoned.ms(0));
        assert_eq!(Moment::parse("20261128").map(|day| day.local(420).1), Some("000000".to_owned()));
        assert_eq!(Moment::parse("20261128120000.1234-0330").map(|time| time.ms(0)), Some(1_795_879_800_000));
        assert_eq!(Moment::stamp(1_795_842_000_999, 420), "20261128120000");
        for bad in ["", "2026", "20261328", "20260230", "2026112825", "202611281260", "x", "20261128+7", "20261128120"]
        {
            assert!(Moment::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_spellings_of_a_name_are_read_whole() {
        for (written, whole) in [
            ("Nguyễn^An^Văn", "Nguyễn Văn An"),
            ("NGUYEN VAN AN", "NGUYEN VAN AN"),
            ("NGUYEN^VAN AN", "NGUYEN VAN AN"),
            ("NGUYEN^VAN^AN", "NGUYEN VAN AN"),
            ("NGUYEN VAN^AN", "NGUYEN VAN AN"),
            ("AN^NGUYEN VAN", "AN NGUYEN VAN"),
            (" NGUYEN  VAN\tAN 45T ", "NGUYEN VAN AN 45T"),
            ("NGUY?N V?N AN", "NGUY?N V?N AN"),
            ("Trần&van^Bình^Thị^^^^L", "Trần Thị Bình"),
        ] {
            assert_eq!(of(written, |piece| name(piece, 1)).as_deref(), Some(whole), "{written}");
        }
        assert_eq!(of("\"\"", |piece| name(piece, 1)), Some(String::new()));
        assert_eq!(of("^^", |piece| name(piece, 1)), None);
        assert_eq!(of("BS01^Trần^Bình^Thị", physician).as_deref(), Some("Trần Thị Bình"));
        assert_eq!(of("BS01^Trần Thị Bình", physician).as_deref(), Some("Trần Thị Bình"));
        assert_eq!(of("Trần Thị Bình", physician).as_deref(), Some("Trần Thị Bình"));
        assert_eq!(of("KTV1&Lê&Nam^20261128", performer).as_deref(), Some("Lê Nam"));
        assert_eq!(of("KTV1^Lê^Nam", performer).as_deref(), Some("Lê Nam"));
        assert_eq!(of("Lê Nam^20261128", performer).as_deref(), Some("Lê Nam"));
        assert_eq!(of("Lê Nam", performer).as_deref(), Some("Lê Nam"));
    }

    #[test]
    fn numbers_are_what_they_say() {
        assert_eq!(of("+84 903 123 456", phone).as_deref(), Some("0903123456"));
        assert_eq!(of("(0258) 3-822168", phone).as_deref(), Some("02583822168"));
        assert_eq!(of("^PRN^PH^^84^258^3822168", phone).as_deref(), Some("2583822168"));
        assert_eq!(of("^PRN", phone), None);
        assert_eq!(kilograms("52,5", "kg").as_deref(), Some("52.5"));
        assert_eq!(kilograms("3200", "g").as_deref(), Some("3.2"));
        for bad in ["", "-1", "0", "nặng", "1e9", "."] {
            assert_eq!(kilograms(bad, "kg"), None, "{bad}");
        }
    }

    #[test]
    fn coded_values_and_places_are_joined() {
        let full = of("4.1^CT ngực^99BV^1.1^CT^L", |piece| (code(piece, 1), code(piece, 4)));
        let code = |value: &str, meaning: &str, scheme: &str| {
            Some(Code { value: value.into(), meaning: meaning.into(), scheme: scheme.into() })
        };
        assert_eq!(full, (code("4.1", "CT ngực", "99BV"), code("1.1", "CT", "L")));
        assert_eq!(of("01", words).as_deref(), Some("01"));
        assert_eq!(of("KHOA^P12^G3^BV&1.2^^^A^^", location).as_deref(), Some("KHOA P12 G3 BV A"));
        assert_eq!(of("12 Lê Lợi^^Nha Trang^Khánh Hòa", address).as_deref(), Some("12 Lê Lợi, Nha Trang, Khánh Hòa"));
    }
}
