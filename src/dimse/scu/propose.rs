//! The association request: which contexts, and what we say of ourselves (PS3.8 section 9.3.2).

use super::{Limits, Peer};
use dataset::part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
use dicom_ul::pdu::{AssociationRQ, PresentationContextProposed, RequestorRoles, UserVariableItem};
use std::collections::BTreeSet;

/// Most presentation contexts of one association: odd ids from 1 to 255.
pub const CONTEXTS_MAX: usize = 128;
/// DICOM Application Context Name (PS3.7 annex A).
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// A presentation context to propose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Abstract syntax: the SOP class.
    pub abstract_syntax: String,
    /// Transfer syntaxes, most wanted first.
    pub transfer_syntaxes: Vec<String>,
}

impl Proposal {
    /// Verification.
    pub fn verification() -> Self {
        Self {
            abstract_syntax: crate::VERIFICATION.to_owned(),
            transfer_syntaxes: vec!["1.2.840.10008.1.2".to_owned(), "1.2.840.10008.1.2.1".to_owned()],
        }
    }
}

/// The id of the proposal at a position, from 0; the caller proposes no more than [`CONTEXTS_MAX`].
fn id(position: usize) -> u8 {
    u8::try_from(position.saturating_mul(2).saturating_add(1)).unwrap_or(u8::MAX)
}

/// The position of the proposal of an id.
pub(super) fn position(id: u8) -> Option<usize> {
    (id % 2 == 1).then_some(usize::from(id / 2))
}

/// The request as bytes; of what `provided` tells we are the SCP.
pub(super) fn request(
    peer: &Peer,
    proposals: &[Proposal],
    limits: &Limits,
    provided: &dyn Fn(&Proposal) -> bool,
) -> Vec<u8> {
    let contexts = proposals.iter().take(CONTEXTS_MAX).enumerate().map(|(at, proposal)| PresentationContextProposed {
        id: id(at),
        abstract_syntax: proposal.abstract_syntax.clone(),
        transfer_syntaxes: proposal.transfer_syntaxes.clone(),
    });
    let mut user_variables = vec![
        UserVariableItem::MaxLength(limits.pdu_bytes_max),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
    ];
    let provided: BTreeSet<&String> =
        proposals.iter().filter(|one| provided(one)).map(|one| &one.abstract_syntax).collect();
    let provided = provided.into_iter().map(|class| {
        let roles = RequestorRoles { scu: false, scp: true };
        UserVariableItem::ScuScpRoleSelectionSubItem(class.clone(), roles)
    });
    user_variables.extend(provided);
    crate::listener::encode(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: peer.calling.as_str().to_owned(),
        called_ae_title: peer.called.as_str().to_owned(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: contexts.collect(),
        user_variables,
    })
}
