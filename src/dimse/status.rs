//! The statuses of DIMSE answers, as one table (PS3.7 annex C, PS3.4 table B.2-1).
//!
//! Every answer of this crate takes its status from here and the conformance statement prints the table.
//! C-STORE has no warning among them: the archive changes no data set, so B000, B006 and B007 never apply to it.

use archive::{FindError, IngestError, RetrieveError};

/// One status with its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Value of Status (0000,0900).
    pub code: u16,
    /// Name in the standard.
    pub meaning: &'static str,
    /// When this archive answers it.
    pub when: &'static str,
}

impl Status {
    /// The code as four hexadecimal digits, for metrics and logs.
    pub fn label(self) -> String {
        format!("{:04X}", self.code)
    }
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident $code:literal $meaning:literal $when:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: Status = Status { code: $code, meaning: $meaning, when: $when };)*
        /// Every status this archive answers.
        pub const STATUSES: &[Status] = &[$($name),*];
    };
}

statuses! {
    /// Stored, or the same object was stored before.
    SUCCESS 0x0000 "Success" "C-ECHO; C-STORE when the object is on stable storage and can be found; C-FIND when every match was sent; C-MOVE and C-GET when every object was taken; N-ACTION when the question is durable; N-CREATE, N-SET and N-ACTION of a step, of a performed one too, when it is on stable storage; N-CREATE of a notice when it is durable";
    /// N-GET of something that is no attribute of the step.
    NOT_SUPPORTED_ATTRIBUTES 0x0001 "Warning: Requested optional Attributes are not supported" "N-GET that lists an attribute the step does not have; the others are answered";
    /// A value that is none.
    INVALID_ATTRIBUTE 0x0106 "Refused: Invalid attribute value" "N-CREATE and N-SET of a step with a value that is none of its attribute, or of an attribute that is fixed when the step is created; N-CREATE and N-SET of a performed step with a value that is none of its attribute, N-CREATE of one that is not IN PROGRESS";
    /// Attributes were passed over.
    ATTRIBUTE_LIST_ERROR 0x0107 "Warning: Attribute list error" "N-SET of a performed step that names attributes only N-CREATE may say; they are listed and stay as they were, the rest was done";
    /// The object cannot be stored, for a reason nobody foresaw.
    PROCESSING_FAILURE 0x0110 "Processing failure" "C-STORE met a fault of the archive itself; the object was not stored; N-ACTION whose Transaction UID is in use for other objects, or that could not be made durable; a step, planned or performed, that cannot be read or written now; with Error ID A506H, N-SET on a performed step that is COMPLETED or DISCONTINUED";
    /// N-CREATE of what there is, or of a notice that was heard before.
    DUPLICATE_INSTANCE 0x0111 "Refused: Duplicate SOP Instance" "N-CREATE of a step, planned or performed, whose SOP Instance UID the facility has in use, or of an Instance Availability Notification whose SOP Instance UID was heard before";
    /// N-ACTION on another instance than the well-known one, N-SET on none of ours.
    NO_SUCH_INSTANCE 0x0112 "Refused: No such SOP Instance" "N-SET on a performed step the facility does not have; N-ACTION whose Requested SOP Instance UID is not that of Storage Commitment Push Model";
    /// The list of a storage commitment cannot be used.
    INVALID_ARGUMENT 0x0115 "Refused: Invalid argument value" "N-CREATE whose data set cannot be read, has no Study Instance UID or no series, or something that is no UID; N-ACTION whose data set cannot be read, has no Transaction UID, no referenced objects, or something that is no UID";
    /// The SOP Instance UID of the command is no UID.
    INVALID_SOP_INSTANCE 0x0117 "Refused: Invalid SOP Instance" "C-STORE whose Affected SOP Instance UID breaks the rules for UIDs; N-CREATE and N-SET of a step the same";
    /// A required attribute is not there.
    MISSING_ATTRIBUTE 0x0120 "Refused: Missing attribute" "N-CREATE without an attribute that needs a value, N-ACTION without Procedure Step State or Receiving AE; the comment names it";
    /// A required attribute has no value.
    MISSING_VALUE 0x0121 "Refused: Missing attribute value" "N-CREATE and N-SET of a step, planned or performed, without a value where one is needed; the comment names the attribute";
    /// The class of the command does not fit the context.
    SOP_CLASS_NOT_SUPPORTED 0x0122 "Refused: SOP Class not supported" "C-STORE whose Affected SOP Class UID is missing or is not the abstract syntax of its presentation context; C-FIND, C-MOVE and C-GET the same";
    /// N-ACTION of another action type.
    NO_SUCH_ACTION 0x0123 "Refused: No such action type" "N-ACTION with an Action Type ID the class of its context does not have";
    /// The source may not send.
    NOT_AUTHORIZED 0x0124 "Refused: Not authorized" "C-STORE by a source that may not store for its facility";
    /// The command is not offered.
    UNRECOGNIZED_OPERATION 0x0211 "Refused: Unrecognized operation" "any request but C-ECHO, C-STORE, C-FIND, C-MOVE, C-GET, C-CANCEL, N-ACTION, N-CREATE, N-GET and N-SET";
    /// A C-STORE without a data set.
    MISTYPED_ARGUMENT 0x0212 "Refused: Mistyped argument" "C-STORE that says it has no data set, or a request on a context of another service";
    /// Too many open storage commitments.
    RESOURCE_LIMITATION 0x0213 "Refused: Resource limitation" "N-ACTION of a facility with 10000 open commitments; N-CREATE and N-ACTION beyond a limit of steps, performed ones too, or subscriptions";
    /// No room, no capacity or closing down: to be sent again.
    OUT_OF_RESOURCES 0xA700 "Refused: Out of resources" "C-STORE while space runs out, a limit is reached or the archive closes down; the peer keeps the object and sends it again; C-FIND, C-MOVE and C-GET whose identifier is longer or has more keys than its limit, or while the index does not answer";
    /// The objects of a retrieve cannot be counted.
    CANNOT_COUNT 0xA701 "Refused: Out of resources, unable to calculate number of matches" "C-MOVE and C-GET of more objects than the limit";
    /// No sub-operation succeeded.
    SUB_OPERATIONS_FAILED 0xA702 "Refused: Out of resources, unable to perform sub-operations" "C-MOVE and C-GET when no object was taken; the comment says why the first one failed";
    /// The destination is not in the registry, or not for the asker.
    UNKNOWN_DESTINATION 0xA801 "Refused: Move Destination unknown" "C-MOVE to an AE title that is no registered destination for the asker's facility";
    /// Command and data set disagree, or the identity is missing; an identifier that does not fit its class.
    DATA_SET_MISMATCH 0xA900 "Error: Data Set does not match SOP Class" "C-STORE whose data set names another SOP Class or SOP Instance UID than the command, or lacks an identifying UID; C-FIND, C-MOVE and C-GET without Query/Retrieve Level, with one the model does not have, without one value for the unique key of a level above, with a value for a key of a level below, or with a sequence where none belongs or of several items";
    /// Some sub-operations failed or were taken with a warning.
    SUB_OPERATIONS_PARTLY 0xB000 "Warning: Sub-operations complete, one or more failures or warnings" "C-MOVE and C-GET when some objects were not taken, or with a warning; the failed ones are listed, the first 1000 of them";
    /// Created, not quite as asked.
    UPS_MODIFIED 0xB300 "Warning: The UPS was created with modifications" "N-CREATE of a step that lacked attributes which may be empty; they were supplied";
    /// Done before.
    UPS_ALREADY_CANCELED 0xB304 "Warning: The UPS is already in the requested state of CANCELED" "N-ACTION that cancels a canceled step";
    /// Done before.
    UPS_ALREADY_COMPLETED 0xB306 "Warning: The UPS is already in the requested state of COMPLETED" "N-ACTION that completes a completed step";
    /// The data set cannot be framed or breaks a bound.
    CANNOT_UNDERSTAND 0xC000 "Error: Cannot understand" "C-STORE whose data set cannot be read to its end in the negotiated transfer syntax, or goes beyond a named limit; C-FIND whose identifier cannot be read, whose value for a key is none of its VR, or whose list is longer than 1000";
    /// The step has ended.
    UPS_ENDED 0xC300 "Failure: The UPS may no longer be updated" "N-SET and N-ACTION on a step that has ended";
    /// Another Transaction UID.
    UPS_TRANSACTION 0xC301 "Failure: The correct Transaction UID was not provided" "N-SET and N-ACTION on a step somebody else has taken, or without a Transaction UID";
    /// Taken already.
    UPS_IN_PROGRESS 0xC302 "Failure: The UPS is already IN PROGRESS" "N-ACTION that takes a step again";
    /// Back to the start.
    UPS_ONLY_CREATED 0xC303 "Failure: The UPS may only become SCHEDULED via N-CREATE" "N-ACTION to SCHEDULED; N-SET of Procedure Step State";
    /// Something is missing at the end.
    UPS_FINAL_STATE 0xC304 "Failure: The UPS has not met final state requirements for the requested state change" "N-ACTION to COMPLETED or CANCELED; the comment names the attribute that is missing";
    /// No such step.
    UPS_UNKNOWN 0xC307 "Failure: Specified SOP Instance UID does not exist or is not a UPS Instance managed by this SCP" "N-GET, N-SET and N-ACTION on a step the facility does not have";
    /// No title.
    UPS_RECEIVER 0xC308 "Failure: Receiving AE-TITLE is Unknown to this SCP" "N-ACTION that subscribes something that is no AE title";
    /// Created in another state.
    UPS_NOT_SCHEDULED 0xC309 "Failure: The provided value of UPS State was not SCHEDULED" "N-CREATE of a step in another state";
    /// Not taken yet.
    UPS_NOT_IN_PROGRESS 0xC310 "Failure: The UPS is not yet in the IN PROGRESS state" "N-ACTION that ends a step nobody has taken; N-SET with a Transaction UID on one";
    /// Too late.
    UPS_COMPLETED 0xC311 "Failure: The UPS is already COMPLETED" "N-ACTION that cancels a completed step";
    /// Nobody to ask.
    UPS_NOBODY 0xC312 "Failure: The performer cannot be contacted" "N-ACTION that cancels a step IN PROGRESS to which nobody is subscribed";
    /// Not for this instance.
    UPS_NOT_APPROPRIATE 0xC314 "Failure: Specified action not appropriate for specified instance" "N-ACTION that suspends the subscription to a single step";
    /// Ended as asked by C-CANCEL.
    CANCELLED 0xFE00 "Cancel" "C-FIND, C-MOVE and C-GET after C-CANCEL";
    /// A match.
    PENDING 0xFF00 "Pending" "C-FIND, one match; every key is supported; C-MOVE and C-GET on the way, with the counts so far";
    /// A match, but a key was left out.
    PENDING_UNSUPPORTED 0xFF01 "Pending, optional keys not supported" "C-FIND, one match; a key is not kept for finding, or belongs to a lower level and has no value, and is left out of the answer; or a time is finer than a microsecond";
}

/// What a failed ingest means for the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Status of the answer.
    pub(crate) status: Status,
    /// Error Comment (0000,0902).
    pub(crate) comment: String,
    /// What only our own log is told.
    pub(crate) detail: String,
    /// Whether the association ends after the answer.
    pub(crate) ends_association: bool,
}

impl Failure {
    pub(crate) fn new(status: Status, comment: impl Into<String>) -> Self {
        Self { status, comment: comment.into(), detail: String::new(), ends_association: false }
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::CannotUnderstand { what } => Self::new(CANNOT_UNDERSTAND, what),
            IngestError::MissingIdentity { what } | IngestError::Mismatch { what } => {
                Self::new(DATA_SET_MISMATCH, what)
            }
            IngestError::OutOfSpace => Self::new(OUT_OF_RESOURCES, "no space left, send again later"),
            IngestError::Busy => Self::new(OUT_OF_RESOURCES, "too much at once, send again later"),
            IngestError::Unavailable { what } => Self {
                detail: what,
                ends_association: true,
                ..Self::new(OUT_OF_RESOURCES, "not available now, send again later")
            },
            IngestError::Forbidden => Self::new(NOT_AUTHORIZED, "this source may not store"),
        }
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        match error {
            FindError::BadQuery { what } => Self::new(CANNOT_UNDERSTAND, what),
            FindError::Unavailable { what } => {
                Self { detail: what, ..Self::new(OUT_OF_RESOURCES, "not available now, ask again later") }
            }
        }
    }
}

impl From<RetrieveError> for Failure {
    fn from(error: RetrieveError) -> Self {
        Self { detail: error.to_string(), ..Self::new(OUT_OF_RESOURCES, "not available now, ask again later") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ordered() {
        let codes: Vec<u16> = STATUSES.iter().map(|status| status.code).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
    }

    #[test]
    fn only_a_closing_archive_ends_the_association() {
        let full = Failure::from(IngestError::OutOfSpace);
        let closing = Failure::from(IngestError::Unavailable { what: "closing down".into() });
        assert_eq!((full.status.code, full.ends_association), (0xA700, false));
        assert_eq!((closing.status.code, closing.ends_association), (0xA700, true));
    }
}
