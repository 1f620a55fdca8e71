//! The base of every URL in an answer: how the client reached us, as seen from its side.
//!
//! A configured public URL wins; a reverse proxy's headers count only when the operator says so;
//! else scheme and Host of the request. Text from a header is used only when it looks like a host.

use crate::server::Peer;
use http::{HeaderMap, Uri, header};
use std::net::IpAddr;

/// Scheme, authority and path prefix in front of the service's own paths, without a trailing slash.
pub(crate) fn base_url(
    public: Option<&str>,
    trust_forwarded: bool,
    peer: Option<&Peer>,
    uri: &Uri,
    headers: &HeaderMap,
) -> String {
    if let Some(public) = public {
        return public.trim_end_matches('/').to_owned();
    }
    let tls = peer.is_some_and(|peer| peer.tls);
    let mut scheme = if tls { "https" } else { "http" }.to_owned();
    let asked = uri.authority().map(http::uri::Authority::as_str).or_else(|| text(headers, header::HOST.as_str()));
    let mut host = asked.filter(|h| is_authority(h)).unwrap_or("localhost").to_owned();
    if let Some(port) = peer.and_then(|peer| missing_port(&host, peer)) {
        host = format!("{host}:{port}");
    }
    let mut prefix = String::new();
    if trust_forwarded {
        let forwarded = text(headers, "forwarded");
        let proto = forwarded.and_then(|f| forwarded_value(f, "proto")).or_else(|| first(headers, "x-forwarded-proto"));
        if let Some(proto) = proto.filter(|p| ["http", "https"].contains(&p.as_str())) {
            scheme = proto;
        }
        let named = forwarded.and_then(|f| forwarded_value(f, "host")).or_else(|| first(headers, "x-forwarded-host"));
        if let Some(named) = named.filter(|h| is_authority(h)) {
            host = named;
        }
        if let Some(path) = first(headers, "x-forwarded-prefix").filter(|p| is_prefix(p)) {
            prefix = path.trim_end_matches('/').to_owned();
        }
    }
    format!("{scheme}://{host}{prefix}")
}

/// The address of the client as a trusted proxy tells it.
pub(crate) fn client(trust_forwarded: bool, headers: &HeaderMap) -> Option<IpAddr> {
    if !trust_forwarded {
        return None;
    }
    let forwarded = text(headers, "forwarded").and_then(|header| forwarded_value(header, "for"));
    address(&forwarded.or_else(|| first(headers, "x-forwarded-for"))?)
}

/// An address, also with a port, and a newer one in brackets.
fn address(told: &str) -> Option<IpAddr> {
    let bare = told.trim().trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| told.trim().parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

/// The port of a direct connection whose Host names our very address without it, as some clients write it.
fn missing_port(host: &str, peer: &Peer) -> Option<u16> {
    let port = peer.local.port();
    let usual = if peer.tls { 443 } else { 80 };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let own = address == Some(peer.local.ip().to_canonical());
    let loopback = host.eq_ignore_ascii_case("localhost") && peer.local.ip().to_canonical().is_loopback();
    (port != usual && (own || loopback)).then_some(port)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// First of a comma separated list: the proxy nearest to the client.
fn first(headers: &HeaderMap, name: &str) -> Option<String> {
    text(headers, name)?.split(',').next().map(|value| value.trim().to_owned())
}

/// A parameter of the first element of a Forwarded header (RFC 7239 section 4).
fn forwarded_value(header: &str, name: &str) -> Option<String> {
    let element = header.split(',').next()?;
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn is_authority(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed)
}

fn is_prefix(path: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.starts_with('/') && !path.starts_with("//") && path.len() <= 255 && path.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(tls: bool, local: &str) -> Peer {
        let local: std::net::SocketAddr = local.parse().expect("an address");
        Peer { address: local.ip(), tls, local }
    }

    fn base(trust: bool, tls: bool, pairs: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("header value"));
        }
        let peer = peer(tls, "127.0.0.1:8080");
        base_url(None, trust, Some(&peer), &Uri::from_static("/dicom-web/studies"), &headers)
    }

    #[test]
    fn the_configured_url_wins_and_else_the_host_counts() {
        let headers = HeaderMap::new();
        let uri = Uri::from_static("http://h2.example/x");
        assert_eq!(base_url(Some("https://p.example/pacs/"), true, None, &uri, &headers), "https://p.example/pacs");
        assert_eq!(base_url(None, false, Some(&peer(true, "10.0.0.1:443")), &uri, &headers), "https://h2.example");
        assert_eq!(base(false, false, &[("host", "[::1]:8080")]), "http://[::1]:8080");
        assert_eq!(base(false, false, &[("host", "evil/\"><x")]), "http://localhost:8080");
        // A Host without the port that was connected to is completed only where it is our own address.
        assert_eq!(base(false, false, &[("host", "127.0.0.1")]), "http://127.0.0.1:8080");
        assert_eq!(base(false, false, &[("host", "10.0.0.2")]), "http://10.0.0.2");
        assert_eq!(base(false, false, &[("host", "pacs.example")]), "http://pacs.example");
    }

    #[test]
    fn a_proxy_is_believed_only_when_told_so() {
        let proxy =
            [("host", "10.0.0.1:8080"), ("forwarded", "for=1.2.3.4;proto=https;host=\"pacs.example\", for=x;host=y")];
        assert_eq!(base(false, false, &proxy), "http://10.0.0.1:8080");
        assert_eq!(base(true, false, &proxy), "https://pacs.example");
        let old = [
            ("host", "a"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "b, c"),
            ("x-forwarded-prefix", "/pacs/"),
        ];
        assert_eq!(base(true, false, &old), "https://b/pacs");
        assert_eq!(base(true, false, &[("host", "a"), ("x-forwarded-prefix", "//evil")]), "http://a");
        assert_eq!(base(true, false, &[("host", "a"), ("x-forwarded-proto", "javascript")]), "http://a");
    }

    #[test]
    fn a_client_behind_a_trusted_proxy_has_the_address_it_tells() {
        let headers = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_str(value).expect("a header"),
            )])
        };
        for (name, value, wanted) in [
            ("x-forwarded-for", "192.0.2.7, 10.0.0.1", "192.0.2.7"),
            ("x-forwarded-for", "192.0.2.7:4711", "192.0.2.7"),
            ("forwarded", "for=192.0.2.7;proto=https", "192.0.2.7"),
            ("forwarded", "for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("forwarded", "for=\"[2001:db8::7]\", for=10.0.0.1", "2001:db8::7"),
        ] {
            let headers = headers(name, value);
            assert_eq!(client(true, &headers), wanted.parse().ok(), "{value}");
            assert_eq!(client(false, &headers), None);
        }
        assert_eq!(client(true, &headers("forwarded", "for=_hidden")), None);
    }
}
