//! Matching of steps by keys (PS3.4 sections C.2.2.2 and CC.2.8) and picking what is returned.
//!
//! Keys are a data set: a value is matched, an empty one only asked back, a sequence by its one item. Names match in any
//! case and with or without accents, dates and times by ranges as exact as they are written, all other text exactly or
//! by wildcards. Deliberately not done: matching across offsets from UTC.

use super::time;
use super::{Document, UpsError, bloom, tag};
use model::name::{fold, fold_pattern};
use serde_json::{Value, json};

/// Deepest sequence of keys.
const DEPTH_MAX: usize = 8;
/// Most keys.
const KEYS_MAX: usize = 256;
/// Most values of one key.
const VALUES_MAX: usize = 1_000;

/// Keys that were looked at and can be matched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Keys {
    tests: Vec<Key>,
    /// What every match has in its filter.
    pub(super) marks: u128,
    /// The one value of Scheduled Procedure Step Start DateTime or its range.
    pub(super) start: Option<(String, String)>,
    /// The one Procedure Step State.
    pub(super) state: Option<String>,
    /// The SOP Instance UIDs asked for.
    pub(super) uids: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Key {
    tag: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Any of these values, exactly.
    Exact(Vec<String>),
    /// Any of these patterns.
    Pattern(Vec<String>),
    /// A folded name or pattern of one.
    Name(Vec<String>),
    /// From, to.
    Range(String, String),
    /// An item matches.
    Item(Vec<Key>),
}

impl Keys {
    /// Reads the keys of a data set.
    ///
    /// # Errors
    /// [`UpsError::Invalid`] names the key that cannot be matched.
    pub fn read(identifier: &Document) -> Result<Self, UpsError> {
        let mut keys = Self::default();
        let mut count = 0;
        keys.tests = keys.level(identifier, 0, &mut count)?;
        for key in &keys.tests {
            match (&key.test, key.tag.as_str()) {
                (Test::Range(from, to), tag::START) => keys.start = Some((from.clone(), to.clone())),
                (Test::Exact(values), tag::SOP_INSTANCE) => keys.uids = Some(values.clone()),
                (Test::Exact(values), tag::STATE) => keys.state = values.first().filter(|_| values.len() == 1).cloned(),
                _ => {}
            }
        }
        Ok(keys)
    }

    fn level(&mut self, members: &Document, depth: usize, count: &mut usize) -> Result<Vec<Key>, UpsError> {
        let mut keys = Vec::new();
        for (name, member) in members {
            *count = count.saturating_add(1);
            if depth > DEPTH_MAX || *count > KEYS_MAX {
                return Err(UpsError::Limit(format!("more than {KEYS_MAX} keys, or too deep")));
            }
            let values = member.get("Value").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let vr = member.get("vr").and_then(Value::as_str).unwrap_or_default();
            if values.is_empty() || name == tag::SPECIFIC_CHARACTER_SET || name == tag::TRANSACTION {
                continue;
            }
            let test = if vr == "SQ" {
                let [Value::Object(item)] = values else {
                    return Err(UpsError::Invalid(format!("{} has more than one item", label(name))));
                };
                let inner = self.level(item, depth.saturating_add(1), count)?;
                if inner.is_empty() {
                    continue;
                }
                Test::Item(inner)
            } else {
                match self.test(name, vr, values)? {
                    Some(test) => test,
                    None => continue,
                }
            };
            keys.push(Key { tag: name.clone(), test });
        }
        Ok(keys)
    }

    fn test(&mut self, name: &str, vr: &str, values: &[Value]) -> Result<Option<Test>, UpsError> {
        let texts: Vec<String> = values.iter().flat_map(texts).filter(|text| !text.is_empty() && text != "*").collect();
        let Some(first) = texts.first() else { return Ok(None) };
        if texts.len() > VALUES_MAX {
            return Err(UpsError::Invalid(format!("{} has more than {VALUES_MAX} values", label(name))));
        }
        let wrong = |what: &str| UpsError::Invalid(format!("{} {what}", label(name)));
        Ok(Some(match vr {
            "DA" | "TM" | "DT" => match time::range(first) {
                Some((from, to)) => Test::Range(from.to_owned(), to.to_owned()),
                None if time::digits(first).is_some() => Test::Range(first.clone(), first.clone()),
                None => return Err(wrong("takes a date or time, or a range of them")),
            },
            "PN" => Test::Name(texts.iter().map(|text| fold_pattern(text)).collect()),
            "UI" => {
                let sound = texts.iter().all(|text| model::Uid::parse(text).is_ok());
                if !sound {
                    return Err(wrong("takes UIDs"));
                }
                self.mark(name, &texts);
                Test::Exact(texts)
            }
            _ if texts.iter().any(|text| text.contains(['*', '?'])) => Test::Pattern(texts),
            _ => {
                self.mark(name, &texts);
                Test::Exact(texts)
            }
        }))
    }

    fn mark(&mut self, name: &str, texts: &[String]) {
        if let [one] = texts
            && bloom::is_marked(name)
        {
            self.marks |= bloom::bits(name, one);
        }
    }

    /// Whether a step has everything the keys ask for.
    pub fn accept(&self, document: &Document) -> bool {
        self.tests.iter().all(|key| key.accepts(document))
    }

    /// Whether nothing is matched at all.
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }
}

impl Key {
    fn accepts(&self, document: &Document) -> bool {
        let values = document.get(&self.tag).and_then(|member| member.get("Value")).and_then(Value::as_array);
        let Some(values) = values else { return false };
        if let Test::Item(keys) = &self.test {
            let fits = |item: &Value| item.as_object().is_some_and(|item| keys.iter().all(|key| key.accepts(item)));
            return values.iter().any(fits);
        }
        values.iter().flat_map(texts).any(|value| match &self.test {
            Test::Exact(wanted) => wanted.iter().any(|one| one.trim() == value.trim()),
            Test::Pattern(wanted) => wanted.iter().any(|one| wildcard(one.as_bytes(), value.as_bytes())),
            Test::Name(wanted) => wanted.iter().any(|one| wildcard(one.as_bytes(), fold(&value).as_bytes())),
            Test::Range(from, to) => time::lies_in(&value, from, to),
            Test::Item(_) => false,
        })
    }
}

/// A value as text; a name as each of its component groups.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.trim_matches([' ', '\0']).to_owned()],
        Value::Number(number) => vec![number.to_string()],
        Value::Object(person) => person.values().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Calls `each` with every text value of a data set, items included, and its attribute.
pub(super) fn leaves(document: &Document, each: &mut dyn FnMut(&str, &str)) {
    for (name, member) in document {
        for value in member.get("Value").and_then(Value::as_array).into_iter().flatten() {
            match value {
                Value::Object(item) if member.get("vr").and_then(Value::as_str) == Some("SQ") => leaves(item, each),
                other => texts(other).iter().for_each(|text| each(name, text)),
            }
        }
    }
}

/// Whether a text fits a pattern of `*` and `?`; time grows with the product of their lengths at most.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from, mut star) = (0usize, 0usize, None);
    while from < text.len() {
        match (pattern.get(at), text.get(from)) {
            (Some(b'*'), _) => {
                star = Some((at, from));
                at = at.saturating_add(1);
            }
            (Some(b'?'), Some(_)) => (at, from) = (at.saturating_add(1), next(text, from)),
            (Some(one), Some(other)) if one == other => (at, from) = (at.saturating_add(1), from.saturating_add(1)),
            _ => match star {
                Some((back, tried)) => {
                    star = Some((back, next(text, tried)));
                    (at, from) = (back.saturating_add(1), next(text, tried));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|rest| *rest == b'*')
}

/// Where the character behind the one at a place begins.
fn next(text: &[u8], at: usize) -> usize {
    let rest = text.get(at.saturating_add(1)..).unwrap_or_default();
    at.saturating_add(1).saturating_add(rest.iter().take_while(|byte| **byte & 0xC0 == 0x80).count())
}

/// The attributes of a step that keys ask back, and its identity; what the step lacks comes without a value.
pub fn returned(document: &Document, identifier: &Document) -> Document {
    let mut out = picked(document, identifier);
    for name in [tag::SOP_CLASS, tag::SOP_INSTANCE] {
        if let Some(member) = document.get(name) {
            out.insert(name.to_owned(), member.clone());
        }
    }
    out.remove(tag::TRANSACTION);
    out
}

fn picked(document: &Document, identifier: &Document) -> Document {
    let mut out = Document::new();
    for (name, asked) in identifier.iter().filter(|(name, _)| *name != tag::SPECIFIC_CHARACTER_SET) {
        let vr = asked.get("vr").cloned().unwrap_or_else(|| json!("UN"));
        let Some(member) = document.get(name) else {
            out.insert(name.clone(), json!({"vr": vr}));
            continue;
        };
        let keys = asked.get("Value").and_then(|items| items.get(0)).and_then(Value::as_object);
        let items = member.get("Value").and_then(Value::as_array);
        match (keys.filter(|keys| !keys.is_empty() && vr == "SQ"), items) {
            (Some(keys), Some(items)) => {
                let items: Vec<Value> =
                    items.iter().filter_map(Value::as_object).map(|item| picked(item, keys).into()).collect();
                out.insert(name.clone(), json!({"vr": "SQ", "Value": items}));
            }
            _ => drop(out.insert(name.clone(), member.clone())),
        }
    }
    out
}

/// The keyword of a tag, else the tag.
pub(super) fn label(tag: &str) -> String {
    let number = u32::from_str_radix(tag, 16).ok();
    number.and_then(dataset::keyword).map_or_else(|| tag.chars().take(8).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(value: Value) -> Document {
        value.as_object().expect("an object").clone()
    }

    fn step() -> Document {
        document(json!({
            "00080018": {"vr": "UI", "Value": ["1.2.3"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Văn Ánh"}]},
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "00404005": {"vr": "DT", "Value": ["20260115093000"]},
            "00404018": {"vr": "SQ", "Value": [
                {"00080100": {"vr": "SH", "Value": ["CODE1"]}},
                {"00080100": {"vr": "SH", "Value": ["CODE2"]}},
            ]},
            "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
        }))
    }

    fn accepts(keys: Value) -> bool {
        let keys = Keys::read(&document(keys)).expect("keys");
        let (step, found) = (step(), bloom::marks(&step()));
        let accepted = keys.accept(&step);
        assert!(!accepted || found & keys.marks == keys.marks, "the filter hides a match");
        accepted
    }

    #[test]
    fn keys_match_as_the_standard_says() {
        let text = |tag: &str, vr: &str, value: &str| accepts(json!({tag: {"vr": vr, "Value": [value]}}));
        assert!(text("00100020", "LO", "P1") && text("00100020", "LO", "P*") && text("00100020", "LO", "?1"));
        assert!(!text("00100020", "LO", "p1") && !text("00100020", "LO", "P") && !text("00100030", "DA", "2000"));
        assert!(text("00100010", "PN", "nguyen^van*") && !text("00100010", "PN", "nguyen^vy*"));
        assert!(text("00404005", "DT", "20260115") && text("00404005", "DT", "20260101-20260131"));
        assert!(!text("00404005", "DT", "20260116-"));
        let code = |code: &str| {
            accepts(json!({"00404018": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": [code]}}]}}))
        };
        assert!(code("CODE2") && !code("CODE3"));
        assert!(accepts(json!({"00404018": {"vr": "SQ", "Value": [{}]}, "00100020": {"vr": "LO"}})));
        assert!(accepts(json!({"00080018": {"vr": "UI", "Value": ["1.2", "1.2.3"]}})));
    }

    #[test]
    fn keys_that_are_none_are_refused_by_name() {
        let refused = |keys: Value| Keys::read(&document(keys)).expect_err("refused").to_string();
        assert!(refused(json!({"00404005": {"vr": "DT", "Value": ["soon"]}})).contains("ScheduledProcedureStepStart"));
        assert!(refused(json!({"00404018": {"vr": "SQ", "Value": [{}, {}]}})).contains("more than one item"));
        let many: Document = (0..300).map(|n| (format!("0009{n:04X}"), json!({"vr": "LO"}))).collect();
        assert!(Keys::read(&many).is_err());
    }

    #[test]
    fn patterns_that_would_explode_end_at_once() {
        let pattern = "*a".repeat(200);
        let text = "b".repeat(10_000);
        assert!(!wildcard(pattern.as_bytes(), text.as_bytes()));
        assert!(wildcard("?n*".as_bytes(), "Án".as_bytes()));
    }

    #[test]
    fn what_is_asked_back_comes_even_without_a_value() {
        let keys = document(json!({
            "00100020": {"vr": "LO"}, "00080050": {"vr": "SH"},
            "00404018": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH"}}]},
        }));
        let back = returned(&step(), &keys);
        assert_eq!(back.get("00080050"), Some(&json!({"vr": "SH"})));
        assert_eq!(back.get("00404018"), step().get("00404018"));
        assert!(back.contains_key("00080018") && !back.contains_key("00741000"));
    }
}
