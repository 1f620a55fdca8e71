//! Epoch keys on a token: SoftHSM, a PKCS#11 device in software.
//!
//! SoftHSM finds its tokens by an environment variable, so the test runs itself again as a child with one of its
//! own. It comes from Debian's package `softhsm2`; without it the test fails and says so.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use model::FacilityCode;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use store::keys::{EpochKeys, EpochTokenOptions, KeyStore, TokenKeys};
use store::{PackId, RealDisk, StoreError};

/// Tells the child from the test.
const CHILD: &str = "KHOANH_EPOCH_TOKEN_CHILD";
const PIN: &str = "271828";

fn module() -> PathBuf {
    let known = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let found = known.iter().map(PathBuf::from).find(|path| path.exists());
    std::env::var_os("KHOANH_SOFTHSM").map(PathBuf::from).or(found).expect("SoftHSM: apt-get install softhsm2")
}

/// The folder of the test that runs this one as a child.
fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os(CHILD).expect("folder"))
}

fn open(token: &str, pin: &str) -> Result<TokenKeys, StoreError> {
    let dates = folder().join("epoch.dates");
    TokenKeys::open(EpochTokenOptions { module: module(), token: token.into(), pin: pin.into(), dates })
}

fn make_token() {
    let context = Pkcs11::new(module()).expect("module");
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("initialized");
    let slot = *context.get_slots_with_token().expect("slots").first().expect("a slot");
    let officer = AuthPin::new("31415926".into());
    context.init_token(slot, &officer, "khoanh").expect("token");
    let slot = *context.get_slots_with_initialized_token().expect("slots").first().expect("the token");
    let session = context.open_rw_session(slot).expect("session");
    session.login(UserType::So, Some(&officer)).expect("officer");
    session.init_pin(&AuthPin::new(PIN.into())).expect("PIN");
    session.logout().expect("logged out");
}

#[test]
fn a_token_wraps_and_unwraps_and_a_destroyed_epoch_opens_nothing() {
    if std::env::var_os(CHILD).is_some() {
        return wrap_with_a_token();
    }
    let folder = tempfile::tempdir().expect("folder");
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).expect("folder");
    let configuration = folder.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&configuration, text).expect("configuration");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "token::a_token_wraps_and_unwraps_and_a_destroyed_epoch_opens_nothing", "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(CHILD, folder.path())
        .output()
        .expect("the test again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("wrapped by a token"), "the child did not run: {said}");
}

fn wrap_with_a_token() {
    make_token();
    let folder = folder();
    let (here, there) = (FacilityCode::parse("56001").expect("code"), FacilityCode::parse("01234").expect("code"));
    let pack = |number: u8| PackId::new([number; 16]);
    assert!(matches!(open("another", PIN), Err(StoreError::EpochToken { .. })));
    assert!(matches!(open("khoanh", "0000"), Err(StoreError::EpochToken { .. })));
    let token = Arc::new(open("khoanh", PIN).expect("token"));
    assert!(matches!(token.current(here), Err(StoreError::EpochToken { .. })), "no key yet");
    assert_eq!(token.begin_epoch(here).expect("made"), 1);
    assert_eq!(token.begin_epoch(there).expect("made"), 1);

    let dirs = ["one", "two"].map(|name| folder.join(name));
    let store = KeyStore::open(Arc::new(RealDisk), dirs.clone(), Arc::clone(&token) as _).expect("opens");
    let keys: Vec<String> = (0..5).map(|n| store.create(here, pack(n)).expect("made").export().to_string()).collect();
    store.create(there, pack(9)).expect("made");
    let wrapped = token.wrap(here, 1, pack(0), &store.get(pack(0)).expect("there")).expect("wrapped");
    for (facility, number) in [(there, 0), (here, 1)] {
        let opened = token.unwrap(facility, 1, pack(number), &wrapped);
        assert!(matches!(opened, Err(StoreError::KeyClosed { .. })), "{facility} {number}: {opened:?}");
    }

    assert!(token.destroy_epoch(here, 1).is_err(), "the newest was destroyed");
    assert_eq!(token.begin_epoch(here).expect("made"), 2);
    assert_eq!(store.rewrap(here, &mut |_| {}).expect("wrapped"), 5);
    drop(store);
    assert_eq!(token.destroy_retired(u64::MAX).expect("nothing is due"), [], "a key without a date was destroyed");
    token.retire_older(here, 1_000).expect("dated");
    token.retire_older(here, 2_000).expect("dated once");
    drop(token);
    let token = Arc::new(open("khoanh", PIN).expect("token"));
    assert_eq!(token.destroy_retired(1_000).expect("not yet"), []);
    token.unwrap(here, 1, pack(0), &wrapped).expect("it is not yet destroyed");
    assert_eq!(token.destroy_retired(1_001).expect("destroyed"), [(here, 1)]);
    assert_eq!(token.destroy_retired(1_001).expect("again"), []);
    token.destroy_epoch(here, 1).expect("again by name");
    assert!(matches!(token.unwrap(here, 1, pack(0), &wrapped), Err(StoreError::KeyClosed { .. })));
    let store = KeyStore::open(Arc::new(RealDisk), dirs, token).expect("opens");
    for (number, key) in (0..).zip(&keys) {
        assert_eq!(*store.get(pack(number)).expect("there").export(), *key);
    }
    let report = store.check().expect("whole");
    assert_eq!((report.live, report.epochs), (6, vec![(there, 1, 1), (here, 2, 5)]));
    println!("wrapped by a token");
}
