//! What `khoanh forward` asks of the archive.

use crate::cli::{Exit, Failure};
use archive::forward::Chosen;
use archive::{Archive, RegistryError};
use model::Caller;
use model::forward::ForwardFact;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum ForwardRequest {
    /// Rules and roots that are not removed.
    Rules,
    /// Changes a rule, a root or a pause.
    Put {
        /// The change.
        fact: ForwardFact,
    },
    /// What waits for each destination.
    Status,
    /// Tasks in order.
    Tasks {
        /// Which.
        chosen: Chosen,
        /// After this number.
        after: u64,
        /// At most so many.
        limit: usize,
    },
    /// Notices of other systems, newest first.
    Notices {
        /// At most so many.
        limit: usize,
    },
    /// Tries tasks again at once.
    Retry {
        /// Which.
        chosen: Chosen,
    },
    /// Gives tasks up for good.
    Drop {
        /// Which.
        chosen: Chosen,
    },
}

/// Does what is asked.
pub(super) fn answer(archive: &Archive, request: &ForwardRequest) -> Result<Value, Failure> {
    let operator = Caller::operator();
    let failed = |error: RegistryError| Failure::new(Exit::Failed, error.to_string());
    match request {
        ForwardRequest::Rules => {
            let mut rules = archive.forward_rules();
            let mut roots = archive.forward_roots();
            rules.retain(|rule| !rule.removed);
            roots.retain(|root| !root.removed);
            Ok(json!({ "rules": rules, "roots": roots }))
        }
        ForwardRequest::Put { fact } => {
            archive.put_forward(&operator, fact.clone()).map_err(failed)?;
            Ok(Value::Null)
        }
        ForwardRequest::Status => Ok(json!({ "destinations": archive.forward_status() })),
        ForwardRequest::Tasks { chosen, after, limit } => {
            Ok(json!({ "tasks": archive.forward_tasks(&operator, chosen, *after, *limit) }))
        }
        ForwardRequest::Notices { limit } => Ok(json!({ "notices": archive.notices(&operator, *limit) })),
        ForwardRequest::Retry { chosen } => {
            Ok(json!({ "tasks": archive.retry_forwards(&operator, chosen).map_err(failed)? }))
        }
        ForwardRequest::Drop { chosen } => {
            Ok(json!({ "tasks": archive.drop_forwards(&operator, chosen).map_err(failed)? }))
        }
    }
}
