//! `khoanh correct`: other values for a study's patient and order than were received, and back.
//!
//! What may be corrected says the model; that nothing stored changes, the archive.

use super::retention::parse_study;
use super::{Exit, Failure, Place, show};
use crate::control::{CorrectRequest, Request};
use archive::retain::Changed;
use clap::{Args, ValueEnum};
use model::attribute::attribute;
use model::correction::{self, CORRECTABLE, Correction, Why};
use model::retention::{Person, StudyRef};
use model::{AttrKey, Attributes};
use serde::Deserialize;
use std::fmt::Write as _;

pub(super) const HELP: &str = "\
Can be corrected: PatientName, PatientID, IssuerOfPatientID, PatientBirthDate, PatientSex, AccessionNumber, StudyID,
StudyDescription and ReferringPhysicianName. Nothing stored changes: queries find the study by the new values, and its
objects go out with them and with what they replace (Original Attributes Sequence). Without --yes it only tells what
would change. Without --set, --clear and --undo it lists the corrections of the study.
  khoanh correct 56001/1.2.840.1 --set PatientName='NGUYEN^VAN AN' --by 'Lan' --reason 'wrong name at the console' --yes";

#[derive(Debug, Args)]
pub(super) struct Correct {
    /// The study, FACILITY/STUDY.
    #[arg(value_parser = parse_study)]
    study: StudyRef,
    /// A new value, KEYWORD=VALUE; may be given again. An empty value blanks the attribute.
    #[arg(long, value_name = "KEYWORD=VALUE", value_parser = assignment)]
    set: Vec<(AttrKey, String)>,
    /// An attribute that holds again what was received; may be given again.
    #[arg(long, value_name = "KEYWORD", value_parser = named)]
    clear: Vec<AttrKey>,
    /// Every attribute holds again what was received.
    #[arg(long, conflicts_with_all = ["set", "clear"])]
    undo: bool,
    /// What receivers are told: the values were wrong, or they were right elsewhere.
    #[arg(long, value_enum, default_value_t = Told::Correct)]
    why: Told,
    /// Who corrects it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Option<Person>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Does it.
    #[arg(long)]
    yes: bool,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Reason for the Attribute Modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Told {
    Correct,
    Coerce,
}

fn named(text: &str) -> Result<AttrKey, String> {
    correction::attribute_named(text.trim()).map_err(|error| error.to_string())
}

fn assignment(text: &str) -> Result<(AttrKey, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no KEYWORD=VALUE"))?;
    Ok((named(name)?, value.to_owned()))
}

pub(super) fn run(wanted: &Correct) -> Result<Exit, Failure> {
    if wanted.set.is_empty() && wanted.clear.is_empty() && !wanted.undo {
        return list(wanted);
    }
    let needed = |what: &str| Failure::new(Exit::Usage, format!("{what} is needed"));
    let by = wanted.by.clone().ok_or_else(|| needed("--by PERSON"))?;
    let reason = wanted.reason.clone().filter(|text| !text.trim().is_empty());
    let reason = reason.ok_or_else(|| needed("--reason TEXT"))?;
    let set: Attributes = wanted.set.iter().cloned().collect();
    let clear = if wanted.undo { CORRECTABLE.to_vec() } else { wanted.clear.clone() };
    let why = if wanted.why == Told::Coerce { Why::Coerce } else { Why::Correct };
    let (study, execute) = (wanted.study.clone(), wanted.yes);
    let answer = ask(&wanted.place, CorrectRequest::Correct { study, set, clear, why, by, reason, execute })?;
    if wanted.json {
        return show(&format!("{answer}\n"));
    }
    let changed: Vec<Changed> = understood(&answer, "changed")?;
    let mut out = String::new();
    for one in &changed {
        let text = |value: &Option<String>| value.as_ref().map_or("-".to_owned(), |value| format!("{value:?}"));
        let _ = writeln!(out, "{:22} {} -> {}", one.attribute, text(&one.before), text(&one.after));
    }
    out.push_str(match wanted.yes {
        true => "corrected; what was received is kept (đã hiệu chỉnh; bản gốc được giữ nguyên)\n",
        false => "nothing was changed: --yes does it (chưa thay đổi gì: thêm --yes để thực hiện)\n",
    });
    show(&out)
}

fn list(wanted: &Correct) -> Result<Exit, Failure> {
    let answer = ask(&wanted.place, CorrectRequest::List { study: wanted.study.clone() })?;
    if wanted.json {
        return show(&format!("{answer}\n"));
    }
    let corrections: Vec<Correction> = understood(&answer, "corrections")?;
    let mut out = String::new();
    for one in &corrections {
        let _ = writeln!(out, "{} by {}: {} ({})", model::Date::of_ms(one.at), one.by, one.reason, one.why.term());
        for (key, text) in &one.values {
            let keyword = attribute(*key).map_or_else(|| key.to_string(), |row| row.keyword.to_owned());
            let _ = writeln!(out, "  {keyword:22} {text:?}");
        }
        if one.values.is_empty() {
            out.push_str("  as received (như bản gốc)\n");
        }
    }
    if corrections.is_empty() {
        out.push_str("the study is as received (ca chụp như bản gốc)\n");
    }
    show(&out)
}

fn ask(place: &Place, request: CorrectRequest) -> Result<serde_json::Value, Failure> {
    place.ask_existing(&Request::Correct(Box::new(request)))
}

fn understood<T: for<'de> Deserialize<'de>>(answer: &serde_json::Value, name: &str) -> Result<T, Failure> {
    let value = answer.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value)
        .map_err(|error| Failure::new(Exit::Failed, format!("the answer is not understood: {error}")))
}
