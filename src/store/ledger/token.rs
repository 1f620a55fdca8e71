//! A signing key that never leaves its device: an Ed25519 key pair on a token behind PKCS#11.
//!
//! The module is a library named by the operator and loaded when the token is opened; CKM_EDDSA signs (PKCS#11 3.0,
//! section 6.3.16). The key pair must lie on the token already, private and public object under one label.
//! This module deliberately makes no keys and changes nothing on a token.

use super::signer::{Signer, verify_signature};
use crate::StoreError;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use parking_lot::Mutex;
use std::path::PathBuf;

/// Signed once when a token is opened, so that a wrong key is found then and not at the first head.
const TRIAL: &[u8] = b"khoanh ledger trial 1\n";

/// Where the key is.
pub struct TokenOptions {
    /// The library of the device's maker, for example that of SoftHSM.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// Label of the key pair.
    pub key: String,
    /// PIN of the user. It is never printed.
    pub pin: String,
}

/// An open token.
pub struct Token {
    context: Pkcs11,
    options: TokenOptions,
    public: [u8; 32],
    session: Mutex<Option<LoggedIn>>,
}

struct LoggedIn {
    session: Session,
    private: ObjectHandle,
}

impl Token {
    /// Loads the module, logs in, finds the key pair and signs once for trial. `Signer` says what does not fit.
    pub fn open(options: TokenOptions) -> Result<Self, StoreError> {
        let failed = |what: &str, error: &Error| refused(&options, format!("{what}: {error}"));
        let context = Pkcs11::new(&options.module).map_err(|e| failed("load the module", &e))?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another part of the process uses the same module.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed("initialize the module", &error)),
        }
        let logged_in = log_in(&context, &options)?;
        let public = public_key(&logged_in.session, &options)?;
        let token = Self { context, options, public, session: Mutex::new(Some(logged_in)) };
        let signature = token.sign(TRIAL)?;
        if verify_signature(&public, TRIAL, &signature) {
            Ok(token)
        } else {
            Err(refused(&token.options, "the private key does not belong to the public key of its label".into()))
        }
    }

    fn attempt(&self, logged_in: &LoggedIn, message: &[u8]) -> Result<[u8; 64], StoreError> {
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
        let signature = logged_in.session.sign(&mechanism, logged_in.private, message);
        let signature = signature.map_err(|e| refused(&self.options, format!("sign: {e}")))?;
        let unfit = |bytes: Vec<u8>| refused(&self.options, format!("a signature of {} bytes", bytes.len()));
        signature.try_into().map_err(unfit)
    }
}

impl Signer for Token {
    fn public_key(&self) -> [u8; 32] {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], StoreError> {
        let mut session = self.session.lock();
        if let Some(logged_in) = session.as_ref()
            && let Ok(signature) = self.attempt(logged_in, message)
        {
            return Ok(signature);
        }
        // A device that was unplugged or restarted has forgotten the session: one new login, then the error counts.
        *session = None;
        let logged_in = log_in(&self.context, &self.options)?;
        let signature = self.attempt(&logged_in, message)?;
        *session = Some(logged_in);
        Ok(signature)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("token", &self.options.token).field("key", &self.options.key).finish()
    }
}

fn refused(options: &TokenOptions, what: String) -> StoreError {
    StoreError::Signer { place: format!("{} on token {}", options.key, options.token), what }
}

fn log_in(context: &Pkcs11, options: &TokenOptions) -> Result<LoggedIn, StoreError> {
    let failed = |what: &str, error: &Error| refused(options, format!("{what}: {error}"));
    let slots = context.get_slots_with_initialized_token().map_err(|e| failed("list tokens", &e))?;
    let labelled = |slot| context.get_token_info(slot).is_ok_and(|info| info.label() == options.token);
    let mut matching = slots.into_iter().filter(|slot| labelled(*slot));
    let slot = matching.next().ok_or_else(|| refused(options, "no token has this label".into()))?;
    if matching.next().is_some() {
        return Err(refused(options, "several tokens have this label".into()));
    }
    let session = context.open_ro_session(slot).map_err(|e| failed("open a session", &e))?;
    match session.login(UserType::User, Some(&AuthPin::new(options.pin.clone().into()))) {
        // Logging in counts for the whole process.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
        Err(error) => return Err(failed("log in", &error)),
    }
    let private = find(&session, options, ObjectClass::PRIVATE_KEY, "private key")?;
    Ok(LoggedIn { session, private })
}

fn find(session: &Session, options: &TokenOptions, class: ObjectClass, what: &str) -> Result<ObjectHandle, StoreError> {
    let template = [Attribute::Class(class), Attribute::Label(options.key.as_bytes().to_vec())];
    let found = session.find_objects(&template).map_err(|e| refused(options, format!("find the {what}: {e}")))?;
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(refused(options, format!("no {what} has this label"))),
        _ => Err(refused(options, format!("several objects answer to this label as {what}"))),
    }
}

fn public_key(session: &Session, options: &TokenOptions) -> Result<[u8; 32], StoreError> {
    let object = find(session, options, ObjectClass::PUBLIC_KEY, "public key")?;
    let attributes = session.get_attributes(object, &[AttributeType::EcPoint]);
    let attributes = attributes.map_err(|e| refused(options, format!("read the public key: {e}")))?;
    let point = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    });
    point.as_deref().and_then(point_bytes).ok_or_else(|| refused(options, "its public key is not Ed25519".into()))
}

/// The 32 bytes of a point: bare, as PKCS#11 3.0 says, or inside a DER OCTET STRING (2.40 and most devices).
fn point_bytes(point: &[u8]) -> Option<[u8; 32]> {
    let bare = point.try_into().ok();
    bare.or_else(|| point.strip_prefix(&[4, 32])?.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_bare_and_in_its_octet_string() {
        let bare = [7; 32];
        assert_eq!(point_bytes(&bare), Some(bare));
        assert_eq!(point_bytes(&[[4, 32].as_slice(), &bare].concat()), Some(bare));
        assert_eq!(point_bytes(&[4, 32, 1]), None);
        let mut like_a_prefix = [9; 32];
        like_a_prefix[0] = 4;
        like_a_prefix[1] = 32;
        assert_eq!(point_bytes(&like_a_prefix), Some(like_a_prefix), "32 bytes are the point itself");
    }

    #[test]
    fn a_module_that_is_none_is_refused() {
        let module = PathBuf::from("/nonexistent/libtoken.so");
        let options = TokenOptions { module, token: "t".into(), key: "k".into(), pin: "1234".into() };
        let refused = Token::open(options);
        assert!(matches!(refused, Err(StoreError::Signer { .. })), "{refused:?}");
    }
}
