//! Performed procedure steps (MPPS, PS3.4 annex F.7): a modality says that it began, what it made, and that it ended.
//!
//! A step is IN PROGRESS until it is COMPLETED or DISCONTINUED; then nothing changes it. The order it belongs to is found
//! by Study Instance UID, Accession Number, scheduled step, in this order, and goes where its steps go.
//! Deliberately not here: N-CREATE and N-SET on a wire, and images.

mod document;

use super::orders::{self, states};
use super::writing::Writing;
use super::{ChartError, Charts, times};
use document::{Document, Planned, has_items, items, text};
use model::chart::course;
use model::chart::{ChartBody, ChartKey, ChartKind, Order, OrderState, Performed, PerformedState, Term};
use model::{AeTitle, Caller, FacilityCode, Uid};
use serde_json::{Map, Value};

/// Longest data set of a step as JSON, in bytes: tens of thousands of images, each named by class and instance. With the
/// list of series beside it, it fits into a row.
const DOCUMENT_MAX: usize = 8 << 20;
/// Discontinuation reason "Incorrect worklist entry selected" (PS3.16 CID 9300): the scheduled step was not begun at all.
const WRONG_ENTRY: &str = "110514";

/// Set when a step begins and never again (PS3.4 table F.7.2-1, N-SET "Not allowed"); what a modality repeats of it is
/// passed over.
const FIXED: &[&str] = &[
    "00080005", "00080016", "00080018", "00080060", "00100010", "00100020", "00100021", "00100030", "00100040",
    "00200010", "00400241", "00400242", "00400243", "00400244", "00400245", "00400253", "00400270",
];

mod tag {
    pub(super) const PATIENT_ID: &str = "00100020";
    pub(super) const MODALITY: &str = "00080060";
    pub(super) const STATION: &str = "00400241";
    pub(super) const START_DATE: &str = "00400244";
    pub(super) const START_TIME: &str = "00400245";
    pub(super) const END_DATE: &str = "00400250";
    pub(super) const END_TIME: &str = "00400251";
    pub(super) const STATUS: &str = "00400252";
    pub(super) const SCHEDULED: &str = "00400270";
    pub(super) const REASON: &str = "00400281";
    pub(super) const SERIES: &str = "00400340";
}

impl Charts {
    /// A modality begins a step (MPPS N-CREATE): the data set as DICOM JSON.
    ///
    /// # Errors
    /// [`ChartError::Invalid`] for what is missing or wrong; [`ChartError::Conflict`] when the UID is in use.
    pub fn begin_performed(
        &self,
        facility: FacilityCode,
        station: &AeTitle,
        uid: &Uid,
        document: Map<String, Value>,
    ) -> Result<(), ChartError> {
        let step = begun(station, uid, document, self.worklist.utc_offset())?;
        let modality = text(&step.document, tag::MODALITY).to_owned();
        self.write(facility, |writing| {
            if writing.row(ChartKind::Performed, uid.as_str())?.is_some() {
                return Err(ChartError::Conflict("the SOP Instance UID is in use".into()));
            }
            let mut step = step;
            for mut target in self.targets(writing, &step)? {
                step.order.get_or_insert_with(|| target.name());
                target.advance(&modality, OrderState::InProgress);
                target.started(step.start.min(writing.now()));
                target.put(writing)?;
            }
            put(writing, step)
        })
    }

    /// A modality says more of a step, or ends it (MPPS N-SET).
    ///
    /// # Errors
    /// [`ChartError::Unknown`]; [`ChartError::Conflict`] when the step has ended; [`ChartError::Invalid`].
    pub fn set_performed(
        &self,
        facility: FacilityCode,
        uid: &Uid,
        document: Map<String, Value>,
    ) -> Result<(), ChartError> {
        let document = document::sound(document)?;
        let utc_offset = self.worklist.utc_offset();
        self.write(facility, |writing| {
            let Some(ChartBody::Performed(step)) = writing.row(ChartKind::Performed, uid.as_str())? else {
                return Err(ChartError::Unknown("performed procedure step"));
            };
            if step.state != PerformedState::InProgress {
                return Err(ChartError::Conflict("the performed procedure step may no longer be updated".into()));
            }
            let mut step = *step;
            step.document.extend(document.into_iter().filter(|(name, _)| !FIXED.contains(&name.as_str())));
            document::within(&step.document, DOCUMENT_MAX)?;
            ended(&mut step, writing.now(), utc_offset)?;
            let modality = text(&step.document, tag::MODALITY).to_owned();
            let towards = match step.state {
                PerformedState::InProgress => OrderState::InProgress,
                PerformedState::Completed => OrderState::Completed,
                PerformedState::Discontinued if is_wrong_entry(&step) => OrderState::Scheduled,
                PerformedState::Discontinued => OrderState::Discontinued,
            };
            for mut target in self.targets(writing, &step)? {
                step.order.get_or_insert_with(|| target.name());
                match towards {
                    OrderState::Scheduled => target.give_back(writing, &step, &modality)?,
                    towards => target.advance(&modality, towards),
                }
                target.put(writing)?;
            }
            if towards == OrderState::Scheduled {
                step.order = None;
            }
            put(writing, step)
        })
    }

    /// A performed procedure step.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`].
    pub fn performed(&self, facility: FacilityCode, uid: &Uid) -> Result<Option<Performed>, ChartError> {
        let key = ChartKey::new(ChartKind::Performed, facility, uid.as_str());
        let key = key.map_err(|error| ChartError::Invalid(error.to_string()))?;
        Ok(match self.get(&Caller::operator(), &key)?.map(|row| row.body) {
            Some(ChartBody::Performed(step)) => Some(*step),
            _ => None,
        })
    }

    /// The orders a performed step speaks of, each with the numbers of its steps.
    fn targets(&self, writing: &Writing<'_>, performed: &Performed) -> Result<Vec<Target>, ChartError> {
        let mut targets: Vec<Target> = Vec::new();
        for planned in document::planned(&performed.document)? {
            let Some(order) = self.order_of(writing, &planned)? else { continue };
            // What names another patient than the order has is a mistake at the console: nothing is moved.
            if let Some(mrn) = &performed.mrn
                && !orders::is_same(writing, mrn, &order.mrn)?
            {
                continue;
            }
            match targets.iter_mut().find(|target| target.order.placer == order.placer) {
                Some(known) => known.steps.push(planned.step),
                None => targets.push(Target { order, steps: vec![planned.step], changed: false }),
            }
        }
        Ok(targets)
    }

    fn order_of(&self, writing: &Writing<'_>, planned: &Planned) -> Result<Option<Order>, ChartError> {
        if let Some(found) = orders::by(writing, Term::Study, planned.study.as_str())? {
            return Ok(Some(found));
        }
        if !planned.accession.is_empty()
            && let Some(found) = orders::by(writing, Term::Accession, &planned.accession)?
        {
            return Ok(Some(found));
        }
        match self.worklist.order_of_step(writing.facility(), &planned.step) {
            Some(placer) => orders::order(writing, &placer),
            None => Ok(None),
        }
    }
}

/// An order and which of its steps are spoken of.
struct Target {
    order: Order,
    steps: Vec<String>,
    changed: bool,
}

impl Target {
    /// The places of the steps: by their number; the only one; the only one of the modality.
    fn places(&self, modality: &str) -> Vec<usize> {
        let of = |wanted: &dyn Fn(&model::chart::Step) -> bool| -> Vec<usize> {
            let steps = self.order.steps.iter().enumerate();
            steps.filter(|(_, step)| wanted(step)).map(|(at, _)| at).collect()
        };
        let named = of(&|step| self.steps.contains(&step.id));
        if !named.is_empty() {
            return named;
        }
        let alike = if self.order.steps.len() == 1 { vec![0] } else { of(&|step| step.modality == modality) };
        if alike.len() == 1 { alike } else { Vec::new() }
    }

    /// Order and step it belongs to.
    fn name(&self) -> (String, String) {
        let step = self.steps.first().filter(|id| self.order.steps.iter().any(|step| step.id == **id));
        let step = step.or_else(|| self.order.steps.first().map(|step| &step.id));
        (self.order.placer.clone(), step.cloned().unwrap_or_default())
    }

    /// Brings the steps to a state, and the order after them. What has ended stays.
    fn advance(&mut self, modality: &str, state: OrderState) {
        let before = self.order.clone();
        if !self.order.state.is_open() {
            return;
        }
        for at in self.places(modality) {
            if let Some(step) = self.order.steps.get_mut(at).filter(|step| step.state.is_open()) {
                step.state = state;
            }
        }
        if state == OrderState::InProgress && self.order.state == OrderState::Scheduled {
            self.order.state = state;
        }
        states::follow(&mut self.order);
        self.changed |= self.order != before;
    }

    /// A modality began, whether or not others did before.
    fn started(&mut self, at: u64) {
        let before = self.order.course;
        course::first(&mut self.order.course.started, at);
        self.changed |= self.order.course != before;
    }

    /// The wrong line of the worklist was taken: the step waits again, if nothing else was done for it.
    fn give_back(&mut self, writing: &Writing<'_>, performed: &Performed, modality: &str) -> Result<(), ChartError> {
        let others = writing.find(ChartKind::Performed, Term::Placer, &self.order.placer, 2)?;
        let alone = others.iter().all(|row| row.key.id == performed.uid.as_str());
        if !alone || self.order.images.is_some() || !self.order.state.is_open() {
            return Ok(());
        }
        let before = self.order.clone();
        for at in self.places(modality) {
            if let Some(step) = self.order.steps.get_mut(at).filter(|step| step.state == OrderState::InProgress) {
                step.state = OrderState::Scheduled;
            }
        }
        if self.order.steps.iter().all(|step| step.state == OrderState::Scheduled) {
            self.order.state = OrderState::Scheduled;
            self.order.course.started = None;
        }
        self.changed |= self.order != before;
        Ok(())
    }

    fn put(self, writing: &mut Writing<'_>) -> Result<(), ChartError> {
        if self.changed { orders::put(writing, self.order) } else { Ok(()) }
    }
}

fn put(writing: &mut Writing<'_>, step: Performed) -> Result<(), ChartError> {
    let uid = step.uid.clone();
    writing.put(uid.as_str(), ChartBody::Performed(Box::new(step)))
}

fn missing(what: &str) -> ChartError {
    ChartError::Invalid(format!("{what} is missing or has no value"))
}

/// A step as it begins.
fn begun(station: &AeTitle, uid: &Uid, document: Map<String, Value>, utc_offset: i8) -> Result<Performed, ChartError> {
    let document = document::sound(document)?;
    document::within(&document, DOCUMENT_MAX)?;
    match PerformedState::named(text(&document, tag::STATUS)) {
        Some(PerformedState::InProgress) => {}
        None if text(&document, tag::STATUS).is_empty() => {
            return Err(missing("Performed Procedure Step Status (0040,0252)"));
        }
        _ => return Err(ChartError::Invalid("a performed procedure step is created IN PROGRESS (0040,0252)".into())),
    }
    let start = times::moment(text(&document, tag::START_DATE), text(&document, tag::START_TIME), utc_offset);
    let (_, _, start) = start
        .filter(|_| !text(&document, tag::START_TIME).is_empty())
        .ok_or_else(|| missing("Performed Procedure Step Start Date (0040,0244) or Time (0040,0245)"))?;
    let named = text(&document, tag::STATION);
    let station = if named.is_empty() { Ok(station.clone()) } else { AeTitle::parse(named) };
    let station = station.map_err(|error| ChartError::Invalid(format!("Performed Station AE Title: {error}")))?;
    let planned = document::planned(&document)?;
    if planned.is_empty() {
        return Err(missing("Scheduled Step Attributes Sequence (0040,0270)"));
    }
    let mut studies: Vec<Uid> = planned.iter().map(|one| one.study.clone()).collect();
    let mut accessions: Vec<String> = planned.into_iter().map(|one| one.accession).collect();
    accessions.retain(|number| !number.is_empty());
    studies.dedup();
    accessions.dedup();
    let mrn = Some(text(&document, tag::PATIENT_ID).to_owned()).filter(|mrn| !mrn.is_empty());
    let series = document::series(&document)?;
    Ok(Performed {
        uid: uid.clone(),
        state: PerformedState::InProgress,
        station,
        mrn,
        studies,
        accessions,
        order: None,
        start,
        end: None,
        reason: String::new(),
        series,
        document,
    })
}

/// Takes over what the data set now says of the state, and checks what a final one asks for.
fn ended(step: &mut Performed, now: u64, utc_offset: i8) -> Result<(), ChartError> {
    let status = text(&step.document, tag::STATUS);
    step.state = PerformedState::named(status).ok_or_else(|| {
        ChartError::Invalid("Performed Procedure Step Status takes IN PROGRESS, COMPLETED or DISCONTINUED".into())
    })?;
    step.series = document::series(&step.document)?;
    if step.state == PerformedState::InProgress {
        return Ok(());
    }
    if step.state == PerformedState::Completed && !has_items(&step.document, tag::SERIES) {
        return Err(missing("Performed Series Sequence (0040,0340) of a completed step"));
    }
    let end = times::moment(text(&step.document, tag::END_DATE), text(&step.document, tag::END_TIME), utc_offset);
    step.end = Some(end.map_or(now, |(_, _, end)| end));
    if step.state == PerformedState::Discontinued {
        let reason = items(&step.document, tag::REASON).next();
        let of = |name: &str| reason.map_or("", |item| text(item, name)).to_owned();
        let (code, meaning) = (of("00080100"), of("00080104"));
        step.reason = if meaning.is_empty() { code } else { meaning };
    }
    Ok(())
}

fn is_wrong_entry(step: &Performed) -> bool {
    items(&step.document, tag::REASON).any(|item: &Document| text(item, "00080100") == WRONG_ENTRY)
}
