//! The SOP classes of Unified Procedure Steps (PS3.4 section CC.3) and what each is for, as one table.
//!
//! Steps themselves are instances of UPS Push, whatever the class of the context they are spoken of in.

use crate::command::{C_FIND_RQ, N_ACTION_RQ, N_CREATE_RQ, N_GET_RQ, N_SET_RQ};

/// A class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpsClass {
    /// SOP Class UID.
    pub uid: &'static str,
    /// Name in PS3.6 table A-1.
    pub name: &'static str,
    /// Requests it has.
    pub(crate) requests: &'static [u16],
    /// Action Type IDs it has.
    pub(crate) actions: &'static [u16],
}

/// UPS Event SOP Class.
pub(crate) const UPS_EVENT: &str = "1.2.840.10008.5.1.4.34.6.4";

const CLASSES: &[UpsClass] = &[
    UpsClass {
        uid: "1.2.840.10008.5.1.4.34.6.1",
        name: "Unified Procedure Step - Push SOP Class",
        requests: &[N_CREATE_RQ, N_GET_RQ, N_ACTION_RQ],
        actions: &[2],
    },
    UpsClass {
        uid: "1.2.840.10008.5.1.4.34.6.2",
        name: "Unified Procedure Step - Watch SOP Class",
        requests: &[C_FIND_RQ, N_GET_RQ, N_ACTION_RQ],
        actions: &[2, 3, 4, 5],
    },
    UpsClass {
        uid: "1.2.840.10008.5.1.4.34.6.3",
        name: "Unified Procedure Step - Pull SOP Class",
        requests: &[C_FIND_RQ, N_GET_RQ, N_SET_RQ, N_ACTION_RQ],
        actions: &[1],
    },
    UpsClass { uid: UPS_EVENT, name: "Unified Procedure Step - Event SOP Class", requests: &[], actions: &[] },
    UpsClass {
        uid: "1.2.840.10008.5.1.4.34.6.5",
        name: "Unified Procedure Step - Query SOP Class",
        requests: &[C_FIND_RQ],
        actions: &[],
    },
];

/// The classes of procedure steps that are offered.
pub fn ups_classes() -> &'static [UpsClass] {
    CLASSES
}
