//! `khoanh forward`: what goes on to other systems by itself, what waits, and what an operator does about it.
//!
//! What a valid rule is says the model; what fits to the destinations says the archive.

use super::{Exit, Failure, Place, show};
use crate::control::{ForwardRequest, Request};
use archive::forward::Chosen;
use clap::{Args, Subcommand, ValueEnum};
use model::FacilityCode;
use model::forward::{DayTime, ForwardFact, ForwardRule, ForwardTo, Payload, Priority, StowRoot, Trigger};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
A rule says what goes where: to destinations of `khoanh destinations`, by AE title, or as stow:NAME to a DICOMweb
service of `khoanh forward roots`. What waits survives every kind of stop; what a destination refuses again and again
goes to the dead list (`list --dead`) until it is tried again (`retry`) or given up (`drop`).";

#[derive(Debug, Subcommand)]
pub(super) enum Forward {
    /// Rules: what goes where.
    #[command(subcommand)]
    Rules(Rules),
    /// DICOMweb services that take objects by STOW-RS.
    #[command(subcommand)]
    Roots(Roots),
    /// What waits for each destination; with --tasks or --dead the tasks themselves.
    List(List),
    /// Tries tasks again at once, dead ones too.
    Retry(Choose),
    /// Gives dead tasks up for good.
    Drop(Choose),
    /// Holds back what goes to a destination.
    Pause(OneDestination),
    /// Lets it go on.
    Resume(OneDestination),
    /// Instance Availability Notifications of other systems, newest first.
    Notices {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        listing: Listing,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Rules {
    /// Adds or changes a rule.
    Add(Box<Rule>),
    /// Shows the rules.
    List(Listing),
    /// Removes a rule; what it queued already goes on.
    Remove(Named),
}

#[derive(Debug, Subcommand)]
pub(super) enum Roots {
    /// Adds or changes a service.
    Add(Root),
    /// Shows the services.
    List(Listing),
    /// Removes a service.
    Remove(Named),
}

#[derive(Debug, Args)]
pub(super) struct Rule {
    /// Its name.
    name: String,
    /// Destinations: AE titles, or stow:NAME.
    #[arg(long, required = true, value_delimiter = ',')]
    to: Vec<ForwardTo>,
    /// Studies of this facility; required unless --any is given.
    #[arg(long, required_unless_present = "any", conflicts_with = "any")]
    facility: Option<FacilityCode>,
    /// Studies of every facility: a disclosure, decide it.
    #[arg(long)]
    any: bool,
    /// Source, by its name in the registry; * and ? are wildcards.
    #[arg(long)]
    source: Option<String>,
    /// AE title the registry has for the source; * and ? are wildcards.
    #[arg(long)]
    calling: Option<String>,
    /// Modalities.
    #[arg(long, value_delimiter = ',')]
    modality: Vec<String>,
    /// Pattern of the study's or series' description, without regard to case and marks.
    #[arg(long)]
    description: Option<String>,
    /// When the newest image came in, local time, for example 18:00-06:00.
    #[arg(long, value_name = "FROM-TO")]
    between: Option<DayTime>,
    /// Waits for the whole study instead of each series.
    #[arg(long)]
    study: bool,
    /// Sends an Instance Availability Notification instead of the objects; implies --study.
    #[arg(long)]
    notice: bool,
    /// What goes first.
    #[arg(long, value_enum, default_value = "routine")]
    priority: First,
    /// Keeps the rule without using it.
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum First {
    /// Before everything else.
    Stat,
    /// In its turn.
    Routine,
    /// When nothing else waits.
    Low,
}

#[derive(Debug, Args)]
pub(super) struct Root {
    /// Its name; a rule says stow:NAME.
    name: String,
    /// https://HOST/dicom-web
    url: String,
    /// Facility whose objects alone go there; required unless --any is given.
    #[arg(long, required_unless_present = "any", conflicts_with = "any")]
    facility: Option<FacilityCode>,
    /// Takes objects of every facility.
    #[arg(long)]
    any: bool,
    /// File with the bearer token, absolute.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the certificates (PEM) its own is signed by, absolute.
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
    /// Free text.
    #[arg(long, default_value = "")]
    description: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Listing {
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its name.
    name: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The tasks, oldest first.
    #[arg(long)]
    tasks: bool,
    /// Dead tasks only.
    #[arg(long)]
    dead: bool,
    /// Those to one destination.
    #[arg(long)]
    to: Option<ForwardTo>,
    /// After the task of this number.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// At most so many tasks.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, args = ["id", "to", "all"])]
pub(super) struct Choose {
    /// One task.
    id: Option<u64>,
    /// Those to one destination.
    #[arg(long)]
    to: Option<ForwardTo>,
    /// All.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct OneDestination {
    /// AE title, or stow:NAME.
    to: ForwardTo,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(wanted: &Forward) -> Result<Exit, Failure> {
    match wanted {
        Forward::Rules(Rules::Add(rule)) => add_rule(rule),
        Forward::Rules(Rules::List(listing)) => rules(listing),
        Forward::Rules(Rules::Remove(named)) => {
            let rule = held::<ForwardRule>(&named.place, "rules", |rule| rule.name == named.name)?;
            put(&named.place, ForwardFact::Rule(ForwardRule { removed: true, ..rule }))?;
            show(&format!("rule {} is removed\n", named.name))
        }
        Forward::Roots(Roots::Add(root)) => add_root(root),
        Forward::Roots(Roots::List(listing)) => roots(listing),
        Forward::Roots(Roots::Remove(named)) => {
            let root = held::<StowRoot>(&named.place, "roots", |root| root.name == named.name)?;
            put(&named.place, ForwardFact::Root(StowRoot { removed: true, ..root }))?;
            show(&format!("service {} is removed\n", named.name))
        }
        Forward::List(list) if list.tasks || list.dead => tasks(list),
        Forward::List(list) => status(&list.listing),
        Forward::Retry(choose) => {
            let answer = ask(&choose.place, ForwardRequest::Retry { chosen: chosen(choose, None) })?;
            show(&format!("{} tasks are tried again\n", number(&answer, "tasks")))
        }
        Forward::Drop(choose) => {
            let answer = ask(&choose.place, ForwardRequest::Drop { chosen: chosen(choose, Some(true)) })?;
            show(&format!("{} tasks are given up\n", number(&answer, "tasks")))
        }
        Forward::Pause(one) => pause(one, true),
        Forward::Resume(one) => pause(one, false),
        Forward::Notices { limit, listing } => notices(*limit, listing),
    }
}

fn ask(place: &Place, request: ForwardRequest) -> Result<Value, Failure> {
    place.ask(&Request::Forward(Box::new(request)))
}

fn put(place: &Place, fact: ForwardFact) -> Result<(), Failure> {
    ask(place, ForwardRequest::Put { fact }).map(|_| ())
}

fn list_of<T: DeserializeOwned>(answer: &Value, name: &str) -> Result<Vec<T>, Failure> {
    let list = serde_json::from_value(answer.get(name).cloned().unwrap_or_default());
    list.map_err(|error| Failure::new(Exit::Failed, format!("the answer is not understood: {error}")))
}

fn held<T: DeserializeOwned>(place: &Place, of: &str, wanted: impl Fn(&T) -> bool) -> Result<T, Failure> {
    let found = list_of(&ask(place, ForwardRequest::Rules)?, of)?.into_iter().find(wanted);
    found.ok_or_else(|| Failure::new(Exit::Failed, format!("there is none of this name among the {of}")))
}

fn number(answer: &Value, name: &str) -> u64 {
    answer.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn chosen(choose: &Choose, dead: Option<bool>) -> Chosen {
    Chosen { id: choose.id, to: choose.to.clone(), dead }
}

fn add_rule(wanted: &Rule) -> Result<Exit, Failure> {
    let rule = ForwardRule {
        facility: wanted.facility,
        source: wanted.source.clone(),
        calling: wanted.calling.clone(),
        modality: wanted.modality.clone(),
        description: wanted.description.clone(),
        between: wanted.between,
        when: if wanted.study || wanted.notice { Trigger::Study } else { Trigger::Series },
        send: if wanted.notice { Payload::Notice } else { Payload::Objects },
        priority: match wanted.priority {
            First::Stat => Priority::Stat,
            First::Routine => Priority::Routine,
            First::Low => Priority::Low,
        },
        disabled: wanted.disabled,
        ..ForwardRule::new(wanted.name.clone(), wanted.to.clone())
    };
    put(&wanted.place, ForwardFact::Rule(rule))?;
    show(&format!("rule {} holds\n", wanted.name))
}

fn add_root(wanted: &Root) -> Result<Exit, Failure> {
    let absolute = |path: &PathBuf| {
        let path = std::path::absolute(path);
        path.map(|path| path.display().to_string()).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    };
    let root = StowRoot {
        name: wanted.name.clone(),
        url: wanted.url.trim_end_matches('/').to_owned(),
        facility: wanted.facility,
        token_file: wanted.token_file.as_ref().map(absolute).transpose()?,
        authorities: wanted.authorities.as_ref().map(absolute).transpose()?,
        description: wanted.description.clone(),
        removed: false,
    };
    put(&wanted.place, ForwardFact::Root(root))?;
    show(&format!("service stow:{} holds\n", wanted.name))
}

fn rules(listing: &Listing) -> Result<Exit, Failure> {
    let answer = ask(&listing.place, ForwardRequest::Rules)?;
    let rules: Vec<ForwardRule> = list_of(&answer, "rules")?;
    if listing.json {
        return show(&format!("{}\n", answer.get("rules").unwrap_or(&Value::Null)));
    }
    let mut out = String::new();
    for rule in &rules {
        let to: Vec<String> = rule.to.iter().map(ToString::to_string).collect();
        let facility = rule.facility.map_or("any".to_owned(), |facility| facility.to_string());
        let _ = write!(out, "{:16} {facility:5} {:?} {:?} to {}", rule.name, rule.priority, rule.send, to.join(","));
        let patterns = [("source", &rule.source), ("calling", &rule.calling), ("description", &rule.description)];
        for (name, pattern) in patterns {
            if let Some(pattern) = pattern {
                let _ = write!(out, " {name} {pattern:?}");
            }
        }
        if !rule.modality.is_empty() {
            let _ = write!(out, " modality {}", rule.modality.join(","));
        }
        if let Some(between) = rule.between {
            let _ = write!(out, " between {between}");
        }
        out.push_str(if rule.when == Trigger::Study { " when the study is complete" } else { "" });
        out.push_str(if rule.disabled { " (disabled)\n" } else { "\n" });
    }
    show(&out)
}

fn roots(listing: &Listing) -> Result<Exit, Failure> {
    let answer = ask(&listing.place, ForwardRequest::Rules)?;
    let roots: Vec<StowRoot> = list_of(&answer, "roots")?;
    if listing.json {
        return show(&format!("{}\n", answer.get("roots").unwrap_or(&Value::Null)));
    }
    let mut out = String::new();
    for root in &roots {
        let facility = root.facility.map_or("any".to_owned(), |facility| facility.to_string());
        let _ = writeln!(out, "stow:{:16} {facility:5} {} {}", root.name, root.url, root.description);
    }
    show(&out)
}

fn status(listing: &Listing) -> Result<Exit, Failure> {
    let answer = ask(&listing.place, ForwardRequest::Status)?;
    if listing.json {
        return show(&format!("{answer}\n"));
    }
    let mut out = String::new();
    for lane in answer.get("destinations").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| lane.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (waiting, stat, dead) = (number(lane, "waiting"), number(lane, "stat"), number(lane, "dead"));
        let paused = lane.get("paused").and_then(Value::as_bool).unwrap_or(false);
        let _ = write!(out, "{:24} {waiting} wait ({stat} STAT), {dead} dead", text("to"));
        out.push_str(if paused { ", PAUSED" } else { "" });
        if !text("error").is_empty() {
            let _ = write!(out, "; last failure: {}", text("error"));
        }
        out.push('\n');
    }
    show(if out.is_empty() { "nothing waits\n" } else { &out })
}

fn tasks(list: &List) -> Result<Exit, Failure> {
    let dead = list.dead.then_some(true);
    let chosen = Chosen { id: None, to: list.to.clone(), dead };
    let answer =
        ask(&list.listing.place, ForwardRequest::Tasks { chosen, after: list.after, limit: list.limit.max(1) })?;
    if list.listing.json {
        return show(&format!("{answer}\n"));
    }
    let mut out = String::new();
    for task in answer.get("tasks").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| task.get(name).and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(
            out,
            "{:8} {:7} {:24} {} {} {}",
            number(task, "id"),
            text("priority"),
            text("to"),
            text("facility"),
            text("study"),
            text("error")
        );
    }
    show(if out.is_empty() { "no such tasks\n" } else { &out })
}

fn pause(one: &OneDestination, paused: bool) -> Result<Exit, Failure> {
    put(&one.place, ForwardFact::Pause { to: one.to.clone(), paused })?;
    let state = if paused { "paused; what is meant for it waits" } else { "no longer paused" };
    show(&format!("{} is {state}\n", one.to))
}

fn notices(limit: usize, listing: &Listing) -> Result<Exit, Failure> {
    let answer = ask(&listing.place, ForwardRequest::Notices { limit })?;
    if listing.json {
        return show(&format!("{answer}\n"));
    }
    let mut out = String::new();
    for notice in answer.get("notices").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| notice.get(name).and_then(Value::as_str).unwrap_or_default();
        for series in notice.get("series").and_then(Value::as_array).into_iter().flatten() {
            let of = |name: &str| series.get(name).and_then(Value::as_str).unwrap_or_default();
            let (calling, facility, study) = (text("calling"), text("facility"), text("study"));
            let (objects, near) = (number(series, "objects"), of("availability"));
            let _ = writeln!(out, "{calling:16} {facility} {study} {} {objects} {near}", of("uid"));
        }
    }
    show(if out.is_empty() { "no notices\n" } else { &out })
}
