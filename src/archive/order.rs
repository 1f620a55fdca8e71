//! The order of a series as a viewer reads it: Instance Number, then position, then arrival.
//!
//! Position is Image Position (Patient) along the normal of Image Orientation (Patient) (PS3.3 section C.7.6.2.1.1); it
//! is looked at only where the number does not decide, because it must be read from the metadata. Images of another
//! orientation are another stack: stacks stand one after the other, the first that arrived first.
//! Deliberately not here: anything that happens to the order a query answers in.

use crate::error::RetrieveError;
use crate::open::Archive;
use index::InstanceRow;
use model::attribute::key;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

/// Longest metadata read for it, decoded.
const DOCUMENT_MAX: u64 = 1 << 30;
/// Direction cosines that differ by less belong to one stack: scanners round differently from image to image.
const SAME: f64 = 1e-3;

/// Where an image lies in the patient.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Geometry {
    /// Perpendicular to the image, as long as the direction cosines make it.
    normal: [f64; 3],
    /// Place of its first pixel along the normal, in millimetres.
    place: f64,
}

impl Geometry {
    /// From the values of Image Position (Patient) and Image Orientation (Patient); none where they are no numbers, or
    /// span no plane.
    fn of(position: &[f64], orientation: &[f64]) -> Option<Self> {
        let ([x, y, z], [rx, ry, rz, cx, cy, cz]) = (position, orientation) else { return None };
        let normal = [ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx];
        let [nx, ny, nz] = normal;
        let place = x * nx + y * ny + z * nz;
        let spans = nx.abs() + ny.abs() + nz.abs() > SAME;
        (spans && place.is_finite()).then_some(Self { normal, place })
    }

    fn is_parallel_to(&self, other: &Self) -> bool {
        self.normal.iter().zip(other.normal).all(|(one, other)| (one - other).abs() < SAME)
    }
}

/// Sorts rows that stand in the order of number and arrival.
pub(crate) fn by_view(archive: &Arc<Archive>, rows: &mut [InstanceRow]) -> Result<(), RetrieveError> {
    if !rows.windows(2).any(|pair| matches!(pair, [one, next] if number(one) == number(next))) {
        return Ok(());
    }
    let tied: Vec<InstanceRow> = rows
        .chunk_by(|one, next| number(one) == number(next))
        .filter(|same| same.len() > 1)
        .flat_map(|same| same.iter().cloned())
        .collect();
    // Metadata that cannot be read must not keep a series out of its pack: it stands as it came then. Sequences may be
    // nested deeper than a document is read.
    let known = geometries(&archive.document(&tied)?).unwrap_or_else(|error| {
        tracing::warn!(%error, "a series is packed in the order it came in: where its images lie cannot be read");
        HashMap::new()
    });
    sort(rows, |row| known.get(row.sop_instance.as_str()).copied());
    Ok(())
}

fn sort(rows: &mut [InstanceRow], geometry: impl Fn(&InstanceRow) -> Option<Geometry>) {
    for same in rows.chunk_by_mut(|one, next| number(one) == number(next)).filter(|same| same.len() > 1) {
        let mut stacks: Vec<Geometry> = Vec::new();
        let mut places = HashMap::new();
        for row in same.iter() {
            let Some(own) = geometry(row) else { continue };
            let known = stacks.iter().position(|stack| stack.is_parallel_to(&own));
            let stack = known.unwrap_or_else(|| {
                stacks.push(own);
                stacks.len() - 1
            });
            places.insert(row.seq, (stack, own.place));
        }
        // What lies nowhere comes behind what does.
        let place = |row: &InstanceRow| places.get(&row.seq).copied().unwrap_or((usize::MAX, 0.0));
        same.sort_by(|one, other| {
            let ((stack, at), (other_stack, other_at)) = (place(one), place(other));
            stack.cmp(&other_stack).then(at.total_cmp(&other_at)).then(one.seq.cmp(&other.seq))
        });
    }
}

/// The Instance Number as a number; what has none comes last.
fn number(row: &InstanceRow) -> i64 {
    let text = row.attributes.get(&key::INSTANCE_NUMBER);
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(i64::MAX)
}

/// Where the instances of a DICOM JSON document lie, by SOP Instance UID.
fn geometries(document: &[u8]) -> Result<HashMap<String, Geometry>, RetrieveError> {
    let unread = |error: String| RetrieveError::Unavailable { what: format!("metadata: {error}") };
    let decoder = zstd::stream::read::Decoder::new(document).map_err(|error| unread(error.to_string()))?;
    let mut json = Vec::new();
    decoder.take(DOCUMENT_MAX).read_to_end(&mut json).map_err(|error| unread(error.to_string()))?;
    let instances: Vec<Value> = serde_json::from_slice(&json).map_err(|error| unread(error.to_string()))?;
    let of = |instance: &Value| {
        let name = instance.pointer("/00080018/Value/0")?.as_str()?.to_owned();
        Some((name, Geometry::of(&decimals(instance, "00200032"), &decimals(instance, "00200037"))?))
    };
    Ok(instances.iter().filter_map(of).collect())
}

/// The values of a decimal attribute; none where one of them is no number.
fn decimals(instance: &Value, tag: &str) -> Vec<f64> {
    let values = instance.get(tag).and_then(|attribute| attribute.get("Value")).and_then(Value::as_array);
    let decimal = |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    let decimals: Option<Vec<f64>> = values.into_iter().flatten().map(decimal).collect();
    decimals.unwrap_or_default()
}
