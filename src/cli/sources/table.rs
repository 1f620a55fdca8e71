//! The CSV file of facilities and sources, read whole and checked whole: every mistake is told with its line.

use super::{charset, letters, names, worklist};
use model::facility::{AddressRange, CharsetHint, Letters, NameStyle, WorklistScope};
use model::{AeTitle, Certificate, Facility, FacilityCode, Source};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a file lists.
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    pub(super) facilities: Vec<Facility>,
    pub(super) sources: Vec<Source>,
}

/// One line as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    facility: String,
    #[serde(default)]
    facility_name: String,
    #[serde(default)]
    facility_kind: String,
    #[serde(default)]
    active_from: String,
    #[serde(default)]
    active_to: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    called: String,
    #[serde(default)]
    calling: String,
    #[serde(default)]
    addresses: String,
    #[serde(default)]
    certificate: String,
    #[serde(default)]
    charset: String,
    #[serde(default)]
    letters: String,
    #[serde(default)]
    names: String,
    #[serde(default)]
    text_max: String,
    #[serde(default)]
    national_id: String,
    #[serde(default)]
    worklist: String,
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    disabled: String,
}

/// Reads the file. A byte order mark and semicolons (both from office programs) are understood.
pub(super) fn parse(bytes: &[u8]) -> Result<Table, Vec<String>> {
    let text = std::str::from_utf8(bytes).map_err(|_| vec!["1: the file is not UTF-8".to_owned()])?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let header = text.lines().next().unwrap_or_default();
    let delimiter = if header.contains(';') && !header.contains(',') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut facilities: BTreeMap<FacilityCode, Facility> = BTreeMap::new();
    let mut sources: BTreeMap<String, (u64, Source)> = BTreeMap::new();
    let mut wrong = Vec::new();
    let headers = reader.headers().map_err(|error| vec![format!("1: {error}")])?.clone();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let taken = record.deserialize::<Row>(Some(&headers)).map_err(|error| error.to_string());
        match taken.and_then(|row| take(&row, line, &mut facilities, &mut sources)) {
            Ok(()) => {}
            Err(what) => wrong.push(format!("{line}: {what}")),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    // A row may lean on a facility that is registered already: then it has no name and is not sent again.
    let facilities = facilities.into_values().filter(|facility| !facility.name.is_empty()).collect();
    Ok(Table { facilities, sources: sources.into_values().map(|(_, source)| source).collect() })
}

fn take(
    row: &Row,
    line: u64,
    facilities: &mut BTreeMap<FacilityCode, Facility>,
    sources: &mut BTreeMap<String, (u64, Source)>,
) -> Result<(), String> {
    let facility = facility(row)?;
    match facilities.get(&facility.code).filter(|known| !known.name.is_empty()) {
        Some(known) if !facility.name.is_empty() && *known != facility => {
            return Err(format!("facility {} stands differently above", facility.code));
        }
        Some(_) => {}
        None => {
            facilities.insert(facility.code, facility.clone());
        }
    }
    if row.source.is_empty() && row.called.is_empty() && row.calling.is_empty() && row.addresses.is_empty() {
        return Ok(());
    }
    let source = source(row, facility.code)?;
    if let Some((above, _)) = sources.get(&source.id) {
        return Err(format!("source {} stands on line {above} already", source.id));
    }
    sources.insert(source.id.clone(), (line, source));
    Ok(())
}

fn facility(row: &Row) -> Result<Facility, String> {
    let day = |text: &str| match text {
        "" => Ok(String::new()),
        text => {
            let digits: String = text.chars().filter(|c| *c != '-').collect();
            let fits = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
            if fits { Ok(digits) } else { Err(format!("{text:?} is no day: write YYYYMMDD or YYYY-MM-DD")) }
        }
    };
    Ok(Facility {
        code: FacilityCode::parse(&row.facility).map_err(|error| error.to_string())?,
        name: row.facility_name.clone(),
        kind: if row.facility_kind.is_empty() { "hospital".into() } else { row.facility_kind.clone() },
        active_from: day(&row.active_from)?,
        active_to: day(&row.active_to)?,
    })
}

fn source(row: &Row, facility: FacilityCode) -> Result<Source, String> {
    let title = |text: &str| match text {
        "" => Ok(None),
        text => AeTitle::parse(text).map(Some).map_err(|error| format!("{text:?}: {error}")),
    };
    let ranges = row.addresses.split([' ', ';', ',']).filter(|range| !range.is_empty());
    let addresses: Result<Vec<_>, _> = ranges.map(AddressRange::parse).collect();
    let certificate = match row.certificate.as_str() {
        "" => None,
        name => Some(Certificate::parse_name(name).map_err(|error| error.to_string())?),
    };
    let calling = title(&row.calling)?;
    let shown = calling.as_ref().map_or("any", AeTitle::as_str);
    Ok(Source {
        id: if row.source.is_empty() { format!("{facility}-{shown}") } else { row.source.clone() },
        facility,
        called: title(&row.called)?,
        calling,
        addresses: addresses.map_err(|error| error.to_string())?,
        certificate,
        charset: if row.charset.is_empty() { CharsetHint::Auto } else { charset(&row.charset)? },
        letters: if row.letters.is_empty() { Letters::Asked } else { letters(&row.letters)? },
        names: if row.names.is_empty() { NameStyle::Parts } else { names(&row.names)? },
        text_max: text_max(&row.text_max)?,
        national_id: yes_or_no(&row.national_id)?,
        worklist: if row.worklist.is_empty() { WorklistScope::All } else { worklist(&row.worklist)? },
        issuer: row.issuer.clone(),
        disabled: yes_or_no(&row.disabled)?,
    })
}

fn text_max(text: &str) -> Result<Option<u8>, String> {
    let least = Source::TEXT_MAX_LEAST;
    match text {
        "" => Ok(None),
        text => match text.parse::<u8>() {
            Ok(most) if most >= least => Ok(Some(most)),
            _ => Err(format!("{text:?} is no length from {least} to {}", u8::MAX)),
        },
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "" | "no" | "false" | "0" | "không" => Ok(false),
        "yes" | "true" | "1" | "có" => Ok(true),
        other => Err(format!("{other:?} is neither yes nor no")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
facility,facility_name,facility_kind,calling,called,addresses,charset
56001,Bệnh viện Đa khoa tỉnh,hospital,CT01,KHOANH,10.1.0.0/16 10.9.8.7,
56001,,,MR01,,,tcvn3
56002,Trung tâm Y tế huyện,clinic,CT01,KHOANH,10.2.0.0/16,
";

    #[test]
    fn two_hospitals_with_a_ct01_each() {
        let table = parse(FILE.as_bytes()).expect("in order");
        let names: Vec<&str> = table.sources.iter().map(|source| source.id.as_str()).collect();
        assert_eq!(names, ["56001-CT01", "56001-MR01", "56002-CT01"]);
        assert_eq!(table.facilities.len(), 2);
        assert_eq!(table.sources.first().map(|source| source.addresses.len()), Some(2));
        assert_eq!(table.sources.get(1).map(|source| source.charset), Some(CharsetHint::Tcvn3));
    }

    #[test]
    fn a_console_has_a_profile_of_what_its_worklist_may_say() {
        let text = "facility,calling,letters,names,text_max,national_id,worklist\n\
                    56001,CT01,ascii-upper,whole,16,yes,own\n56001,MR01,utf8,,,,\n56001,US01,latin1,parts,64,no,all\n";
        let table = parse(text.as_bytes()).expect("in order");
        let profile =
            |source: &Source| (source.letters, source.names, source.text_max, source.national_id, source.worklist);
        let profiles: Vec<_> = table.sources.iter().map(profile).collect();
        assert_eq!(
            profiles,
            [
                (Letters::AsciiUpper, NameStyle::Whole, Some(16), true, WorklistScope::Own),
                (Letters::Utf8, NameStyle::Parts, None, false, WorklistScope::All),
                (Letters::Latin1, NameStyle::Parts, Some(64), false, WorklistScope::All),
            ]
        );
        for bad in ["names,x", "text_max,7", "text_max,300", "worklist,mine", "letters,gothic", "national_id,maybe"] {
            let (column, value) = bad.split_once(',').expect("two");
            let wrong = parse(format!("facility,calling,{column}\n56001,CT01,{value}\n").as_bytes());
            assert!(wrong.expect_err(bad).concat().contains(value), "{bad}");
        }
    }

    #[test]
    fn office_programs_write_marks_and_semicolons() {
        let text = format!("\u{feff}{}", FILE.replace(',', ";"));
        assert_eq!(parse(text.as_bytes()).expect("in order"), parse(FILE.as_bytes()).expect("in order"));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "facility,calling,addresses,disabled\n560,CT01,,\n56001,CT\\1,,\n56001,CT01,10.0.0.0/40,\n\
                    56001,CT01,,maybe\n56001,US01,,\n56001,US01,,\n";
        let wrong = parse(text.as_bytes()).expect_err("mistakes");
        let lines: Vec<&str> = wrong.iter().filter_map(|what| what.split(':').next()).collect();
        assert_eq!(lines, ["2", "3", "4", "5", "7"], "{wrong:?}");
        assert!(parse(b"facility,calling,colour\n56001,CT01,red\n").expect_err("column").concat().contains("colour"));
    }
}
