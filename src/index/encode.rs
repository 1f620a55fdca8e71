//! How rows are written: the doc comment of each function is the layout, in the primitives of [`crate::codec`].
//!
//! Every row begins with the version of its layout. A row of any older version is read for ever and written back
//! in the newest version when it changes; the fixtures in `tests/fixtures` are never edited.
//! The codes of enumerations are part of the format: they are only ever added.

mod dates;
mod fold;
mod layout;
mod pack;

pub(crate) use dates::{instance_dates, series_values};
pub(crate) use fold::{Fold, Folded, fold_dates, folds};
pub(crate) use layout::{layout, put_layout};
pub(crate) use pack::{pack, pack_bytes, put_pack};

use crate::IndexError;
use crate::codec::{Decoder, Encoder};
use crate::row::{Corrected, FrameSummary, InstanceRow, SeriesKey, SeriesRow, StudyKey, StudyRow};
use model::retention::record::RejectReason;
use model::{
    AttrKey, Attributes, Difference, Digest, FacilityCode, Flag, Home, Outcome, PackId, PixelSpan, Place, Span, Via,
};

/// Newest version of every row but a study's.
pub(crate) const VERSION: u8 = 3;
/// Newest version of a study's row.
const STUDY_VERSION: u8 = 4;

/// Code 1 was written for every reason up to version 2: it stands for the strictest.
const REASONS: [(u8, RejectReason); 4] = [
    (1, RejectReason::PatientSafety),
    (2, RejectReason::Quality),
    (3, RejectReason::WrongWorklistEntry),
    (4, RejectReason::RetentionExpired),
];

const VIAS: [(u8, Via); 3] = [(1, Via::CStore), (2, Via::Stow), (3, Via::Import)];
const DIFFERENCES: [(u8, Difference); 3] =
    [(1, Difference::Content), (2, Difference::Syntax), (3, Difference::GroupLength)];
const FLAGS: [(u8, Flag); 18] = [
    (1, Flag::OddLength),
    (2, Flag::TrailingBytes),
    (3, Flag::UnknownVr),
    (4, Flag::UidForm),
    (5, Flag::CharsetRepaired),
    (6, Flag::CharsetInvalid),
    (7, Flag::CharsetUnknown),
    (8, Flag::FramesDisagree),
    (9, Flag::MissingDelimiter),
    (10, Flag::TagOrder),
    (11, Flag::MetaDisagrees),
    (12, Flag::MissingMeta),
    (13, Flag::ValueForm),
    (14, Flag::ValueLength),
    (15, Flag::FramesUnknown),
    (16, Flag::UnknownSyntax),
    (17, Flag::OtherPatient),
    (18, Flag::OtherStudy),
];

/// Code of a value in a table; 0 when the table lacks it, which a test excludes.
fn code_of<T: PartialEq>(table: &[(u8, T)], value: &T) -> u8 {
    table.iter().find(|(_, known)| known == value).map_or(0, |(code, _)| *code)
}

fn by_code<T: Copy>(table: &[(u8, T)], code: u8, row: &Decoder<'_>) -> Result<T, IndexError> {
    let found = table.iter().find(|(known, _)| *known == code).map(|(_, value)| *value);
    found.ok_or_else(|| row.damaged("an enumeration has an unknown code"))
}

fn version(row: &mut Decoder<'_>) -> Result<u8, IndexError> {
    version_to(VERSION, row)
}

fn version_to(newest: u8, row: &mut Decoder<'_>) -> Result<u8, IndexError> {
    match row.byte()? {
        version if version >= 1 && version <= newest => Ok(version),
        newer => Err(IndexError::Newer { found: u32::from(newer), known: u32::from(newest) }),
    }
}

/// Number of attributes, then for each: number (length × 2, + 1 when nested), the sequence's tag when nested
/// (4 bytes, big endian), the tag (4 bytes, big endian), the value.
fn put_attributes(out: &mut Encoder, attributes: &Attributes) {
    out.length(attributes.len());
    for (key, value) in attributes {
        out.length(value.len() << 1 | usize::from(key.sequence != 0));
        if key.sequence != 0 {
            out.raw(&key.sequence.to_be_bytes());
        }
        out.raw(&key.tag.to_be_bytes());
        out.raw(value.as_bytes());
    }
}

fn attributes(row: &mut Decoder<'_>) -> Result<Attributes, IndexError> {
    let count = row.number()?;
    let mut attributes = Attributes::new();
    for _ in 0..count {
        let header: usize = row.narrow()?;
        let sequence = if header & 1 == 1 { u32::from_be_bytes(row.array()?) } else { 0 };
        let key = AttrKey::nested(sequence, u32::from_be_bytes(row.array()?));
        let text = std::str::from_utf8(row.raw(header >> 1)?).map_err(|_| row.damaged("a value is not UTF-8"))?;
        attributes.insert(key, text.to_owned());
    }
    Ok(attributes)
}

/// Facility (5 bytes), Study Instance UID, number of the patient.
pub(crate) fn put_study_key(out: &mut Encoder, key: &StudyKey) {
    out.raw(key.facility.as_bytes());
    out.uid(&key.study);
    out.number(key.patient);
}

pub(crate) fn study_key(row: &mut Decoder<'_>) -> Result<StudyKey, IndexError> {
    Ok(StudyKey { facility: facility(row)?, study: row.uid()?, patient: row.narrow()? })
}

pub(crate) fn facility(row: &mut Decoder<'_>) -> Result<FacilityCode, IndexError> {
    let code = row.array::<5>()?;
    let text = std::str::from_utf8(&code).ok();
    text.and_then(|text| FacilityCode::parse(text).ok()).ok_or_else(|| row.damaged("a facility code is malformed"))
}

/// Version, key, attributes, modalities (number, texts), SOP classes (number, UIDs), series, busy series, instances,
/// bytes, first `seq`, last `seq`, last receipt, complete through (optional); from version 2 on rejected instances,
/// the plan that hides it (empty for none), number of the newest fact that made it another version; from version 3 on
/// instances rejected for quality, series of which every instance is rejected; from version 4 on corrected attributes and
/// what was received of them (as the attributes before, which hold the corrected values).
pub(crate) fn put_study(out: &mut Encoder, row: &StudyRow) {
    out.byte(STUDY_VERSION);
    put_study_key(out, &row.key);
    put_attributes(out, &row.attributes);
    out.length(row.modalities.len());
    row.modalities.iter().for_each(|modality| out.text(modality));
    out.length(row.sop_classes.len());
    row.sop_classes.iter().for_each(|class| out.uid(class));
    for number in
        [row.series, row.busy_series, row.instances, row.bytes, row.first_seq, row.last_seq, row.last_received]
    {
        out.number(number);
    }
    out.option(row.complete_through);
    out.number(row.rejected);
    out.text(row.hidden_by.as_deref().unwrap_or(""));
    out.number(row.version_fact);
    out.number(row.unfit);
    out.number(row.empty_series);
    put_attributes(out, &row.corrected.values);
    put_attributes(out, &row.corrected.received);
}

/// Reads a study.
pub(crate) fn study(bytes: &[u8]) -> Result<StudyRow, IndexError> {
    let row = &mut Decoder::new("studies", bytes);
    let version = version_to(STUDY_VERSION, row)?;
    let key = study_key(row)?;
    let attributes = self::attributes(row)?;
    let modalities = (0..row.number()?).map(|_| row.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    let sop_classes = (0..row.number()?).map(|_| row.uid()).collect::<Result<_, _>>()?;
    Ok(StudyRow {
        key,
        attributes,
        modalities,
        sop_classes,
        series: row.number()?,
        busy_series: row.number()?,
        instances: row.number()?,
        bytes: row.number()?,
        first_seq: row.number()?,
        last_seq: row.number()?,
        last_received: row.number()?,
        complete_through: row.option()?,
        rejected: if version >= 2 { row.number()? } else { 0 },
        hidden_by: if version >= 2 {
            Some(row.text()?).filter(|plan| !plan.is_empty()).map(str::to_owned)
        } else {
            None
        },
        version_fact: if version >= 2 { row.number()? } else { 0 },
        unfit: if version >= 3 { row.number()? } else { 0 },
        empty_series: if version >= 3 { row.number()? } else { 0 },
        corrected: if version >= 4 {
            Corrected { values: self::attributes(row)?, received: self::attributes(row)? }
        } else {
            Corrected::default()
        },
    })
}

/// Version, Series Instance UID, number of the study under it, attributes, instances, bytes, first `seq`, last `seq`,
/// last receipt, quiet through (optional), packed and rejected (from version 2), rejected for quality and number of the newest
/// fact that rejected or restored something (from version 3). The study is known from the table's key.
pub(crate) fn put_series(out: &mut Encoder, row: &SeriesRow) {
    out.byte(VERSION);
    out.uid(&row.key.series);
    out.number(row.study_rank);
    put_attributes(out, &row.attributes);
    for number in [row.instances, row.bytes, row.first_seq, row.last_seq, row.last_received] {
        out.number(number);
    }
    out.option(row.quiet_through);
    out.number(row.packed);
    out.number(row.rejected);
    out.number(row.unfit);
    out.number(row.version_fact);
}

/// Reads a series of a study.
pub(crate) fn series(study: &StudyKey, bytes: &[u8]) -> Result<SeriesRow, IndexError> {
    let row = &mut Decoder::new("series", bytes);
    let version = version(row)?;
    Ok(SeriesRow {
        key: SeriesKey { study: study.clone(), series: row.uid()? },
        study_rank: row.narrow()?,
        attributes: attributes(row)?,
        instances: row.number()?,
        bytes: row.number()?,
        first_seq: row.number()?,
        last_seq: row.number()?,
        last_received: row.number()?,
        quiet_through: row.option()?,
        packed: if version >= 2 { row.number()? } else { 0 },
        rejected: if version >= 2 { row.number()? } else { 0 },
        unfit: if version >= 3 { row.number()? } else { 0 },
        version_fact: if version >= 3 { row.number()? } else { 0 },
    })
}

/// Everything of an instance but its place: version, SOP Instance UID, SOP Class UID, transfer syntax UID, `seq`,
/// receipt, way in, source, digest (32 bytes), meta digest (32 bytes), loose CRC (4 bytes, big endian), meta length,
/// file length, attributes, flags (number, codes), copy, difference (code, 0 for none), patient, study, pixel data,
/// frames in short, data set length; from version 2 on why it was rejected (0: it was not; 1 patient
/// safety, and every reason in version 2; 2 quality; 3 worklist entry; 4 retention).
pub(crate) fn put_instance_facts(out: &mut Encoder, row: &InstanceRow) {
    out.byte(VERSION);
    out.uid(&row.sop_instance);
    out.uid(&row.sop_class);
    out.uid(&row.transfer_syntax);
    out.number(row.seq);
    out.number(row.received);
    out.byte(code_of(&VIAS, &row.via));
    out.text(&row.source);
    out.raw(&row.digest.0);
    out.raw(&row.meta_digest.0);
    out.raw(&row.loose_crc.to_be_bytes());
    out.number(row.meta_len);
    out.number(row.file_len);
    put_attributes(out, &row.attributes);
    put_flags(out, &row.flags);
    put_outcome(out, row.outcome);
    put_pixel(out, row.pixel);
    put_frames(out, row.frames);
    out.number(row.dataset_len);
    put_reason(out, row.rejected);
}

fn put_reason(out: &mut Encoder, reason: Option<RejectReason>) {
    out.byte(reason.map_or(0, |reason| code_of(&REASONS, &reason)));
}

fn reason(row: &mut Decoder<'_>) -> Result<Option<RejectReason>, IndexError> {
    match row.byte()? {
        0 => Ok(None),
        code => by_code(&REASONS, code, row).map(Some),
    }
}

fn put_flags(out: &mut Encoder, flags: &[Flag]) {
    out.length(flags.len());
    flags.iter().for_each(|flag| out.byte(code_of(&FLAGS, flag)));
}

fn put_outcome(out: &mut Encoder, outcome: Outcome) {
    out.number(outcome.copy);
    out.byte(outcome.difference.map_or(0, |difference| code_of(&DIFFERENCES, &difference)));
    out.number(outcome.patient);
    out.number(outcome.study);
}

fn put_frames(out: &mut Encoder, frames: FrameSummary) {
    match frames {
        FrameSummary::None => out.byte(0),
        FrameSummary::Native { count, bits } => {
            out.byte(1);
            out.number(count);
            out.number(bits);
        }
        FrameSummary::Encapsulated { count } => {
            out.byte(2);
            out.number(count);
        }
    }
}

fn summary(row: &mut Decoder<'_>) -> Result<FrameSummary, IndexError> {
    Ok(match row.byte()? {
        0 => FrameSummary::None,
        1 => FrameSummary::Native { count: row.narrow()?, bits: row.number()? },
        2 => FrameSummary::Encapsulated { count: row.narrow()? },
        _ => return Err(row.damaged("an enumeration has an unknown code")),
    })
}

/// [`put_instance_facts`], then the home: from version 2 on 0 for a journal record or 1 for a pack; then segment,
/// generation, offset, head length, body length, name of the blob (empty for none), or the pack (16 bytes) and the slot.
/// The series is known from the table's key.
pub(crate) fn put_instance(out: &mut Encoder, row: &InstanceRow) {
    put_instance_facts(out, row);
    put_home(out, &row.home);
}

fn put_home(out: &mut Encoder, home: &Home) {
    let Place { segment, generation, offset, head_len, body_len, blob } = match home {
        Home::Journal(place) => place,
        Home::Pack { pack, slot } => {
            out.byte(1);
            out.raw(pack.as_bytes());
            return out.number(*slot);
        }
    };
    out.byte(0);
    out.number(*segment);
    out.number(*generation);
    out.number(*offset);
    out.number(*head_len);
    out.number(*body_len);
    out.text(blob.as_deref().unwrap_or(""));
}

/// Reads an instance of a series.
pub(crate) fn instance(key: &SeriesKey, bytes: &[u8]) -> Result<InstanceRow, IndexError> {
    let row = &mut Decoder::new("instances", bytes);
    let version = version(row)?;
    Ok(InstanceRow {
        key: key.clone(),
        sop_instance: row.uid()?,
        sop_class: row.uid()?,
        transfer_syntax: row.uid()?,
        seq: row.number()?,
        received: row.number()?,
        via: {
            let code = row.byte()?;
            by_code(&VIAS, code, row)?
        },
        source: row.text()?.to_owned(),
        digest: Digest(row.array()?),
        meta_digest: Digest(row.array()?),
        loose_crc: u32::from_be_bytes(row.array()?),
        meta_len: row.narrow()?,
        file_len: row.number()?,
        attributes: attributes(row)?,
        flags: flags(row)?,
        outcome: outcome(row)?,
        pixel: pixel(row)?,
        frames: summary(row)?,
        dataset_len: row.number()?,
        rejected: if version >= 2 { reason(row)? } else { None },
        home: home(version, row)?,
        correction: None,
    })
}

fn flags(row: &mut Decoder<'_>) -> Result<Vec<Flag>, IndexError> {
    let count = row.narrow()?;
    let codes = row.raw(count)?;
    codes.iter().map(|code| by_code(&FLAGS, *code, row)).collect()
}

fn outcome(row: &mut Decoder<'_>) -> Result<Outcome, IndexError> {
    let copy = row.narrow()?;
    let difference = match row.byte()? {
        0 => None,
        code => Some(by_code(&DIFFERENCES, code, row)?),
    };
    Ok(Outcome { copy, difference, patient: row.narrow()?, study: row.narrow()? })
}

fn home(version: u8, row: &mut Decoder<'_>) -> Result<Home, IndexError> {
    match if version >= 2 { row.byte()? } else { 0 } {
        0 => place(row).map(Home::Journal),
        1 => Ok(Home::Pack { pack: PackId::new(row.array()?), slot: row.narrow()? }),
        _ => Err(row.damaged("an enumeration has an unknown code")),
    }
}

fn place(row: &mut Decoder<'_>) -> Result<Place, IndexError> {
    Ok(Place {
        segment: row.narrow()?,
        generation: row.narrow()?,
        offset: row.number()?,
        head_len: row.narrow()?,
        body_len: row.number()?,
        blob: Some(row.text()?).filter(|name| !name.is_empty()).map(str::to_owned),
    })
}

/// Tag (0 for no pixel data); then header, value start, value length, end.
fn put_pixel(out: &mut Encoder, pixel: Option<PixelSpan>) {
    let Some(pixel) = pixel else { return out.byte(0) };
    out.number(pixel.tag);
    for number in [pixel.header, pixel.value.at, pixel.value.len, pixel.end] {
        out.number(number);
    }
}

fn pixel(row: &mut Decoder<'_>) -> Result<Option<PixelSpan>, IndexError> {
    let tag = row.narrow()?;
    if tag == 0 {
        return Ok(None);
    }
    let header = row.number()?;
    let value = Span { at: row.number()?, len: row.number()? };
    Ok(Some(PixelSpan { tag, header, value, end: row.number()? }))
}

#[cfg(test)]
mod tests;
