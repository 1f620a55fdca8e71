//! Epoch keys that never leave their device: AES keys on a token behind PKCS#11.
//!
//! The module is a library named by the operator and loaded when the token is opened; CKM_AES_GCM wraps (PKCS#11
//! 3.0, section 6.13.4). A key is a secret key object with the label `khoanh <facility> <epoch>`, not extractable.
//! The device knows no calendar: when a key was retired stands in a file beside it ([`super::dates`]).
//! It deliberately destroys no key that still wraps something: [`crate::keys::KeyStore::rewrap`] comes first.

use super::dates::Dates;
use super::epoch::bound;
use super::{DataKey, EpochKeys, Wrapped};
use crate::{PackId, StoreError};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use model::FacilityCode;
use parking_lot::Mutex;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where the token is.
pub struct EpochTokenOptions {
    /// The library of the device's maker, for example that of SoftHSM.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// PIN of the user. It is never printed.
    pub pin: String,
    /// File with the dates at which keys were retired; made when it is missing.
    pub dates: PathBuf,
}

/// Epoch keys on an open token.
pub struct TokenKeys {
    context: Pkcs11,
    options: EpochTokenOptions,
    session: Mutex<Option<Session>>,
    dates: Dates,
}

const BY_TOKEN: u8 = 2;

impl TokenKeys {
    /// Loads the module and logs in.
    ///
    /// # Errors
    /// [`StoreError::EpochToken`] says what does not fit.
    pub fn open(options: EpochTokenOptions) -> Result<Self, StoreError> {
        let dates = Dates::open(&options.dates).map_err(|e| StoreError::io("read the dates in", &options.dates, e))?;
        let failed = |what: &str, error: &Error| refused(&options, format!("{what}: {error}"));
        let context = Pkcs11::new(&options.module).map_err(|e| failed("load the module", &e))?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another part of the process uses the same module.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed("initialize the module", &error)),
        }
        let session = log_in(&context, &options)?;
        Ok(Self { context, options, session: Mutex::new(Some(session)), dates })
    }

    /// Makes the next epoch key of a facility on the token; answers its number.
    ///
    /// # Errors
    /// [`StoreError::EpochToken`].
    pub fn begin_epoch(&self, facility: FacilityCode) -> Result<u32, StoreError> {
        let number = self.newest(facility)?.unwrap_or(0) + 1;
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(label(facility, number).into_bytes()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(32_u64.into()),
        ];
        self.with("make a key", |session| session.generate_key(&Mechanism::AesKeyGen, &template))?;
        Ok(number)
    }

    /// Destroys an epoch key: what it wrapped opens no more, wherever a backup of it lies. Rewrap first. The newest
    /// of a facility is not destroyed.
    ///
    /// # Errors
    /// [`StoreError::EpochToken`].
    pub fn destroy_epoch(&self, facility: FacilityCode, epoch: u32) -> Result<(), StoreError> {
        if self.newest(facility)?.is_none_or(|newest| epoch >= newest) {
            return Err(refused(&self.options, "only an epoch before the newest is destroyed".into()));
        }
        match self.key(facility, epoch)? {
            Some(key) => self.with("destroy a key", |session| session.destroy_object(key)),
            None => Ok(()),
        }
    }

    /// Notes that nothing is wrapped by older epoch keys of a facility any more: call it after a whole
    /// [`crate::keys::KeyStore::rewrap`]. `now` in milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// [`StoreError::EpochToken`]; those of the file of dates. Then nothing changed.
    pub fn retire_older(&self, facility: FacilityCode, now: u64) -> Result<(), StoreError> {
        let epochs = self.epochs()?;
        let Some(newest) = newest_of(&epochs, facility) else { return Ok(()) };
        let older = epochs.into_iter().filter(|(code, epoch)| *code == facility && *epoch < newest);
        self.dates.retire(older, now).map_err(|e| StoreError::io("write the dates in", &self.options.dates, e))
    }

    /// The epoch keys that were retired before `before`, milliseconds since 1970 UTC.
    pub fn retired(&self, before: u64) -> Vec<(FacilityCode, u32)> {
        self.dates.before(before)
    }

    /// Destroys every epoch key retired before `before` (milliseconds since 1970 UTC) on the token. Answers facility and
    /// epoch of each.
    ///
    /// # Errors
    /// [`StoreError::EpochToken`]; those of the file of dates. Ask again: what was destroyed stays so.
    pub fn destroy_retired(&self, before: u64) -> Result<Vec<(FacilityCode, u32)>, StoreError> {
        let gone = self.retired(before);
        for (facility, epoch) in &gone {
            self.destroy_epoch(*facility, *epoch)?;
            let forgotten = self.dates.forget((*facility, *epoch));
            forgotten.map_err(|e| StoreError::io("write the dates in", &self.options.dates, e))?;
        }
        Ok(gone)
    }

    /// The newest epoch of a facility, where it has a key.
    ///
    /// # Errors
    /// [`StoreError::EpochToken`].
    pub fn newest(&self, facility: FacilityCode) -> Result<Option<u32>, StoreError> {
        Ok(newest_of(&self.epochs()?, facility))
    }

    /// Facility and epoch of every key on the token.
    ///
    /// # Errors
    /// [`StoreError::EpochToken`].
    pub fn epochs(&self) -> Result<Vec<(FacilityCode, u32)>, StoreError> {
        let class = [Attribute::Class(ObjectClass::SECRET_KEY)];
        let labels = self.with("list keys", |session| {
            let mut labels = Vec::new();
            for object in session.find_objects(&class)? {
                labels.extend(session.get_attributes(object, &[AttributeType::Label])?);
            }
            Ok(labels)
        })?;
        let named = |attribute: &Attribute| {
            let Attribute::Label(label) = attribute else { return None };
            let (facility, epoch) = std::str::from_utf8(label).ok()?.strip_prefix("khoanh ")?.split_once(' ')?;
            Some((FacilityCode::parse(facility).ok()?, epoch.parse().ok()?))
        };
        Ok(labels.iter().filter_map(named).collect())
    }

    fn key(&self, facility: FacilityCode, epoch: u32) -> Result<Option<ObjectHandle>, StoreError> {
        let template =
            [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Label(label(facility, epoch).into_bytes())];
        let found = self.with("find a key", |session| session.find_objects(&template))?;
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => Err(refused(&self.options, format!("several keys are called {}", label(facility, epoch)))),
        }
    }

    /// Asks the token. A device that was unplugged or restarted has forgotten the session: one new login, then the
    /// error counts.
    fn with<T>(&self, what: &str, ask: impl Fn(&Session) -> Result<T, Error>) -> Result<T, StoreError> {
        let mut session = self.session.lock();
        if let Some(open) = session.as_ref()
            && let Ok(answer) = ask(open)
        {
            return Ok(answer);
        }
        *session = None;
        let open = log_in(&self.context, &self.options)?;
        let answer = ask(&open).map_err(|e| refused(&self.options, format!("{what}: {e}")));
        *session = Some(open);
        answer
    }
}

impl EpochKeys for TokenKeys {
    fn current(&self, facility: FacilityCode) -> Result<u32, StoreError> {
        let none = || refused(&self.options, format!("it holds no epoch key of {facility}"));
        self.newest(facility)?.ok_or_else(none)
    }

    fn wrap(&self, facility: FacilityCode, epoch: u32, pack: PackId, key: &DataKey) -> Result<Wrapped, StoreError> {
        let held = self.key(facility, epoch)?.ok_or(StoreError::KeyClosed { pack })?;
        let nonce: [u8; 12] = super::random()?;
        let binding = bound(facility, pack, epoch);
        let wrapped = self.with("wrap a key", |session| {
            let mut nonce = nonce;
            let mechanism = Mechanism::AesGcm(GcmParams::new(&mut nonce, &binding, 128_u64.into())?);
            session.encrypt(&mechanism, held, key.bytes())
        })?;
        let unfit = |bytes: Vec<u8>| refused(&self.options, format!("a wrapped key of {} bytes", bytes.len()));
        Ok(Wrapped { by: BY_TOKEN, nonce, key: wrapped.try_into().map_err(unfit)? })
    }

    fn unwrap(
        &self,
        facility: FacilityCode,
        epoch: u32,
        pack: PackId,
        wrapped: &Wrapped,
    ) -> Result<DataKey, StoreError> {
        let closed = || StoreError::KeyClosed { pack };
        if wrapped.by != BY_TOKEN {
            return Err(closed());
        }
        let held = self.key(facility, epoch)?.ok_or_else(closed)?;
        let binding = bound(facility, pack, epoch);
        let opened = self.with("unwrap a key", |session| {
            let mut nonce = wrapped.nonce;
            let mechanism = Mechanism::AesGcm(GcmParams::new(&mut nonce, &binding, 128_u64.into())?);
            // A refusal is an answer: the token is well.
            match session.decrypt(&mechanism, held, &wrapped.key) {
                Err(Error::Pkcs11(RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange, _)) => Ok(None),
                Err(Error::Pkcs11(RvError::GeneralError, _)) => Ok(None),
                answer => answer.map(Some),
            }
        })?;
        let opened = Zeroizing::new(opened.ok_or_else(closed)?);
        opened.as_slice().try_into().map(DataKey::new).map_err(|_| closed())
    }
}

fn newest_of(epochs: &[(FacilityCode, u32)], facility: FacilityCode) -> Option<u32> {
    epochs.iter().filter(|(code, _)| *code == facility).map(|(_, epoch)| *epoch).max()
}

fn label(facility: FacilityCode, epoch: u32) -> String {
    format!("khoanh {facility} {epoch}")
}

fn refused(options: &EpochTokenOptions, what: String) -> StoreError {
    StoreError::EpochToken { token: options.token.clone(), what }
}

fn log_in(context: &Pkcs11, options: &EpochTokenOptions) -> Result<Session, StoreError> {
    let failed = |what: &str, error: &Error| refused(options, format!("{what}: {error}"));
    let slots = context.get_slots_with_initialized_token().map_err(|e| failed("list tokens", &e))?;
    let labelled = |slot| context.get_token_info(slot).is_ok_and(|info| info.label() == options.token);
    let mut matching = slots.into_iter().filter(|slot| labelled(*slot));
    let slot = matching.next().ok_or_else(|| refused(options, "no token has this label".into()))?;
    if matching.next().is_some() {
        return Err(refused(options, "several tokens have this label".into()));
    }
    let session = context.open_rw_session(slot).map_err(|e| failed("open a session", &e))?;
    match session.login(UserType::User, Some(&AuthPin::new(options.pin.clone().into()))) {
        // Logging in counts for the whole process.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error) => Err(failed("log in", &error)),
    }
}
