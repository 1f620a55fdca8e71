//! Where objects may be sent: the registered peers of C-MOVE and of forwarding.
//!
//! The registry is data, journaled like facilities and sources; this module only says what a valid entry is.

use crate::{AeTitle, FacilityCode};
use serde::{Deserialize, Serialize};

/// A peer that takes objects by C-STORE, told by its AE title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// AE title it is called by, unique in the registry.
    pub title: AeTitle,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The facility it belongs to, whose sources alone may have something sent there; none means every facility's:
    /// a disclosure the operator decided on.
    #[serde(default)]
    pub facility: Option<FacilityCode>,
    /// AE title we show there; none means the one we were asked under.
    #[serde(default)]
    pub calling: Option<AeTitle>,
    /// Associations opened to it at one time by one C-MOVE, 1 to 8: more fill a long line, where the peer takes them.
    #[serde(default = "one")]
    pub associations: u8,
    /// How TLS is spoken with it; none means without TLS.
    #[serde(default)]
    pub tls: Option<DestinationTls>,
    /// Objects go there as they were received, without the corrections of their studies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_received: bool,
    /// Free text for people.
    #[serde(default)]
    pub description: String,
    /// A removed destination keeps its history and takes nothing.
    #[serde(default)]
    pub removed: bool,
}

fn one() -> u8 {
    1
}

/// TLS with a destination. Without a word here its certificate has to be for the host that is called, by an authority
/// the archive knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DestinationTls {
    /// Name its certificate is for, when that is not the host.
    #[serde(default)]
    pub name: Option<String>,
    /// SHA-256 of its certificate, 64 lower-case hexadecimal digits: this one is taken, whoever signed it.
    #[serde(default)]
    pub certificate: Option<String>,
}

impl Destination {
    /// Host and port as one text; an IPv6 address gets its brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Splits `HOST:PORT`; an IPv6 address stands in brackets.
    pub fn split_address(text: &str) -> Option<(String, u16)> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let sound = !host.is_empty() && host.len() <= 253 && host.chars().all(|c| c.is_ascii_graphic() && c != '/');
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        sound.then(|| (host.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_and_put_together_again() {
        let split = |text| Destination::split_address(text);
        assert_eq!(split("10.1.2.3:104"), Some(("10.1.2.3".into(), 104)));
        assert_eq!(split("[fd00::1]:11112"), Some(("fd00::1".into(), 11112)));
        assert_eq!(split("pacs.bv.vn:4242"), Some(("pacs.bv.vn".into(), 4242)));
        for bad in ["", "host", ":104", "host:0", "host:99999", "a b:1", "http://x:1"] {
            assert_eq!(split(bad), None, "{bad:?}");
        }
        let (host, port) = split("[fd00::1]:104").expect("sound");
        let title = AeTitle::parse("PACS1").expect("title");
        let one = Destination {
            title,
            host,
            port,
            facility: None,
            calling: None,
            tls: None,
            as_received: false,
            description: String::new(),
            associations: 1,
            removed: false,
        };
        assert_eq!(one.address(), "[fd00::1]:104");
    }
}
