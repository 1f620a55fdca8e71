//! `khoanh series`: moves series of a study to another study, splits them off, merges two studies, and takes it back.
//!
//! That nothing stored changes, and what must not move, says the archive.

use super::retention::parse_study;
use super::{Exit, Failure, Place, show};
use crate::control::{Request, SeriesRequest};
use archive::retain::{MoveTo, Moves, Moving, SeriesMove};
use clap::{Args, Subcommand};
use model::Uid;
use model::retention::moved::MoveReason;
use model::retention::{Person, StudyRef};
use std::fmt::Write as _;

pub(super) const HELP: &str = "\
Nothing stored changes: moved series are found and retrieved with the study they stand in, and their objects go out with
its Study Instance UID, patient and order, and with what those replace (Original Attributes Sequence). Late images follow
their series. A moved series goes with the study it was received in, once the other may go, too; with a legal hold on either
nothing moves. Without --yes it only tells what would move.
  khoanh series move 56001/1.2.840.1 --to 56001/1.2.840.2 --series 1.2.840.1.3 --by lan --yes
  khoanh series split 56001/1.2.840.1 --series 1.2.840.1.3 --by lan --yes
  khoanh series merge 56001/1.2.840.1 --into 56001/1.2.840.2 --by lan --yes
  khoanh series undo 56001/1.2.840.2 --by lan --yes
  khoanh series list 56001/1.2.840.2";

#[derive(Debug, Subcommand)]
pub(super) enum Series {
    /// Moves series to another study of the facility (chuyển loạt ảnh sang ca chụp khác).
    Move {
        /// The study they are to stand in, FACILITY/STUDY.
        #[arg(long, value_name = "STUDY", value_parser = parse_study)]
        to: StudyRef,
        /// Why: wrong-patient or wrong-study.
        #[arg(long, value_name = "REASON", value_parser = reason, default_value = "wrong-study")]
        why: MoveReason,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Makes a study of its own of some series (tách loạt ảnh thành ca chụp riêng).
    Split {
        /// Its Study Instance UID; without it a new one is made.
        #[arg(long, value_name = "UID", value_parser = Uid::parse)]
        uid: Option<Uid>,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Moves every series to another study of the facility (gộp hai ca chụp).
    Merge {
        /// That study, FACILITY/STUDY.
        #[arg(long, value_name = "STUDY", value_parser = parse_study)]
        into: StudyRef,
        #[command(flatten)]
        wanted: Whole,
    },
    /// Series moved into a study stand again where they were received (hoàn tác việc chuyển).
    Undo(Wanted),
    /// Every move into and out of a study (danh sách các lần chuyển).
    List {
        /// The study, FACILITY/STUDY.
        #[arg(value_parser = parse_study)]
        study: StudyRef,
        /// Writes JSON, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// A Series Instance UID; may be given again. Without one: all of them.
    #[arg(long, value_name = "UID", value_parser = Uid::parse)]
    series: Vec<Uid>,
    #[command(flatten)]
    whole: Whole,
}

#[derive(Debug, Args)]
pub(super) struct Whole {
    /// The study they stand in, FACILITY/STUDY.
    #[arg(value_parser = parse_study)]
    study: StudyRef,
    /// Who does it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    /// Does it.
    #[arg(long)]
    yes: bool,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

fn reason(text: &str) -> Result<MoveReason, String> {
    let known = MoveReason::parse(text).filter(|reason| !matches!(reason, MoveReason::Undo));
    known.ok_or_else(|| format!("{text:?} is no reason: wrong-patient, wrong-study, merge or split"))
}

pub(super) fn run(wanted: &Series) -> Result<Exit, Failure> {
    match wanted {
        Series::Move { to, why, wanted } => moves(&wanted.whole, &wanted.series, MoveTo::Study(to.clone()), *why),
        Series::Split { uid, wanted } => {
            moves(&wanted.whole, &wanted.series, MoveTo::New(uid.clone()), MoveReason::Split)
        }
        Series::Merge { into, wanted } => moves(wanted, &[], MoveTo::Study(into.clone()), MoveReason::Merge),
        Series::Undo(wanted) => moves(&wanted.whole, &wanted.series, MoveTo::Home, MoveReason::Undo),
        Series::List { study, json, place } => list(study, *json, place),
    }
}

fn moves(wanted: &Whole, series: &[Uid], to: MoveTo, why: MoveReason) -> Result<Exit, Failure> {
    let (study, by) = (wanted.study.clone(), wanted.by.clone());
    let moving = Moving { study, series: series.to_vec(), to, why, by };
    let answer = ask(&wanted.place, SeriesRequest::Move { moving, execute: wanted.yes })?;
    if wanted.json {
        return show(&format!("{answer}\n"));
    }
    let moved = answer.get("moved").cloned().unwrap_or_default();
    let moved: Vec<SeriesMove> = serde_json::from_value(moved).map_err(|error| not_understood(&error))?;
    let mut out = String::new();
    for SeriesMove { series, from, to, instances, .. } in &moved {
        let _ = writeln!(out, "{series}: {from} -> {to} ({instances})");
    }
    out.push_str(match wanted.yes {
        true => "moved; what was received is kept (đã chuyển; bản gốc được giữ nguyên)\n",
        false => "nothing was moved: --yes does it (chưa chuyển gì: thêm --yes để thực hiện)\n",
    });
    show(&out)
}

fn list(study: &StudyRef, json: bool, place: &Place) -> Result<Exit, Failure> {
    let answer = ask(place, SeriesRequest::List { study: study.clone() })?;
    if json {
        return show(&format!("{answer}\n"));
    }
    let Moves { moves, standing } = serde_json::from_value(answer).map_err(|error| not_understood(&error))?;
    let mut out = String::new();
    for one in moves.iter().filter(|one| !one.series.is_empty()) {
        let (day, why) = (model::Date::of_ms(one.at), one.why.name());
        let _ = writeln!(out, "{day} by {} ({why}): {} -> {}", one.by, one.from, one.to);
        for series in &one.series {
            let _ = writeln!(out, "  {series}");
        }
    }
    for one in &standing {
        let _ = writeln!(out, "now: {} of {} stands in {}", one.series, one.study, one.to);
    }
    if standing.is_empty() {
        out.push_str("every series stands where it was received (mọi loạt ảnh ở đúng ca chụp gốc)\n");
    }
    show(&out)
}

fn ask(place: &Place, request: SeriesRequest) -> Result<serde_json::Value, Failure> {
    place.ask_existing(&Request::Series(Box::new(request)))
}

fn not_understood(error: &serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the answer is not understood: {error}"))
}
