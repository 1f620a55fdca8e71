//! Object Lock: retention and legal hold of one version.

use super::{Cold, ColdFault, PutOptions, fault};
use crate::StoreError;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
};
use serde::{Deserialize, Serialize};

/// Who may shorten a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// Whoever has the right to bypass it.
    Governance,
    /// Nobody until it ends.
    Compliance,
}

/// A retention: no version of the object can be deleted before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Who may shorten it.
    pub mode: LockMode,
    /// When it ends, in seconds since 1970 UTC.
    pub until: u64,
}

/// What a bucket says of one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockState {
    /// Retention, if any.
    pub lock: Option<Lock>,
    /// Whether a legal hold lies on it.
    pub hold: bool,
}

impl Cold {
    /// Sets the retention of a version; it may only grow.
    ///
    /// # Errors
    /// [`ColdFault::Unsupported`] or [`ColdFault::Refused`] from a bucket without Object Lock, [`ColdFault::Locked`]
    /// when it would be shortened.
    pub fn set_lock(&self, key: &str, version: Option<&str>, lock: Lock) -> Result<(), StoreError> {
        let until = i64::try_from(lock.until).unwrap_or(i64::MAX);
        let mode = match lock.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(DateTime::from_secs(until)).build();
        let request = self.control.client.put_object_retention().bucket(&self.control.bucket).key(key);
        let request = request.set_version_id(version.map(str::to_owned)).retention(retention);
        let name = key.to_owned();
        self.run(
            "lock",
            key,
            async move { request.send().await.map(|_| ()).map_err(|e| fault::of_sdk("lock", &name, &e)) },
        )
    }

    /// Lays a legal hold on a version, or takes it away.
    ///
    /// # Errors
    /// [`ColdFault::Unsupported`] or [`ColdFault::Refused`] from a bucket without Object Lock.
    pub fn set_hold(&self, key: &str, version: Option<&str>, hold: bool) -> Result<(), StoreError> {
        let status = if hold { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        let request = self.control.client.put_object_legal_hold().bucket(&self.control.bucket).key(key);
        let request = request.set_version_id(version.map(str::to_owned));
        let request = request.legal_hold(ObjectLockLegalHold::builder().status(status).build());
        let name = key.to_owned();
        self.run(
            "hold",
            key,
            async move { request.send().await.map(|_| ()).map_err(|e| fault::of_sdk("hold", &name, &e)) },
        )
    }

    /// What the bucket says of a version. It is what the bucket claims; [`Cold::probe`] finds out whether it holds.
    ///
    /// # Errors
    /// What kept it from being asked.
    pub fn lock_state(&self, key: &str, version: Option<&str>) -> Result<LockState, StoreError> {
        let request = self.control.client.head_object().bucket(&self.control.bucket).key(key);
        let request = request.set_version_id(version.map(str::to_owned));
        let name = key.to_owned();
        self.run("look at", key, async move {
            let head = request.send().await.map_err(|e| fault::of_sdk("look at", &name, &e))?;
            let mode = match head.object_lock_mode() {
                Some(ObjectLockMode::Compliance) => Some(LockMode::Compliance),
                Some(ObjectLockMode::Governance) => Some(LockMode::Governance),
                _ => None,
            };
            let until = head.object_lock_retain_until_date().and_then(|date| u64::try_from(date.secs()).ok());
            let lock = mode.zip(until).map(|(mode, until)| Lock { mode, until });
            Ok(LockState { lock, hold: head.object_lock_legal_hold_status() == Some(&HOLD_ON) })
        })
    }

    /// Brings retention and legal hold of a version to what is asked for and asks the bucket whether they stand: a
    /// retention is lengthened and never shortened; a hold of `None` stays as it is.
    ///
    /// # Errors
    /// [`ColdFault::Refused`] where the bucket takes it and does not show it; what it says otherwise.
    pub fn keep(
        &self,
        key: &str,
        version: Option<&str>,
        lock: Option<Lock>,
        hold: Option<bool>,
    ) -> Result<LockState, StoreError> {
        let state = self.lock_state(key, version)?;
        if let Some(lock) = lock.filter(|lock| !covers(state.lock, *lock)) {
            self.set_lock(key, version, joined(state.lock, lock))?;
        }
        if let Some(hold) = hold.filter(|hold| *hold != state.hold) {
            self.set_hold(key, version, hold)?;
        }
        let state = self.lock_state(key, version)?;
        if lock.is_some_and(|lock| !covers(state.lock, lock)) || hold.is_some_and(|hold| hold != state.hold) {
            let what = "the bucket took the lock but does not show it";
            return Err(StoreError::cold(ColdFault::Refused, "lock", key, what));
        }
        Ok(state)
    }

    /// Sets what the options ask for and asks the bucket whether it stands.
    pub(super) fn secure(
        &self,
        key: &str,
        version: Option<&str>,
        options: &PutOptions,
    ) -> Result<LockState, StoreError> {
        if options.lock.is_none() && !options.hold {
            return Ok(LockState::default());
        }
        self.keep(key, version, options.lock, options.hold.then_some(true))
    }
}

const HOLD_ON: ObjectLockLegalHoldStatus = ObjectLockLegalHoldStatus::On;

/// Whether what stands keeps at least as long and as hard as what is asked for.
fn covers(stands: Option<Lock>, asked: Lock) -> bool {
    let hard = |mode| mode == LockMode::Compliance;
    stands.is_some_and(|lock| lock.until >= asked.until && (hard(lock.mode) || !hard(asked.mode)))
}

/// What is set where `stands` does not cover `asked`: neither end nor mode is ever given up for the other. Whoever may
/// bypass governance could otherwise shorten a lock by making it a harder one.
fn joined(stands: Option<Lock>, asked: Lock) -> Lock {
    let Some(stands) = stands else { return asked };
    let mode = if asked.mode == LockMode::Governance { stands.mode } else { asked.mode };
    Lock { mode, until: asked.until.max(stands.until) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_set_gives_up_neither_end_nor_mode_of_the_one_that_stands() {
        let soft = |until| Lock { mode: LockMode::Governance, until };
        let hard = |until| Lock { mode: LockMode::Compliance, until };
        for (stands, asked, set) in [
            (None, soft(5), soft(5)),
            (Some(soft(9)), hard(5), hard(9)),
            (Some(soft(5)), hard(9), hard(9)),
            (Some(hard(5)), soft(9), hard(9)),
            (Some(soft(5)), soft(9), soft(9)),
        ] {
            assert!(!covers(stands, asked), "{stands:?} {asked:?}");
            assert_eq!(joined(stands, asked), set, "{stands:?} {asked:?}");
            assert!(covers(Some(set), asked) && stands.is_none_or(|stands| covers(Some(set), stands)));
        }
        assert!(covers(Some(hard(9)), soft(5)) && covers(Some(soft(9)), soft(9)));
    }
}
