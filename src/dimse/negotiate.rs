//! Answering an A-ASSOCIATE-RQ: what is accepted, in which transfer syntax, with which extras (PS3.7 annex D).
//!
//! Pure: the request and the options go in, the answer comes out. Who the peer is and whether there is room
//! for it is decided elsewhere, by the archive's registry and the listener's limits.

use crate::commitment_scp::STORAGE_COMMITMENT;
use crate::notice::AVAILABILITY_NOTIFICATION;
use crate::options::Options;
use crate::performed_scp::PERFORMED_PROCEDURE_STEP;
use crate::query_class::{Extended, Operation, QueryClass, query_classes};
use crate::request::Peer;
use crate::storage_sop_class::storage_sop_classes;
use crate::transfer_syntax::{self, EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use crate::ups_class::{UpsClass, ups_classes};
use crate::worklist_table::MODALITY_WORKLIST;
use dataset::part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
use dicom_core::dictionary::UidDictionary;
use dicom_dictionary_std::StandardSopClassDictionary;
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderASCEReason,
    AssociationRJServiceProviderPresentationReason, AssociationRJServiceUserReason, AssociationRJSource, AssociationRQ,
    PresentationContextProposed, PresentationContextResult, PresentationContextResultReason, RequestorRoles,
    UserIdentityType, UserVariableItem,
};
use model::{AeTitle, Uid};
use std::collections::{BTreeMap, BTreeSet};

/// Verification SOP Class (PS3.4 annex A).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// DICOM Application Context Name (PS3.7 annex A).
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// Root of everything the standard defines.
const STANDARD_ROOT: &str = "1.2.840.10008.";
/// Where the standard puts new storage classes.
const STORAGE_ROOT: &str = "1.2.840.10008.5.1.4.1.1.";
/// User identity server response sub-item (PS3.7 section D.3.3.7.2).
const USER_IDENTITY_RESPONSE: u8 = 0x59;
/// Storage extended negotiation (PS3.4 section B.3.1): level 2 (every element is kept), signatures kept
/// bit for bit (level 3), no element coerced.
const STORAGE_APPLICATION_INFORMATION: [u8; 6] = [2, 0, 3, 0, 0, 0];

/// What a context is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Verification,
    Storage,
    Query(&'static QueryClass),
    Commitment,
    Availability,
    Ups(&'static UpsClass),
    Worklist,
    Performed,
}

/// An accepted presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) service: Service,
    pub(crate) abstract_syntax: Uid,
    pub(crate) transfer_syntax: Uid,
    /// What the extended negotiation of a query class granted.
    pub(crate) extended: Extended,
    /// The peer took the role of SCP: we may send to it in this context, in answer to C-GET.
    pub(crate) peer_stores: bool,
}

/// An answer and what it means for the association.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) contexts: BTreeMap<u8, Context>,
    pub(crate) answer: AssociationAC,
    pub(crate) peer: Peer,
}

/// Why an association is rejected: one name for metrics, one answer for the wire (PS3.8 section 9.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    ProtocolVersion,
    ApplicationContext,
    CalledTitle,
    CallingTitle,
    Limit,
    SourceLimit,
    RequestTooLong,
    WithoutTls,
    ClosingDown,
}

impl Rejection {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ProtocolVersion => "protocol-version",
            Self::ApplicationContext => "application-context",
            Self::CalledTitle => "called-ae-title",
            Self::CallingTitle => "calling-ae-title",
            Self::Limit => "associations-max",
            Self::SourceLimit => "associations-per-source-max",
            Self::RequestTooLong => "request-bytes-max",
            Self::WithoutTls => "without-tls",
            Self::ClosingDown => "closing-down",
        }
    }

    pub(crate) fn answer(self) -> AssociationRJ {
        use AssociationRJResult::{Permanent, Transient};
        use AssociationRJServiceProviderASCEReason as Provider;
        use AssociationRJServiceProviderPresentationReason::{LocalLimitExceeded, TemporaryCongestion};
        use AssociationRJServiceUserReason as User;
        use AssociationRJSource::{ServiceProviderASCE, ServiceProviderPresentation, ServiceUser};
        let (result, source) = match self {
            Self::ProtocolVersion => (Permanent, ServiceProviderASCE(Provider::ProtocolVersionNotSupported)),
            Self::ApplicationContext => (Permanent, ServiceUser(User::ApplicationContextNameNotSupported)),
            Self::CalledTitle => (Permanent, ServiceUser(User::CalledAETitleNotRecognized)),
            Self::CallingTitle => (Permanent, ServiceUser(User::CallingAETitleNotRecognized)),
            Self::Limit | Self::SourceLimit => (Transient, ServiceProviderPresentation(LocalLimitExceeded)),
            Self::RequestTooLong => (Permanent, ServiceProviderPresentation(LocalLimitExceeded)),
            Self::WithoutTls => (Permanent, ServiceProviderASCE(Provider::NoReasonGiven)),
            Self::ClosingDown => (Transient, ServiceProviderPresentation(TemporaryCongestion)),
        };
        AssociationRJ { result, source }
    }
}

/// Called and calling AE title, after the checks that need no registry.
pub(crate) fn titles(request: &AssociationRQ) -> Result<(AeTitle, AeTitle), Rejection> {
    // PS3.8 section 9.3.2: a receiver tests bit 0 only.
    if request.protocol_version & 1 == 0 {
        return Err(Rejection::ProtocolVersion);
    }
    if trim(&request.application_context_name) != APPLICATION_CONTEXT {
        return Err(Rejection::ApplicationContext);
    }
    let called = AeTitle::parse(&request.called_ae_title).map_err(|_| Rejection::CalledTitle)?;
    let calling = AeTitle::parse(&request.calling_ae_title).map_err(|_| Rejection::CallingTitle)?;
    Ok((called, calling))
}

/// Two contexts of the request share an id: no message could be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AmbiguousContexts;

/// Builds the answer to a request whose peer is known and welcome.
pub(crate) fn negotiate(request: &AssociationRQ, options: &Options) -> Result<Negotiated, AmbiguousContexts> {
    let roles = Roles::read(request);
    let mut contexts = BTreeMap::new();
    let mut results = Vec::with_capacity(request.presentation_contexts.len());
    let mut ids = BTreeSet::new();
    for proposed in &request.presentation_contexts {
        if !ids.insert(proposed.id) {
            return Err(AmbiguousContexts);
        }
        let (reason, transfer_syntax) = match choose(proposed, &roles, &request.user_variables, options) {
            Ok(context) => {
                let syntax = context.transfer_syntax.as_str().to_owned();
                contexts.insert(proposed.id, context);
                (PresentationContextResultReason::Acceptance, syntax)
            }
            Err(reason) => (reason, IMPLICIT_LITTLE_ENDIAN.to_owned()),
        };
        results.push(PresentationContextResult { id: proposed.id, reason, transfer_syntax });
    }
    let answer = AssociationAC {
        protocol_version: 1,
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        called_ae_title: request.called_ae_title.clone(),
        calling_ae_title: request.calling_ae_title.clone(),
        presentation_contexts: results,
        user_variables: user_variables(&request.user_variables, &contexts, options),
    };
    Ok(Negotiated { contexts, answer, peer: Peer::read(&request.user_variables) })
}

/// Accepts one context or says why not.
fn choose(
    proposed: &PresentationContextProposed,
    roles: &Roles<'_>,
    items: &[UserVariableItem],
    options: &Options,
) -> Result<Context, PresentationContextResultReason> {
    use PresentationContextResultReason::{AbstractSyntaxNotSupported, TransferSyntaxesNotSupported, UserRejection};
    let abstract_syntax = Uid::parse(&proposed.abstract_syntax).map_err(|_| AbstractSyntaxNotSupported)?;
    let service = service(abstract_syntax.as_str(), options).ok_or(AbstractSyntaxNotSupported)?;
    let peer_stores = service == Service::Storage && roles.peer_stores(abstract_syntax.as_str());
    if roles.nothing_for_us(abstract_syntax.as_str()) && !peer_stores {
        return Err(UserRejection);
    }
    let fits = |text: &str| service_takes(service, trim(text));
    let proposed_syntaxes = proposed.transfer_syntaxes.iter().filter(|text| fits(text));
    let known = proposed_syntaxes
        .filter_map(|text| Some((transfer_syntax::preference(trim(text))?, text)))
        .min_by_key(|(preference, _)| *preference)
        .map(|(_, text)| text);
    let unknown = || {
        let wanted = options.unknown_transfer_syntaxes && service == Service::Storage;
        proposed.transfer_syntaxes.iter().find(|text| wanted && !transfer_syntax::is_refused(trim(text)))
    };
    let chosen = known.or_else(unknown).and_then(|text| Uid::parse(text).ok()).ok_or(TransferSyntaxesNotSupported)?;
    let extended = extended(&abstract_syntax, service, items);
    Ok(Context { service, abstract_syntax, transfer_syntax: chosen, extended, peer_stores })
}

/// Identifiers are small and are read at once: they come uncompressed.
fn service_takes(service: Service, syntax: &str) -> bool {
    if let Service::Ups(_) = service {
        return [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN].contains(&syntax);
    }
    let plain = [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN];
    matches!(service, Service::Verification | Service::Storage) || plain.contains(&syntax)
}

/// The extended negotiation of a query class, where the requestor sent one.
fn extended(class: &Uid, service: Service, items: &[UserVariableItem]) -> Extended {
    let Service::Query(query) = service else { return Extended::default() };
    let asked = items.iter().find_map(|item| match item {
        UserVariableItem::SopClassExtendedNegotiationSubItem(of, information) if trim(of) == class.as_str() => {
            Some(information)
        }
        _ => None,
    });
    asked.map_or_else(Extended::default, |information| Extended::read(information, query.operation))
}

/// What an abstract syntax is good for here.
///
/// Private classes are taken for storage unless the option forbids it: no list of them exists, and refusing
/// loses images. A class under the standard's storage root that this version does not know is a newer one.
fn service(abstract_syntax: &str, options: &Options) -> Option<Service> {
    if abstract_syntax == STORAGE_COMMITMENT {
        return Some(Service::Commitment);
    }
    if abstract_syntax == AVAILABILITY_NOTIFICATION {
        return Some(Service::Availability);
    }
    if abstract_syntax == MODALITY_WORKLIST {
        return Some(Service::Worklist);
    }
    if abstract_syntax == PERFORMED_PROCEDURE_STEP {
        return Some(Service::Performed);
    }
    if let Some(class) = ups_classes().iter().find(|class| class.uid == abstract_syntax) {
        return Some(Service::Ups(class));
    }
    if abstract_syntax == VERIFICATION {
        return Some(Service::Verification);
    }
    if storage_sop_classes().iter().any(|class| class.uid == abstract_syntax) {
        return Some(Service::Storage);
    }
    if let Some(class) = query_classes().iter().find(|class| class.uid == abstract_syntax) {
        return Some(Service::Query(class));
    }
    let known_for_other_things = StandardSopClassDictionary.by_uid(abstract_syntax).is_some();
    let stores = if abstract_syntax.starts_with(STANDARD_ROOT) {
        abstract_syntax.starts_with(STORAGE_ROOT) && !known_for_other_things
    } else {
        options.private_sop_classes
    };
    stores.then_some(Service::Storage)
}

/// The roles the requestor proposes (PS3.7 section D.3.3.4).
struct Roles<'a> {
    /// Classes for which it declines to be the SCU: nothing could be sent to us on them.
    not_scu: BTreeSet<&'a str>,
    /// Classes for which it would be the SCP.
    scp: BTreeSet<&'a str>,
    /// Whether it proposes C-GET, without which nobody would send to it.
    gets: bool,
}

impl<'a> Roles<'a> {
    fn read(request: &'a AssociationRQ) -> Self {
        let mut roles = Self { not_scu: BTreeSet::new(), scp: BTreeSet::new(), gets: false };
        for item in &request.user_variables {
            if let UserVariableItem::ScuScpRoleSelectionSubItem(class, proposed) = item {
                if !proposed.scu {
                    roles.not_scu.insert(trim(class));
                }
                if proposed.scp {
                    roles.scp.insert(trim(class));
                }
            }
        }
        let get = |class: &str| query_classes().iter().any(|row| row.uid == class && row.operation == Operation::Get);
        roles.gets = request.presentation_contexts.iter().any(|proposed| get(trim(&proposed.abstract_syntax)));
        roles
    }

    fn peer_stores(&self, class: &str) -> bool {
        self.gets && self.scp.contains(class)
    }

    fn nothing_for_us(&self, class: &str) -> bool {
        self.not_scu.contains(class)
    }
}

/// Our user information: limits, implementation, and an answer to every item that asks for one.
///
/// The asynchronous operations window is left out, which means one operation at a time (PS3.7 D.3.3.3).
fn user_variables(
    asked: &[UserVariableItem],
    contexts: &BTreeMap<u8, Context>,
    options: &Options,
) -> Vec<UserVariableItem> {
    let mut items = vec![
        UserVariableItem::MaxLength(options.pdu_bytes_max),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
    ];
    let accepted = |class: &str, wanted: Service| {
        contexts.values().any(|context| context.service == wanted && context.abstract_syntax.as_str() == trim(class))
    };
    for item in asked {
        match item {
            UserVariableItem::ScuScpRoleSelectionSubItem(class, roles) => {
                let scu = roles.scu && contexts.values().any(|context| context.abstract_syntax.as_str() == trim(class));
                // We send on an association of somebody else's only in answer to C-GET.
                let scp = contexts.values().any(|c| c.peer_stores && c.abstract_syntax.as_str() == trim(class));
                let granted = RequestorRoles { scu, scp };
                items.push(UserVariableItem::ScuScpRoleSelectionSubItem(trim(class).to_owned(), granted));
            }
            UserVariableItem::SopClassExtendedNegotiationSubItem(class, _) if accepted(class, Service::Storage) => {
                items.push(UserVariableItem::SopClassExtendedNegotiationSubItem(
                    trim(class).to_owned(),
                    STORAGE_APPLICATION_INFORMATION.to_vec(),
                ));
            }
            UserVariableItem::SopClassExtendedNegotiationSubItem(class, asked) => {
                let of_class = |context: &&Context| context.abstract_syntax.as_str() == trim(class);
                let query = contexts.values().find(of_class).filter(|c| matches!(c.service, Service::Query(_)));
                if let Some(context) = query {
                    items.push(UserVariableItem::SopClassExtendedNegotiationSubItem(
                        trim(class).to_owned(),
                        context.extended.answer(asked),
                    ));
                }
            }
            UserVariableItem::UserIdentityItem(identity) if identity.positive_response_requested() => {
                // A name is acknowledged as read. Tickets and assertions are not verified here, so they get
                // no positive response, as the standard asks of an acceptor that does not support them.
                if matches!(identity.identity_type(), UserIdentityType::Username | UserIdentityType::UsernamePassword) {
                    items.push(UserVariableItem::Unknown(USER_IDENTITY_RESPONSE, vec![0, 0]));
                }
            }
            _ => {}
        }
    }
    items
}

fn trim(text: &str) -> &str {
    text.trim_matches(['\0', ' '])
}

#[cfg(test)]
mod tests;
