//! Folded instances: what many instances of a series that lie in packs have in common is written once.
//!
//! A fold holds up to 256 instances in order of `seq`. The first one is written whole, of the others only what differs
//! from it; where each record ends stands in front, so one instance is read without the others.
//! Deliberately not here: which instances are folded, and where folds are kept.

use super::dates::pass_attributes;
use super::{
    Decoder, Encoder, VERSION, VIAS, attributes, by_code, code_of, flags, layout, outcome, pixel, put_attributes,
    put_flags, put_frames, put_layout, put_outcome, put_pixel, put_reason, reason, summary, version,
};
use crate::IndexError;
use crate::row::{InstanceRow, SeriesKey};
use crate::walk::OF_INSTANCES;
use model::{AttrKey, Attributes, Digest, Home, Layout, PackId, Uid};

/// Most instances of a fold ...
const ROWS_MAX: usize = 256;
/// ... and most bytes of their records, which a single one may exceed.
const BYTES_MAX: usize = 60 << 10;

const SOP_CLASS: u64 = 1;
const SYNTAX: u64 = 1 << 1;
const VIA: u64 = 1 << 2;
const SOURCE: u64 = 1 << 3;
const META_LEN: u64 = 1 << 4;
const FILE_LEN: u64 = 1 << 5;
const ATTRIBUTES: u64 = 1 << 6;
const FLAGS: u64 = 1 << 7;
const OUTCOME: u64 = 1 << 8;
const PIXEL: u64 = 1 << 9;
const FRAMES: u64 = 1 << 10;
const DATASET_LEN: u64 = 1 << 11;
const REJECTED: u64 = 1 << 12;
const PACK: u64 = 1 << 13;
const LAYOUT: u64 = 1 << 14;

/// An instance that lies in a pack, with its layout where the row alone does not say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folded {
    pub(crate) row: InstanceRow,
    pub(crate) layout: Option<Layout>,
    pack: PackId,
    slot: u32,
}

type Same = fn(&Folded, &Folded) -> bool;

/// What may be as in the first instance, in the order it is written.
const PARTS: [(u64, Same); 15] = [
    (SOP_CLASS, |a, b| a.row.sop_class == b.row.sop_class),
    (SYNTAX, |a, b| a.row.transfer_syntax == b.row.transfer_syntax),
    (VIA, |a, b| a.row.via == b.row.via),
    (SOURCE, |a, b| a.row.source == b.row.source),
    (META_LEN, |a, b| a.row.meta_len == b.row.meta_len),
    (FILE_LEN, |a, b| a.row.file_len == b.row.file_len),
    (ATTRIBUTES, |a, b| a.row.attributes == b.row.attributes),
    (FLAGS, |a, b| a.row.flags == b.row.flags),
    (OUTCOME, |a, b| a.row.outcome == b.row.outcome),
    (PIXEL, |a, b| a.row.pixel == b.row.pixel),
    (FRAMES, |a, b| a.row.frames == b.row.frames),
    (DATASET_LEN, |a, b| a.row.dataset_len == b.row.dataset_len),
    (REJECTED, |a, b| a.row.rejected == b.row.rejected),
    (PACK, |a, b| a.pack == b.pack),
    (LAYOUT, |a, b| a.layout == b.layout),
];

impl Folded {
    /// An instance that from now on lies in a slot of a pack.
    pub(crate) fn new(row: InstanceRow, (pack, slot): (PackId, u32), layout: Option<Layout>) -> Self {
        Self { row: InstanceRow { home: Home::Pack { pack, slot }, ..row }, layout, pack, slot }
    }
}

/// Writes instances of one series, in order of `seq`, as folds: the first `seq` of each, and its row.
pub(crate) fn folds<'a>(rows: impl IntoIterator<Item = &'a Folded>) -> Vec<(u64, Vec<u8>)> {
    let mut done = Vec::new();
    let mut open: Option<Open<'_>> = None;
    for folded in rows {
        if let Some(full) = open.take_if(|open| open.seqs.len() >= ROWS_MAX || open.records.bytes.len() >= BYTES_MAX) {
            done.push(full.close());
        }
        match &mut open {
            Some(open) => open.push(folded),
            None => open = Some(Open::new(folded)),
        }
    }
    done.extend(open.map(Open::close));
    done
}

/// A fold in the making.
struct Open<'a> {
    first: &'a Folded,
    /// `seq` of each instance, and the length of its record.
    seqs: Vec<(u64, usize)>,
    records: Encoder,
}

impl<'a> Open<'a> {
    fn new(first: &'a Folded) -> Self {
        let mut records = Encoder::with_capacity(16 << 10);
        put_record(&mut records, first, None);
        Self { first, seqs: vec![(first.row.seq, records.bytes.len())], records }
    }

    fn push(&mut self, folded: &Folded) {
        let before = self.records.bytes.len();
        put_record(&mut self.records, folded, Some(self.first));
        self.seqs.push((folded.row.seq, self.records.bytes.len() - before));
    }

    fn close(self) -> (u64, Vec<u8>) {
        let mut out = Encoder::with_capacity(self.records.bytes.len() + self.seqs.len() * 4 + 16);
        put_fold(&mut out, &self.seqs, &self.records.bytes);
        (self.first.row.seq, out.bytes)
    }
}

/// Version, number of instances, for each the distance of its `seq` from the one before and the length of its record,
/// then the records ([`put_record`]).
fn put_fold(out: &mut Encoder, seqs: &[(u64, usize)], records: &[u8]) {
    out.byte(VERSION);
    out.length(seqs.len());
    let mut before = 0u64;
    for (seq, len) in seqs {
        out.number(seq.wrapping_sub(before));
        out.length(*len);
        before = *seq;
    }
    out.raw(records);
}

/// Slot, length of what the SOP Instance UID has in common with the first one's, the rest of it, distance of the
/// receipt from the first one's (n × 2, or for a negative one -n × 2 - 1), digest (32 bytes), meta digest (32 bytes),
/// loose CRC (4 bytes, big endian), a number whose bits say what differs from the first instance and follows, from the
/// lowest bit on: SOP Class UID, transfer syntax UID, way in, source, meta length, file length, attributes (number of
/// the first one's that are missing, the place of each among them, then those that differ), flags, outcome, pixel data,
/// frames in short, data set length, why it was rejected, pack (16 bytes), layout (length and row, nothing for a
/// layout the row says).
fn put_record(out: &mut Encoder, folded: &Folded, first: Option<&Folded>) {
    let row = &folded.row;
    out.number(folded.slot);
    let name = row.sop_instance.as_str();
    let common = first.map_or(0, |first| common(first.row.sop_instance.as_str(), name));
    out.length(common);
    out.text(name.get(common..).unwrap_or_default());
    let distance = row.received.wrapping_sub(first.map_or(0, |first| first.row.received));
    out.number(distance << 1 ^ 0u64.wrapping_sub(distance >> 63));
    out.raw(&row.digest.0);
    out.raw(&row.meta_digest.0);
    out.raw(&row.loose_crc.to_be_bytes());
    let differs = |same: Same| first.is_none_or(|first| !same(first, folded));
    let bits = PARTS.iter().filter(|(_, same)| differs(*same)).fold(0, |bits, (bit, _)| bits | bit);
    out.number(bits);
    for (bit, _) in PARTS.iter().filter(|(bit, _)| bits & bit != 0) {
        match *bit {
            SOP_CLASS => out.uid(&row.sop_class),
            SYNTAX => out.uid(&row.transfer_syntax),
            VIA => out.byte(code_of(&VIAS, &row.via)),
            SOURCE => out.text(&row.source),
            META_LEN => out.number(row.meta_len),
            FILE_LEN => out.number(row.file_len),
            ATTRIBUTES => put_changes(out, first.map(|first| &first.row.attributes), &row.attributes),
            FLAGS => put_flags(out, &row.flags),
            OUTCOME => put_outcome(out, row.outcome),
            PIXEL => put_pixel(out, row.pixel),
            FRAMES => put_frames(out, row.frames),
            DATASET_LEN => out.number(row.dataset_len),
            REJECTED => put_reason(out, row.rejected),
            PACK => out.raw(folded.pack.as_bytes()),
            _ => {
                let mut places = Encoder::default();
                if let Some(layout) = &folded.layout {
                    put_layout(&mut places, layout);
                }
                out.blob(&places.bytes);
            }
        }
    }
}

/// Length of what two texts begin with.
fn common(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

fn put_changes(out: &mut Encoder, first: Option<&Attributes>, now: &Attributes) {
    let Some(first) = first else {
        out.length(0);
        return put_attributes(out, now);
    };
    let missing: Vec<usize> =
        first.keys().enumerate().filter(|(_, key)| !now.contains_key(key)).map(|(at, _)| at).collect();
    out.length(missing.len());
    missing.iter().for_each(|at| out.length(*at));
    let differ = now.iter().filter(|(key, value)| first.get(key) != Some(value));
    put_attributes(out, &differ.map(|(key, value)| (*key, value.clone())).collect());
}

fn changed(row: &mut Decoder<'_>, first: Option<&Attributes>) -> Result<Attributes, IndexError> {
    let mut missing = Vec::new();
    for _ in 0..row.number()? {
        missing.push(row.narrow::<usize>()?);
    }
    let mut now = first.cloned().unwrap_or_default();
    let keys: Vec<AttrKey> = now.keys().copied().collect();
    for at in missing {
        let key = keys.get(at).ok_or_else(|| row.damaged("an attribute is missing that never was"))?;
        now.remove(key);
    }
    now.extend(attributes(row)?);
    Ok(now)
}

/// A fold that is read.
pub(crate) struct Fold {
    key: SeriesKey,
    bytes: Vec<u8>,
    /// `seq` of each instance, and where its record begins and ends.
    records: Vec<(u64, usize, usize)>,
    first: InstanceRow,
}

const TABLE: &str = "folds";

impl Fold {
    /// Reads where the records of a fold lie.
    pub(crate) fn open(key: &SeriesKey, bytes: &[u8]) -> Result<Self, IndexError> {
        let head = &mut Decoder::new(TABLE, bytes);
        version(head)?;
        let (mut records, mut seq, mut end) = (Vec::new(), 0u64, 0usize);
        for _ in 0..head.number()? {
            seq = seq.wrapping_add(head.number()?);
            let len: usize = head.narrow()?;
            let start = end;
            end = end.checked_add(len).ok_or_else(|| head.damaged("a record is too long"))?;
            records.push((seq, start, end));
        }
        let bytes = head.rest().to_vec();
        let of_first = records.first().and_then(|(seq, start, end)| Some((*seq, bytes.get(*start..*end)?)));
        let (seq, record) = of_first.ok_or_else(|| head.damaged("it has no first instance"))?;
        let first = read_row(&mut Decoder::new(TABLE, record), key, seq, None)?.row;
        Ok(Self { key: key.clone(), bytes, records, first })
    }

    /// Where an instance stands, or the first that comes after it.
    pub(crate) fn position(&self, seq: u64) -> Result<usize, usize> {
        self.records.binary_search_by_key(&seq, |(known, ..)| *known)
    }

    /// `seq` of the instance that stands there.
    pub(crate) fn seq(&self, at: usize) -> Option<u64> {
        self.records.get(at).map(|(seq, ..)| *seq)
    }

    fn record(&self, at: usize) -> Result<(u64, Decoder<'_>), IndexError> {
        let found = self.records.get(at).and_then(|(seq, start, end)| Some((*seq, self.bytes.get(*start..*end)?)));
        let cut = IndexError::Damaged { table: TABLE, what: "it ends too early" };
        found.map(|(seq, bytes)| (seq, Decoder::new(TABLE, bytes))).ok_or(cut)
    }

    /// The row of the instance that stands there.
    pub(crate) fn row(&self, at: usize) -> Result<InstanceRow, IndexError> {
        if at == 0 {
            return Ok(self.first.clone());
        }
        let (seq, mut record) = self.record(at)?;
        Ok(read_row(&mut record, &self.key, seq, Some(&self.first))?.row)
    }

    /// The row and layout of the instance that stands there.
    pub(crate) fn whole(&self, at: usize) -> Result<Folded, IndexError> {
        let (seq, mut record) = self.record(at)?;
        let first = (at > 0).then_some(&self.first);
        let read = read_row(&mut record, &self.key, seq, first)?;
        let places = match read.layout {
            true => record.blob()?,
            false => self.first_places()?,
        };
        let layout = if places.is_empty() { None } else { Some(layout(places)?) };
        let Home::Pack { pack, slot } = read.row.home else { return Err(record.damaged("it lies in no pack")) };
        Ok(Folded { row: read.row, layout, pack, slot })
    }

    fn first_places(&self) -> Result<&[u8], IndexError> {
        let (seq, mut record) = self.record(0)?;
        read_row(&mut record, &self.key, seq, None)?;
        record.blob()
    }

    /// All instances.
    pub(crate) fn all(&self) -> Result<Vec<Folded>, IndexError> {
        (0..self.records.len()).map(|at| self.whole(at)).collect()
    }
}

/// A record read up to its layout.
struct Read {
    row: InstanceRow,
    /// Whether a layout of its own follows.
    layout: bool,
}

fn read_row(row: &mut Decoder<'_>, key: &SeriesKey, seq: u64, first: Option<&InstanceRow>) -> Result<Read, IndexError> {
    let slot = row.narrow()?;
    let sop_instance = name(row, first)?;
    let distance = row.number()?;
    let distance = distance >> 1 ^ 0u64.wrapping_sub(distance & 1);
    let received = first.map_or(0, |first| first.received).wrapping_add(distance);
    let (digest, meta_digest) = (Digest(row.array()?), Digest(row.array()?));
    let loose_crc = u32::from_be_bytes(row.array()?);
    let part = &mut Parts { bits: row.number()?, row, first };
    let read = InstanceRow {
        key: key.clone(),
        sop_instance,
        seq,
        received,
        digest,
        meta_digest,
        loose_crc,
        sop_class: part.take(SOP_CLASS, Decoder::uid, |first| first.sop_class.clone())?,
        transfer_syntax: part.take(SYNTAX, Decoder::uid, |first| first.transfer_syntax.clone())?,
        via: part.take(VIA, |row| row.byte().and_then(|code| by_code(&VIAS, code, row)), |first| first.via)?,
        source: part.take(SOURCE, |row| row.text().map(str::to_owned), |first| first.source.clone())?,
        meta_len: part.take(META_LEN, Decoder::narrow, |first| first.meta_len)?,
        file_len: part.take(FILE_LEN, Decoder::number, |first| first.file_len)?,
        attributes: part.take(
            ATTRIBUTES,
            |row| changed(row, first.map(|first| &first.attributes)),
            |first| first.attributes.clone(),
        )?,
        flags: part.take(FLAGS, flags, |first| first.flags.clone())?,
        outcome: part.take(OUTCOME, outcome, |first| first.outcome)?,
        pixel: part.take(PIXEL, pixel, |first| first.pixel)?,
        frames: part.take(FRAMES, summary, |first| first.frames)?,
        dataset_len: part.take(DATASET_LEN, Decoder::number, |first| first.dataset_len)?,
        rejected: part.take(REJECTED, reason, |first| first.rejected)?,
        home: Home::Pack { pack: part.take(PACK, |row| row.array().map(PackId::new), pack_of)?, slot },
        correction: None,
    };
    Ok(Read { row: read, layout: part.bits & LAYOUT != 0 })
}

fn name(row: &mut Decoder<'_>, first: Option<&InstanceRow>) -> Result<Uid, IndexError> {
    let common: usize = row.narrow()?;
    let begins = first.map_or("", |first| first.sop_instance.as_str()).get(..common);
    let begins = begins.ok_or_else(|| row.damaged("a UID has more in common with the first than that is long"))?;
    let text = [begins, row.text()?].concat();
    Uid::parse(&text).map_err(|_| row.damaged("a UID is malformed"))
}

fn pack_of(row: &InstanceRow) -> PackId {
    match row.home {
        Home::Pack { pack, .. } => pack,
        Home::Journal(_) => PackId::new([0; 16]),
    }
}

/// Gives the dates of every instance of a fold; tells when one of them came in, if it lies there.
pub(crate) fn fold_dates(bytes: &[u8], wanted: u64, each: &mut dyn FnMut(&str)) -> Result<Option<u64>, IndexError> {
    let head = &mut Decoder::new(TABLE, bytes);
    version(head)?;
    let count = head.number()?;
    let places = &mut head.clone();
    for _ in 0..count {
        head.number()?;
        head.number()?;
    }
    let (mut seq, mut first, mut found) = (0u64, 0, None);
    for at in 0..count {
        seq = seq.wrapping_add(places.number()?);
        let record = head.raw(places.narrow()?)?;
        let received = record_dates(&mut Decoder::new(TABLE, record), first, each)?;
        if at == 0 {
            first = received;
        }
        if seq == wanted {
            found = Some(received);
        }
    }
    Ok(found)
}

/// Gives the dates of a record that are not the first one's; tells when its instance came in.
fn record_dates(row: &mut Decoder<'_>, first: u64, each: &mut dyn FnMut(&str)) -> Result<u64, IndexError> {
    // Slot, and its name.
    row.number()?;
    row.number()?;
    row.blob()?;
    let distance = row.number()?;
    let received = first.wrapping_add(distance >> 1 ^ 0u64.wrapping_sub(distance & 1));
    // Both digests and the CRC.
    row.raw(68)?;
    let bits = row.number()?;
    if bits & ATTRIBUTES == 0 {
        return Ok(received);
    }
    for _ in [SOP_CLASS, SYNTAX].into_iter().filter(|bit| bits & bit != 0) {
        row.pass_uid()?;
    }
    if bits & VIA != 0 {
        row.byte()?;
    }
    if bits & SOURCE != 0 {
        row.blob()?;
    }
    for _ in [META_LEN, FILE_LEN].into_iter().filter(|bit| bits & bit != 0) {
        row.number()?;
    }
    for _ in 0..row.number()? {
        row.number()?;
    }
    pass_attributes(row, &OF_INSTANCES, each)?;
    Ok(received)
}

/// The parts of a record, its own or the first one's.
struct Parts<'a, 'b> {
    bits: u64,
    row: &'a mut Decoder<'b>,
    first: Option<&'a InstanceRow>,
}

impl<'b> Parts<'_, 'b> {
    fn take<T>(
        &mut self,
        bit: u64,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, IndexError>,
        of: impl FnOnce(&InstanceRow) -> T,
    ) -> Result<T, IndexError> {
        match self.first {
            Some(first) if self.bits & bit == 0 => Ok(of(first)),
            None if self.bits & bit == 0 => Err(self.row.damaged("the first instance lacks a part")),
            _ => read(self.row),
        }
    }
}
