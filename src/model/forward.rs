//! Forwarding: which studies go on by themselves, to whom, and what goes first.
//!
//! Rules, the roots of DICOMweb services and what is paused are data, journaled like the rest of the registry; this
//! module says what a valid entry is and what a rule matches. When something is sent, and by whom, is not its matter.

use crate::name::{fold, fold_pattern};
use crate::query::glob;
use crate::{AeTitle, FacilityCode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name of a rule or root, in characters.
const NAME_CHARS_MAX: usize = 64;
/// Longest pattern or free text, in characters.
const TEXT_CHARS_MAX: usize = 256;
/// Most destinations of one rule, and most modalities.
const LIST_MAX: usize = 32;
/// Prefix of a DICOMweb root where a destination is written as one text.
const STOW: &str = "stow:";

/// Whom something is forwarded to; as text an AE title, or `stow:` and the name of a root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForwardTo {
    /// A destination of the registry, by its AE title.
    Dicom(AeTitle),
    /// A [`StowRoot`] by its name.
    Stow(String),
}

impl fmt::Display for ForwardTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dicom(title) => write!(f, "{title}"),
            Self::Stow(name) => write!(f, "{STOW}{name}"),
        }
    }
}

impl FromStr for ForwardTo {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(STOW) {
            Some(name) if is_name(name) => Ok(Self::Stow(name.to_owned())),
            Some(name) => Err(format!("{name:?} is no name of a STOW-RS root")),
            None => AeTitle::parse(text).map(Self::Dicom).map_err(|error| error.to_string()),
        }
    }
}

impl Serialize for ForwardTo {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ForwardTo {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What goes first; the order of the variants is the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before everything else; what is being sent makes room.
    Stat,
    /// In its turn.
    #[default]
    Routine,
    /// When nothing else waits.
    Low,
}

/// What a rule waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A series that is quiet: nothing came for the quiet time.
    #[default]
    Series,
    /// A study of which every series is quiet.
    Study,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// The objects, by C-STORE or STOW-RS.
    #[default]
    Objects,
    /// An Instance Availability Notification (PS3.4 annex R).
    Notice,
}

/// A time of day between two minutes; it may run over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DayTime {
    /// First minute of the day, from 0.
    pub from: u16,
    /// The minute it ends before.
    pub to: u16,
}

impl DayTime {
    /// Whether a minute of the day lies in it.
    pub fn contains(self, minute: u16) -> bool {
        if self.from <= self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minute: u16| (minute / 60, minute % 60);
        let ((from_hour, from), (to_hour, to)) = (clock(self.from), clock(self.to));
        write!(f, "{from_hour:02}:{from:02}-{to_hour:02}:{to:02}")
    }
}

impl FromStr for DayTime {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let clock = |text: &str| -> Option<u16> {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
            let sound = minute < 60 && (hour < 24 || (hour == 24 && minute == 0));
            sound.then(|| hour * 60 + minute)
        };
        let read = text.split_once('-').and_then(|(from, to)| Some(Self { from: clock(from)?, to: clock(to)? }));
        read.ok_or_else(|| format!("{text:?} is no time of day: write it as 18:00-06:00"))
    }
}

impl Serialize for DayTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DayTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A rule: what it names must fit, what it leaves out fits always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardRule {
    /// Its name, unique among the rules.
    pub name: String,
    /// Where to.
    pub to: Vec<ForwardTo>,
    /// Facility of the study; none means every facility's: a disclosure the operator decides on.
    #[serde(default)]
    pub facility: Option<FacilityCode>,
    /// Name of the source in the registry; `*` and `?` are wildcards.
    #[serde(default)]
    pub source: Option<String>,
    /// AE title the source shows, as the registry has it; `*` and `?` are wildcards.
    #[serde(default)]
    pub calling: Option<String>,
    /// Modalities, one of which it must have; none means any.
    #[serde(default)]
    pub modality: Vec<String>,
    /// Pattern of the Study or Series Description, without regard to case and Vietnamese marks.
    #[serde(default)]
    pub description: Option<String>,
    /// When the newest image came in, local time.
    #[serde(default)]
    pub between: Option<DayTime>,
    /// What it waits for.
    #[serde(default)]
    pub when: Trigger,
    /// What is sent.
    #[serde(default)]
    pub send: Payload,
    /// What goes first.
    #[serde(default)]
    pub priority: Priority,
    /// Held back; what waits already goes on.
    #[serde(default)]
    pub disabled: bool,
    /// A removed rule keeps its history.
    #[serde(default)]
    pub removed: bool,
}

/// What arrived, as far as rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Its facility.
    pub facility: FacilityCode,
    /// Name of its source.
    pub source: &'a str,
    /// AE title the registry has for the source.
    pub calling: Option<&'a AeTitle>,
    /// Modality of the series, or of every series of the study.
    pub modalities: Vec<&'a str>,
    /// Descriptions of the study and its series.
    pub descriptions: Vec<&'a str>,
    /// Minute of the local day.
    pub minute: u16,
}

impl ForwardRule {
    /// A rule with nothing but a name and destinations.
    pub fn new(name: String, to: Vec<ForwardTo>) -> Self {
        Self {
            name,
            to,
            facility: None,
            source: None,
            calling: None,
            modality: Vec::new(),
            description: None,
            between: None,
            when: Trigger::default(),
            send: Payload::default(),
            priority: Priority::default(),
            disabled: false,
            removed: false,
        }
    }

    /// What is wrong with it by itself.
    ///
    /// # Errors
    /// A sentence for whoever wrote it.
    pub fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err(format!("a rule needs a name of 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` or `.`"));
        }
        if self.to.is_empty() || self.to.len() > LIST_MAX {
            return Err(format!("a rule names 1 to {LIST_MAX} destinations"));
        }
        if self.send == Payload::Notice && self.to.iter().any(|to| matches!(to, ForwardTo::Stow(_))) {
            return Err("an Instance Availability Notification goes to DICOM destinations only".into());
        }
        if self.send == Payload::Notice && self.when == Trigger::Series {
            return Err("an Instance Availability Notification is about a study: it waits for the study".into());
        }
        let texts = [&self.source, &self.calling, &self.description].into_iter().flatten();
        if texts.chain(&self.modality).any(|text| text.is_empty() || text.chars().count() > TEXT_CHARS_MAX) {
            return Err(format!("a pattern has 1 to {TEXT_CHARS_MAX} characters; leave it out to match everything"));
        }
        if self.modality.len() > LIST_MAX {
            return Err(format!("a rule names at most {LIST_MAX} modalities"));
        }
        Ok(())
    }

    /// Whether it is for what arrived.
    pub fn matches(&self, arrival: &Arrival<'_>) -> bool {
        let fits = |pattern: &Option<String>, text: &str| pattern.as_ref().is_none_or(|pattern| glob(pattern, text));
        let described = |pattern: &String| {
            let pattern = fold_pattern(pattern);
            arrival.descriptions.iter().any(|text| glob(&pattern, &fold(text)))
        };
        let calls = match (&self.calling, arrival.calling) {
            (None, _) => true,
            (Some(pattern), Some(title)) => glob(pattern, title.as_str()),
            (Some(_), None) => false,
        };
        let has = |modality: &String| arrival.modalities.iter().any(|known| known.eq_ignore_ascii_case(modality));
        !self.disabled
            && !self.removed
            && self.facility.is_none_or(|facility| facility == arrival.facility)
            && fits(&self.source, arrival.source)
            && calls
            && (self.modality.is_empty() || self.modality.iter().any(has))
            && self.description.as_ref().is_none_or(described)
            && self.between.is_none_or(|between| between.contains(arrival.minute))
    }
}

/// The root of a DICOMweb service that takes objects by STOW-RS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StowRoot {
    /// Its name, unique among the roots.
    pub name: String,
    /// `https://HOST/dicom-web`; `/studies` is added.
    pub url: String,
    /// The facility whose objects alone go there; none means every facility's.
    #[serde(default)]
    pub facility: Option<FacilityCode>,
    /// File with the bearer token, read for each delivery; the token itself is in no registry.
    #[serde(default)]
    pub token_file: Option<String>,
    /// File with the certificates (PEM) that its own is signed by; none means those of the system.
    #[serde(default)]
    pub authorities: Option<String>,
    /// Free text for people.
    #[serde(default)]
    pub description: String,
    /// A removed root takes nothing.
    #[serde(default)]
    pub removed: bool,
}

impl StowRoot {
    /// What is wrong with it by itself.
    ///
    /// # Errors
    /// A sentence for whoever wrote it.
    pub fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err(format!("a root needs a name of 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` or `.`"));
        }
        let rest = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"));
        let sound = |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && c != '@' && c != '#');
        if !rest.is_some_and(sound) || self.url.len() > 1024 {
            return Err("the root is a URL such as https://pacs.example.vn/dicom-web, without a user in it".into());
        }
        if self.description.chars().count() > TEXT_CHARS_MAX {
            return Err(format!("a description has at most {TEXT_CHARS_MAX} characters"));
        }
        Ok(())
    }
}

/// One change of what forwarding is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum ForwardFact {
    /// A rule was added, changed or removed.
    Rule(ForwardRule),
    /// A root was added, changed or removed.
    Root(StowRoot),
    /// Sending to somebody was paused or taken up again.
    Pause {
        /// To whom.
        to: ForwardTo,
        /// Whether nothing is sent there.
        paused: bool,
    },
}

impl ForwardFact {
    /// The entry it is about: the newest fact of each holds.
    pub fn key(&self) -> String {
        match self {
            Self::Rule(rule) => format!("rule:{}", rule.name),
            Self::Root(root) => format!("root:{}", root.name),
            Self::Pause { to, .. } => format!("pause:{to}"),
        }
    }
}

/// A name that is harmless in paths, metrics and command lines.
fn is_name(text: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(sound)
}

#[cfg(test)]
mod tests;
