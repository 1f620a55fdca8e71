//! A ledger signed by a key on a token: SoftHSM, a PKCS#11 device in software.
//!
//! SoftHSM finds its tokens by an environment variable, so the test runs itself again as a child with one of its
//! own. It comes from Debian's package `softhsm2`; without it the test fails and says so.

use crate::registry::MORNING;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use store::ledger::{NewEntry, Signer, Token, TokenOptions, log_id, verify_signature};
use store::{Ledger, LedgerOptions, RealDisk, StoreError};

const CONFIGURATION: &str = "SOFTHSM2_CONF";
/// Tells the child from the test.
const CHILD: &str = "KHOANH_TOKEN_CHILD";
const PIN: &str = "271828";
/// DER of the curve's name, as SoftHSM takes it for CKA_EC_PARAMS.
const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";

fn module() -> PathBuf {
    let known = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let found = known.iter().map(PathBuf::from).find(|path| path.exists());
    std::env::var_os("KHOANH_SOFTHSM").map(PathBuf::from).or(found).expect("SoftHSM: apt-get install softhsm2")
}

fn options(token: &str, key: &str, pin: &str) -> TokenOptions {
    TokenOptions { module: module(), token: token.into(), key: key.into(), pin: pin.into() }
}

/// A token with the key pairs `ledger`, and twice `twin`.
fn make_token() {
    let context = Pkcs11::new(module()).expect("module");
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("initialized");
    let slot = *context.get_slots_with_token().expect("slots").first().expect("a slot");
    let officer = AuthPin::new("31415926".into());
    context.init_token(slot, &officer, "khoanh").expect("token");
    // The slot has another number once its token is initialized.
    let slot = *context.get_slots_with_initialized_token().expect("slots").first().expect("the token");
    let session = context.open_rw_session(slot).expect("session");
    session.login(UserType::So, Some(&officer)).expect("officer");
    session.init_pin(&AuthPin::new(PIN.into())).expect("PIN");
    session.logout().expect("logged out");
    session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).expect("user");
    for label in ["ledger", "twin", "twin"] {
        let label = Attribute::Label(label.into());
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(EDWARDS25519.to_vec()),
            label.clone(),
        ];
        let private =
            [Attribute::Token(true), Attribute::Sign(true), Attribute::Sensitive(true), Attribute::Extractable(false)];
        let private = [private.as_slice(), &[label]].concat();
        session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private).expect("key pair");
    }
}

#[test]
fn a_key_on_a_token_signs_the_ledger() {
    if std::env::var_os(CHILD).is_some() {
        return sign_with_a_token();
    }
    let folder = tempfile::tempdir().expect("folder");
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).expect("folder");
    let configuration = folder.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&configuration, text).expect("configuration");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "token::a_key_on_a_token_signs_the_ledger", "--nocapture"])
        .env(CONFIGURATION, &configuration)
        .env(CHILD, "1")
        .env("KHOANH_TOKEN_FOLDER", folder.path())
        .output()
        .expect("the test again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("signed by a token"), "the child did not run: {said}");
}

fn sign_with_a_token() {
    make_token();
    let token = Token::open(options("khoanh", "ledger", PIN)).expect("token");
    let key = token.public_key();
    let message = b"a head";
    assert!(verify_signature(&key, message, &token.sign(message).expect("signed")));

    let dir = PathBuf::from(std::env::var_os("KHOANH_TOKEN_FOLDER").expect("folder")).join("ledger");
    let open = |signer: Box<dyn Signer>| Ledger::open(Arc::new(RealDisk), LedgerOptions::new(dir.clone()), signer);
    let (ledger, _) = open(Box::new(token)).expect("begun");
    ledger.append(&[NewEntry { sequence: 1, bytes: b"{}" }]).expect("append");
    let head = ledger.sync_and_sign(MORNING).expect("signed by the token");
    assert!(head.verify(&key));
    assert_eq!(head.head.log, log_id(&key));
    drop(ledger);

    let again = Token::open(options("khoanh", "ledger", PIN)).expect("opened twice in one process");
    let (ledger, opened) = open(Box::new(again)).expect("the same key");
    assert_eq!(opened.size, 1);
    ledger.view().check().expect("whole");

    for (token, key) in [("other", "ledger"), ("khoanh", "other"), ("khoanh", "twin")] {
        let refused = Token::open(options(token, key, PIN));
        assert!(matches!(refused, Err(StoreError::Signer { .. })), "{token} {key}: {refused:?}");
    }
    println!("signed by a token");
}
