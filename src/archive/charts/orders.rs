//! Orders: their state machine and what results belong to. SCAFFOLD: to be filled by the branch `orders`.

use super::ChartError;
use super::writing::Writing;
use model::chart::{OrderUpdate, Report};

/// Something happens to an order.
pub(super) fn apply(_writing: &mut Writing<'_>, _update: &OrderUpdate) -> Result<(), ChartError> {
    Err(ChartError::Unavailable("orders are not handled yet".into()))
}

/// A result comes in.
pub(super) fn report(_writing: &mut Writing<'_>, _report: &Report) -> Result<(), ChartError> {
    Err(ChartError::Unavailable("results are not handled yet".into()))
}

/// A patient's number is given up for another: nothing is rewritten unless it must be.
#[expect(clippy::unnecessary_wraps, reason = "to be filled")]
pub(super) fn moved(_writing: &mut Writing<'_>, _former: &str, _survivor: &str) -> Result<(), ChartError> {
    Ok(())
}
