//! An entrance for fuzzing: any text as the query string of a search, for every kind of resource, without a server.
//!
//! What must hold for every input is asserted here; nothing else calls it.

use super::dates::{self, Span};
use super::question::{Ask, Question, Wanted};
use super::tables::{TABLES, Table};
use super::{bundle, ids, patients};
use crate::dicomweb::qido::split_query;
use archive::Cursor;
use model::FacilityCode;

/// Hours the clock of the facilities is east of UTC.
const OFFSET: i8 = 7;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Reads `query` as the parameters of a search of every kind, and what it asks for as far as no row is needed.
pub fn search(query: &str) {
    named(query.trim());
    let Ok(parameters) = split_query(query) else { return };
    for table in TABLES.iter().filter(|table| table.searches) {
        one(table, &parameters);
    }
}

fn one(table: &'static Table, parameters: &[(String, String)]) {
    let strict = Question::of(table, parameters, true, OFFSET);
    let Ok(question) = Question::of(table, parameters, false, OFFSET) else {
        assert!(strict.is_err(), "what is refused is taken where more is refused");
        return;
    };
    match strict {
        Ok(strict) => assert!(question.notes.is_empty() && strict.wanted == question.wanted, "read in two ways"),
        Err(_) => assert!(!question.notes.is_empty(), "refused without a reason"),
    }
    // A page's link to itself asks for the same.
    let link = bundle::link("", &question, question.cursor.as_deref());
    let again = link.split_once('?').map_or("", |(_, query)| query);
    let again = split_query(again).and_then(|parameters| Question::of(table, &parameters, true, OFFSET));
    let again = again.expect("a link that is understood");
    assert_eq!(again.wanted, question.wanted, "a link that asks for something else");
    assert_eq!(
        (again.count, again.only_count, again.cursor, again.includes),
        (question.count, question.only_count, question.cursor.clone(), question.includes.clone()),
        "a link that asks for it in another way"
    );
    // Places are given back by whoever was given one, or made up.
    let _ = (patients::cursor(question.cursor.as_deref()), question.cursor.as_deref().map(Cursor::parse));
    question.wanted.iter().for_each(|wanted| asked(&question, wanted));
}

/// What a parameter asks for.
fn asked(question: &Question, wanted: &Wanted) {
    let alone = question.all(wanted.name).count() == 1;
    for ask in &wanted.any {
        match ask {
            Ask::Date(span) => {
                within(span);
                let moment = (span.begin(), span.begin().saturating_add(1));
                let accepted = question.accepts_date(wanted.name, Some(moment));
                assert!(accepted || !alone || !span.accepts(moment), "one of several dates does not count");
            }
            Ask::Token { system, code } => {
                named(code);
                let system = system.as_deref().unwrap_or("urn:khoanh:any");
                let accepted = question.accepts_token(wanted.name, system, &[code.as_str()]);
                assert!(accepted || !alone, "one of several codes does not count");
            }
            Ask::Reference(id) => named(id),
            Ask::Text(text) => drop(model::name::fold_names(text)),
        }
    }
}

/// Whatever a date finds lies between its bounds, which are days that an index is asked by.
fn within(span: &Span) {
    let (from, to) = span.bounds();
    for bound in from.into_iter().chain(to) {
        for moved in [-1, 0, 1] {
            let day = dates::day_of(bound, OFFSET, moved);
            assert!(model::Date::parse_da(&day).is_some(), "{day} is no day");
        }
    }
    for edge in [Some(span.begin()), from, to].into_iter().flatten() {
        for shift in [-DAY_MS, -1_000, -1, 0, 1, 1_000, DAY_MS] {
            for width in [1, 1_000, DAY_MS] {
                let low = edge.saturating_add(shift);
                let inside = from.is_none_or(|from| from <= low) && to.is_none_or(|to| low <= to);
                assert!(inside || !span.accepts((low, low.saturating_add(width))), "found beyond the bounds");
            }
        }
    }
}

/// An id names one thing, and a number that has an id comes back from it.
fn named(text: &str) {
    if let Some((facility, number)) = ids::read(text) {
        assert_eq!(ids::of(facility, &number).as_deref(), Some(text), "a number with two ids");
    }
    if let Some((facility, study)) = ids::read_study(text) {
        assert_eq!(ids::of_study(facility, &study), text, "a study with two ids");
    }
    if let Some((facility, part, number)) = ids::read_part(text) {
        assert_eq!(ids::of_part(facility, part, &number).as_deref(), Some(text), "a document with two ids");
    }
    let facility = FacilityCode::DEMO;
    if let Some(id) = ids::of(facility, text) {
        assert_eq!(ids::read(&id), Some((facility, text.trim().to_owned())), "an id that names another number");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_search_makes_it_panic() {
        let mut random = fastrand::Rng::with_seed(4);
        let seeds = [
            "identifier=urn:dicom:uid%7Curn:oid:1.2,A%5C,1&started=ge2026-11-28T08:30:00%2B07:00&_count=5",
            "patient:Patient.identifier=a%7Cb&_include=ImagingStudy:patient&_lastUpdated=lt2026&birthdate=sa1978-03",
            "name:exact=Nguy%E1%BB%85n&patient=Patient/56001.1&_id=56001.s.E1.BB.91-1&_summary=count&_cursor=1-2-3",
            "_id=56001-2.K.2E1,56001.1.2.3,56001-wwww&_count=0&date=ap9999-12-31&authored=eb0001-01-01&status=%7Cactive",
        ];
        for seed in seeds {
            search(seed);
        }
        for _ in 0..20_000 {
            let mut text: Vec<char> = seeds[random.usize(..seeds.len())].chars().collect();
            for _ in 0..random.usize(1..10) {
                let at = random.usize(..text.len());
                match random.u8(..4) {
                    0 => text[at] = ['&', '=', '%', '+', '|', ',', '\\', ':', '.', '-', '0', '9'][random.usize(..12)],
                    1 => text.truncate(at.max(1)),
                    2 => text.insert(at, random.char('\u{1}'..='\u{2ff}')),
                    _ => text.swap(at, 0),
                }
            }
            search(&text.into_iter().collect::<String>());
        }
    }
}
