//! WADO-RS (PS3.18 section 10.4): studies, series, instances, their metadata, frames and bulk data.

pub(crate) mod bulkdata;
mod encoding;
pub(crate) mod frames;
pub(crate) mod instances;
pub(crate) mod metadata;

use crate::app::Call;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::{InstanceRow, Target};

/// What the path of a request names.
fn target(endpoint: Endpoint, call: &Call) -> Result<Target, Problem> {
    Ok(match endpoint {
        Endpoint::RetrieveStudy | Endpoint::StudyMetadata => Target::Study(call.uid("study")?),
        Endpoint::RetrieveSeries | Endpoint::SeriesMetadata => {
            Target::Series { study: call.uid("study")?, series: call.uid("series")? }
        }
        _ => {
            Target::Instance { study: call.uid("study")?, series: call.uid("series")?, instance: call.uid("instance")? }
        }
    })
}

/// The one instance of a path, and the texts for the Warning header.
async fn instance(call: &Call) -> Result<(InstanceRow, Vec<String>), Problem> {
    let target = target(Endpoint::RetrieveInstance, call)?;
    let (caller, scope) = (call.caller.clone(), call.scope);
    let selection = call.blocking(move |archive| Ok(archive.select(&caller, scope, &target)?)).await?;
    let notes = selection.notes;
    let row = selection.instances.into_iter().next();
    row.map(|row| (row, notes)).ok_or_else(|| Problem::new(Kind::NotFound, "the archive has no such instance"))
}

/// URL of an instance under a service root.
fn instance_url(root: &str, row: &InstanceRow) -> String {
    let (study, series) = (&row.key.study.study, &row.key.series);
    format!("{root}/studies/{study}/series/{series}/instances/{}", row.sop_instance)
}

/// The refusal where the Accept header leaves nothing to send.
fn not_acceptable(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::NotAcceptable, detail).at("header Accept")
}
