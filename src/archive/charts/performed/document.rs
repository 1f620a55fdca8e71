//! The data set of a performed procedure step as DICOM JSON (PS3.18 annex F), and what is read of it.
//!
//! Deliberately not here: what a value means for the step.

use super::tag;
use crate::charts::ChartError;
use model::Uid;
use model::chart::PerformedSeries;
use serde_json::{Map, Value};

/// A data set.
pub(super) type Document = Map<String, Value>;

/// Most series of a step, and items of any sequence that is read: more than a data set has room for.
const ITEMS_MAX: usize = 100_000;

/// Tags become eight upper case hexadecimal digits; what is no data set is refused.
///
/// # Errors
/// [`ChartError::Invalid`].
pub(super) fn sound(document: Document) -> Result<Document, ChartError> {
    let wrong = || ChartError::Invalid("a member is no tag of eight hexadecimal digits, or no object".into());
    let member = |(name, value): (String, Value)| {
        let hexadecimal = name.len() == 8 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
        (hexadecimal && value.is_object()).then(|| (name.to_ascii_uppercase(), value)).ok_or_else(wrong)
    };
    document.into_iter().map(member).collect()
}

/// Refuses a data set that is too long.
///
/// # Errors
/// [`ChartError::Limit`].
pub(super) fn within(document: &Document, bytes_max: usize) -> Result<(), ChartError> {
    let long = serde_json::to_vec(document).map_or(true, |bytes| bytes.len() > bytes_max);
    if long {
        return Err(ChartError::Limit(format!("a performed procedure step has at most {bytes_max} bytes")));
    }
    Ok(())
}

fn values<'a>(document: &'a Document, name: &str) -> &'a [Value] {
    document.get(name).and_then(|member| member.get("Value")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The first value of an attribute as text, without padding.
pub(super) fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    let value = values(document, name).first().and_then(Value::as_str);
    value.unwrap_or_default().trim_matches([' ', '\0'])
}

/// The items of a sequence.
pub(super) fn items<'a>(document: &'a Document, name: &str) -> impl Iterator<Item = &'a Document> {
    values(document, name).iter().filter_map(Value::as_object)
}

/// Whether a sequence has an item.
pub(super) fn has_items(document: &Document, name: &str) -> bool {
    items(document, name).next().is_some()
}

/// What a step was planned as: an item of the Scheduled Step Attributes Sequence.
pub(super) struct Planned {
    pub(super) study: Uid,
    pub(super) accession: String,
    /// Scheduled Procedure Step ID.
    pub(super) step: String,
}

/// Everything the step was planned as.
///
/// # Errors
/// [`ChartError::Invalid`] for an item without a Study Instance UID.
pub(super) fn planned(document: &Document) -> Result<Vec<Planned>, ChartError> {
    let read = |item: &Document| {
        Ok(Planned {
            study: uid(item, "0020000D", "Study Instance UID of the Scheduled Step Attributes Sequence")?,
            accession: text(item, "00080050").to_owned(),
            step: text(item, "00400009").to_owned(),
        })
    };
    items(document, tag::SCHEDULED).take(ITEMS_MAX).map(read).collect()
}

/// The series a step says were made.
///
/// # Errors
/// [`ChartError::Invalid`] for a series without a UID.
pub(super) fn series(document: &Document) -> Result<Vec<PerformedSeries>, ChartError> {
    let read = |item: &Document| {
        let images = items(item, "00081140").chain(items(item, "00400220")).take(ITEMS_MAX);
        let instances = images.map(|image| uid(image, "00081155", "Referenced SOP Instance UID"));
        Ok(PerformedSeries {
            uid: uid(item, "0020000E", "Series Instance UID of the Performed Series Sequence")?,
            instances: instances.collect::<Result<_, _>>()?,
        })
    };
    items(document, tag::SERIES).take(ITEMS_MAX).map(read).collect()
}

fn uid(item: &Document, name: &str, what: &str) -> Result<Uid, ChartError> {
    Uid::parse(text(item, name)).map_err(|error| ChartError::Invalid(format!("{what}: {error}")))
}
