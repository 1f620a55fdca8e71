//! A JSON object of which only a part may be said: an absent field is silent, null or an empty text clears.
//!
//! Refusals name fields, never their values: a value may be a patient's.

use crate::problem::{Kind, Problem};
use model::Uid;
use model::chart::{BirthDate, Code, Sex};
use model::retention::ClassId;
use serde_json::{Map, Value};

/// What a body says, field by field; what is left at the end is unknown and refused.
#[derive(Debug)]
pub(super) struct Said {
    fields: Map<String, Value>,
    /// Where it stands: empty, or `patient.`.
    place: String,
}

impl Said {
    /// Reads a whole body.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let bad = |what: String| Problem::new(Kind::BadRequest, what).at("body");
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self { fields, place: String::new() }),
            Ok(_) => Err(bad("the body must be one JSON object".into())),
            // The text of the error may quote a value, where it stands does not.
            Err(error) => Err(bad(format!("no JSON at line {}, column {}", error.line(), error.column()))),
        }
    }

    /// A refusal of a field.
    pub(super) fn bad(&self, name: &str, what: impl Into<String>) -> Problem {
        Problem::new(Kind::BadRequest, what).at(format!("body field {}{name}", self.place))
    }

    /// A text; empty when it is cleared.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(String::new())),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(_) => Err(self.bad(name, "a text is needed; numbers are texts, too: zeros in front count")),
        }
    }

    /// A text that must be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, Problem> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.bad(name, format!("{name} is needed")))
    }

    /// A text that is read as something; none inside when it is cleared.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<Option<T>>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        if text.is_empty() {
            return Ok(Some(None));
        }
        parse(&text).map(|value| Some(Some(value))).map_err(|what| self.bad(name, what))
    }

    /// A list of texts; one text stands for itself.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Problem> {
        let wrong = "a list of texts is needed";
        let list = match self.fields.remove(name) {
            None => return Ok(None),
            Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(list)) => {
                let texts = list.into_iter().map(|value| match value {
                    Value::String(text) => Ok(text),
                    _ => Err(self.bad(name, wrong)),
                });
                texts.collect::<Result<_, _>>()?
            }
            Some(_) => return Err(self.bad(name, wrong)),
        };
        let texts = list.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(Some(texts.collect()))
    }

    /// Classes of retention; none where nothing is said.
    pub(super) fn classes(&mut self, name: &str) -> Result<Vec<ClassId>, Problem> {
        let texts = self.texts(name)?.unwrap_or_default();
        let class = |text: &String| ClassId::parse(text).map_err(|_| self.bad(name, "names of classes of retention"));
        texts.iter().map(class).collect()
    }

    /// Whether, where it is said; null is no.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(false)),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.bad(name, "true or false is needed")),
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| self.bad(name, "a whole number from 0 is needed")),
        }
    }

    /// Whether a field is an object.
    pub(super) fn is_object(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(Value::is_object)
    }

    /// An object inside; null is none.
    pub(super) fn inner(&mut self, name: &str) -> Result<Option<Self>, Problem> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.of(value, name).map(Some),
        }
    }

    /// A list of objects; null is an empty one.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Self>>, Problem> {
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(Vec::new())),
            Some(Value::Array(list)) => {
                let objects = list.into_iter().enumerate();
                objects.map(|(at, value)| self.of(value, &format!("{name}[{at}]"))).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(self.bad(name, "a list of objects is needed")),
        }
    }

    fn of(&self, value: Value, name: &str) -> Result<Self, Problem> {
        match value {
            Value::Object(fields) => Ok(Self { fields, place: format!("{}{name}.", self.place) }),
            _ => Err(self.bad(name, "an object is needed")),
        }
    }

    /// Refuses what nobody asked for: a slip in a name would be lost without a word.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(32).collect();
                Err(self.bad(&name, "there is no such field"))
            }
        }
    }

    /// A birth date, as far as it is known.
    pub(super) fn birth(&mut self, name: &str) -> Result<Option<Option<BirthDate>>, Problem> {
        self.parsed(name, |text| BirthDate::parse(text).map_err(|error| error.to_string()))
    }

    /// A sex in words or as a code of HL7, DICOM or insurance.
    pub(super) fn sex(&mut self, name: &str) -> Result<Option<Sex>, Problem> {
        let read = |text: &str| match text.to_lowercase().as_str() {
            "male" | "nam" => Ok(Sex::Male),
            "female" | "nữ" => Ok(Sex::Female),
            "other" => Ok(Sex::Other),
            "unknown" | "u" | "3" => Ok(Sex::Unknown),
            code => Some(Sex::of(code))
                .filter(|sex| *sex != Sex::Unknown)
                .ok_or_else(|| "male, female, other, unknown, or a code M, F, O, U, 1, 2, 3".to_owned()),
        };
        Ok(self.parsed(name, read)?.map(Option::unwrap_or_default))
    }

    /// A UID.
    pub(super) fn uid(&mut self, name: &str) -> Result<Option<Option<Uid>>, Problem> {
        self.parsed(name, |text| Uid::parse(text).map_err(|error| error.to_string()))
    }

    /// A code: an object, or its value alone.
    pub(super) fn code(&mut self, name: &str) -> Result<Option<Code>, Problem> {
        if !self.is_object(name) {
            return Ok(self.text(name)?.map(|value| Code { value, ..Code::default() }));
        }
        self.inner(name)?.map(code).transpose()
    }
}

/// A code with scheme and meaning.
pub(super) fn code(mut said: Said) -> Result<Code, Problem> {
    let value = said.needed("value")?;
    let (scheme, meaning) = (said.text("scheme")?.unwrap_or_default(), said.text("meaning")?.unwrap_or_default());
    said.end()?;
    Ok(Code { value, scheme, meaning })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        Said::read(text.as_bytes()).expect("an object")
    }

    #[test]
    fn absent_is_silent_and_null_or_empty_clears() {
        let mut body = said(r#"{"a":null,"b":"","c":" x ","list":["1"," "],"none":null,"one":"2"}"#);
        assert_eq!(body.text("z").expect("silent"), None);
        assert_eq!(body.text("a").expect("cleared").as_deref(), Some(""));
        assert_eq!(body.text("b").expect("cleared").as_deref(), Some(""));
        assert_eq!(body.text("c").expect("said").as_deref(), Some("x"));
        assert_eq!(body.texts("list").expect("said"), Some(vec!["1".to_owned()]));
        assert_eq!(body.texts("none").expect("cleared"), Some(Vec::new()));
        assert_eq!(body.texts("one").expect("one"), Some(vec!["2".to_owned()]));
        assert_eq!(body.texts("z").expect("silent"), None);
        body.end().expect("nothing is left");
        let mut body = said(r#"{"born":"","sex":"2","odd":"1978","no":"x"}"#);
        assert_eq!(body.birth("born").expect("cleared"), Some(None));
        assert_eq!(body.sex("sex").expect("a code"), Some(Sex::Female));
        assert_eq!(body.birth("odd").expect("a year").flatten().map(BirthDate::year), Some(1978));
        assert_eq!(body.sex("no").expect_err("no sex").place, "body field no");
    }

    #[test]
    fn refusals_name_the_field_and_not_its_value() {
        let mut body = said(r#"{"patient":{"name":5,"nam":"Nguyễn"},"steps":[{},{"start":1}]}"#);
        let mut patient = body.inner("patient").expect("an object").expect("there");
        let error = patient.text("name").expect_err("a number");
        assert_eq!((error.kind, error.place.as_str()), (Kind::BadRequest, "body field patient.name"));
        let error = patient.end().expect_err("a slip");
        assert!(error.place.ends_with("patient.nam") && !error.detail.contains("Nguyễn"));
        let mut steps = body.list("steps").expect("a list").expect("there");
        assert_eq!(steps.remove(1).text("start").expect_err("a number").place, "body field steps[1].start");
        for broken in ["", "[]", "\"Nguyễn\"", "{\"name\":\"Nguyễn"] {
            let error = Said::read(broken.as_bytes()).expect_err(broken);
            assert!(!error.detail.contains("Nguyễn"), "{}", error.detail);
        }
    }
}
