//! What `khoanh outbox` asks of the archive.

use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::outbox::DeliveryFilter;
use archive::charts::{ChartCursor, ChartError};
use model::chart::{ChartBody, Subscription};
use model::{Caller, FacilityCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum OutboxRequest {
    /// Subscriptions, and what waits for each.
    Status,
    /// Deliveries, the oldest first.
    Deliveries {
        /// Which.
        filter: DeliveryFilter,
        /// Behind this place.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// Tries deliveries again in their turn.
    Retry {
        /// Which.
        filter: DeliveryFilter,
    },
    /// Holds a subscription back, or lets it go on.
    Pause {
        /// Whose.
        facility: FacilityCode,
        /// Its id.
        id: String,
        /// Which of the two.
        paused: bool,
    },
    /// Somebody is told from now on.
    Subscribe {
        /// Of what happens here.
        facility: FacilityCode,
        /// Who, and of what.
        subscription: Box<Subscription>,
    },
    /// Nobody is told any more.
    Unsubscribe {
        /// Whose.
        facility: FacilityCode,
        /// Its id.
        id: String,
    },
}

fn failed(error: ChartError) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

/// Does what is asked.
pub(super) fn answer(archive: &Archive, request: &OutboxRequest) -> Result<Value, Failure> {
    let (operator, charts) = (Caller::operator(), archive.charts());
    match request {
        OutboxRequest::Status => Ok(json!({ "subscriptions": charts.outbox(&operator) })),
        OutboxRequest::Deliveries { filter, after, limit } => {
            let read = |text: &String| {
                ChartCursor::parse(text)
                    .map_err(|_| Failure::new(Exit::Usage, "--after takes the place that was shown"))
            };
            let after = after.as_ref().map(read).transpose()?;
            let page = charts.deliveries(&operator, filter, after, *limit).map_err(failed)?;
            let one = |row: model::chart::ChartRow| match row.body {
                ChartBody::Delivery(one) => json!({ "facility": row.key.facility, "id": row.key.id, "delivery": one }),
                _ => Value::Null,
            };
            let next = page.cursor.map(|cursor| cursor.to_string());
            Ok(json!({ "deliveries": page.rows.into_iter().map(one).collect::<Vec<_>>(), "next": next }))
        }
        OutboxRequest::Retry { filter } => {
            Ok(json!({ "deliveries": charts.retry_deliveries(&operator, filter).map_err(failed)? }))
        }
        OutboxRequest::Pause { facility, id, paused } => {
            charts.pause_subscription(&operator, *facility, id, *paused).map_err(failed)?;
            Ok(Value::Null)
        }
        OutboxRequest::Subscribe { facility, subscription } => {
            let id = charts.subscribe(&operator, *facility, (**subscription).clone()).map_err(failed)?;
            Ok(json!({ "id": id }))
        }
        OutboxRequest::Unsubscribe { facility, id } => {
            charts.unsubscribe(&operator, *facility, id, &operator.name).map_err(failed)?;
            Ok(Value::Null)
        }
    }
}
