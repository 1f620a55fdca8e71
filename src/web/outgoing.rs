//! Calling other services: the client, the bearer token, and calls that end in their time, for all who call.

use http::HeaderValue;
use model::{OutOfReach, Reach};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// A client that follows no redirection and no proxy; with `authorities` it believes these alone.
pub(crate) fn client(authorities: Option<&Path>, connect: Duration) -> Result<reqwest::Client, String> {
    client_as(None, authorities, connect)
}

/// The same, which shows who it is where it is asked: by the files of a certificate and of its key.
pub(crate) fn client_as(
    own: Option<(&Path, &Path)>,
    authorities: Option<&Path>,
    connect: Duration,
) -> Result<reqwest::Client, String> {
    built(builder(authorities, connect)?, own)
}

/// The same, which reaches at one port only what may be called, whatever name it stands behind.
pub(crate) fn client_at(
    port: u16,
    reach: &Arc<Reach>,
    authorities: Option<&Path>,
    connect: Duration,
) -> Result<reqwest::Client, String> {
    let resolver = Arc::new(Resolver { reach: Arc::clone(reach), port });
    built(builder(authorities, connect)?.dns_resolver(resolver), None)
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| failed(path, &error))
}

fn builder(authorities: Option<&Path>, connect: Duration) -> Result<reqwest::ClientBuilder, String> {
    // Several may be there already; any is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().connect_timeout(connect);
    let Some(path) = authorities else { return Ok(builder) };
    let certificates = reqwest::Certificate::from_pem_bundle(&read(path)?).map_err(|error| failed(path, &error))?;
    Ok(builder.tls_certs_only(certificates))
}

fn built(mut builder: reqwest::ClientBuilder, own: Option<(&Path, &Path)>) -> Result<reqwest::Client, String> {
    if let Some((certificate, key)) = own {
        let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        let identity = reqwest::Identity::from_pem(&pem).map_err(|error| failed(certificate, &error))?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| error.to_string())
}

/// Asks for the addresses of names, and gives those that may be called: what was looked at is what is connected to.
struct Resolver {
    reach: Arc<Reach>,
    port: u16,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, port, host) = (Arc::clone(&self.reach), self.port, name.as_str().to_owned());
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), port)).await?;
            let checked = allowed(&reach, &host, found.collect())?;
            let addresses: Addrs = Box::new(checked.into_iter());
            Ok(addresses)
        })
    }
}

/// Those of a host's addresses that may be called; without any, why not.
fn allowed(reach: &Reach, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, OutOfReach> {
    let (mut good, mut refused) = (Vec::new(), None);
    for address in found {
        match reach.check(host, address.ip(), address.port(), is_own(address.ip())) {
            Ok(()) => good.push(address),
            Err(why) => refused = Some(why),
        }
    }
    match refused {
        Some(why) if good.is_empty() => Err(why),
        _ => Ok(good),
    }
}

/// Whether an address is one of this machine's, as it stands or as it is called in the end.
fn is_own(address: IpAddr) -> bool {
    begins_here(address.to_canonical()) || begins_here(model::reach::plain(address))
}

/// Whether the way to an address begins at itself. Nothing is sent.
fn begins_here(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let way = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    way.is_ok_and(|from| from.ip() == address)
}

/// A URL with the port that is called, where that is allowed as far as can be told: of a name its addresses are looked at
/// when it is called ([`client_at`]).
pub(crate) fn reachable(reach: &Reach, text: &str) -> Result<(reqwest::Url, u16), String> {
    // As it is read by whoever calls it, not as somebody else would read it.
    let url = reqwest::Url::parse(text).map_err(|error| format!("the URL cannot be called: {error}"))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err("the URL names no host".into());
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let checked = match inner.parse::<IpAddr>() {
        Ok(address) => reach.check(host, address, port, is_own(address)),
        Err(_) => reach.check_host(host, port),
    };
    checked.map_err(|why| why.to_string())?;
    Ok((url, port))
}

/// Why no address was called, where that is not allowed.
pub(crate) fn out_of_reach(error: &reqwest::Error) -> Option<String> {
    let mut inner = error.source();
    while let Some(cause) = inner {
        if let Some(why) = cause.downcast_ref::<OutOfReach>() {
            return Some(why.to_string());
        }
        inner = cause.source();
    }
    None
}

/// The value of the Authorization header that a file's token makes; read anew each time, for tokens change.
pub(crate) fn bearer(file: &Path) -> Result<HeaderValue, String> {
    let token = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| format!("{} holds no bearer token", file.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What went wrong, down to its cause, without the URL.
pub(crate) fn said(error: &reqwest::Error) -> String {
    let mut text = String::from("no answer");
    let mut inner = error.source();
    while let Some(cause) = inner {
        text = format!("{text}: {cause}");
        inner = cause.source();
    }
    text
}

/// What came of a call.
pub(crate) enum Called<T> {
    /// It was answered.
    Answered(T),
    /// Not in time.
    Late,
    /// Whoever calls ends.
    Interrupted,
}

/// Calls from threads that wait for them, and end at once when they are told to.
pub(crate) struct Calls {
    runtime: Handle,
    next: AtomicU64,
    under_way: Mutex<HashMap<u64, AbortHandle>>,
    stopped: AtomicBool,
}

impl Calls {
    /// Calls from within a tokio runtime.
    pub(crate) fn new(runtime: Handle) -> Self {
        let (next, under_way, stopped) = (AtomicU64::new(0), Mutex::default(), AtomicBool::new(false));
        Self { runtime, next, under_way, stopped }
    }

    /// Waits for a call, no longer than so long.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Called<T> {
        let calling = self.runtime.spawn(call);
        let (id, abort) = (self.next.fetch_add(1, Ordering::Relaxed), calling.abort_handle());
        self.under_way.lock().insert(id, calling.abort_handle());
        if self.stopped.load(Ordering::SeqCst) {
            abort.abort();
        }
        let called = self.runtime.block_on(async { tokio::time::timeout(limit, calling).await });
        self.under_way.lock().remove(&id);
        match called {
            Ok(Ok(answer)) => Called::Answered(answer),
            Ok(Err(_)) => Called::Interrupted,
            Err(_) => {
                abort.abort();
                Called::Late
            }
        }
    }

    /// Ends every call, and those to come.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.under_way.lock().values().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(60);
    /// Whoever is called without being meant to be answers nothing.
    const SOON: Duration = Duration::from_secs(30);

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        (listener, port)
    }

    #[tokio::test]
    async fn a_name_that_leads_to_the_machine_is_not_called_and_says_why() {
        let (listener, port) = listener();
        listener.set_nonblocking(true).expect("set");
        for reach in [Reach::default(), Reach::parse(&["localhost.example", "0.0.0.0/0", "::/0"]).expect("a list")] {
            let client = client_at(port, &Arc::new(reach), None, PATIENCE).expect("a client");
            // Past the look at the name itself, as for a name of somebody's own that leads here.
            let call = tokio::time::timeout(SOON, client.post(format!("http://localhost:{port}/")).send());
            let error = call.await.expect("an answer of the archive's own").expect_err("not called");
            let why = out_of_reach(&error).unwrap_or_else(|| panic!("{}", said(&error)));
            assert!(why.contains("own machine"), "{why}");
        }
        assert_eq!(listener.accept().expect_err("nobody called").kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_url_is_looked_at_as_it_is_called() {
        let reach = Reach::default();
        let refused = [
            "http://2130706433/",
            "http://127.1:80",
            "http://0x7f.1/",
            "http://[::ffff:7f00:1]/",
            "http://127.0.0.1./",
        ];
        for url in
            refused.into_iter().chain(["http://%6c%6f%63%61%6c%68%6f%73%74/", "http://\u{ff11}27.0.0.1/", "http://0/"])
        {
            assert!(reachable(&reach, url).is_err(), "{url}");
        }
        let (url, port) = reachable(&reach, "https://his.example/hook?x=1").expect("allowed");
        assert_eq!((url.as_str(), port), ("https://his.example/hook?x=1", 443));
        assert!(is_own(Ipv4Addr::LOCALHOST.into()) && is_own(Ipv6Addr::LOCALHOST.into()));
        assert!(is_own("64:ff9b:1::7f00:1".parse().expect("an address")));
        assert!(!is_own(Ipv4Addr::new(203, 0, 113, 9).into()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_redirection_is_an_answer_and_not_a_way() {
        let (listener, port) = listener();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("called");
            let mut head = [0; 1_024];
            assert!(stream.read(&mut head).expect("read") > 0);
            let answer = format!(
                "HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:{port}/other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).expect("written");
            drop(stream);
            listener.set_nonblocking(true).expect("set");
            listener
        });
        let reach = Arc::new(Reach::default().with_own());
        let client = client_at(port, &reach, None, PATIENCE).expect("a client");
        let answer = client.post(format!("http://localhost:{port}/")).send().await.expect("answered");
        assert_eq!(answer.status().as_u16(), 307);
        let listener = serving.join().expect("no panic");
        assert_eq!(listener.accept().expect_err("called once").kind(), ErrorKind::WouldBlock);
    }
}
