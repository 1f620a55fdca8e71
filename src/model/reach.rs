//! Which addresses the archive calls for those who name them: a facility's administrator names a subscriber, and the
//! province's operator says where such calls may lead.
//!
//! Addresses of the machine itself, of its own link and the like are never meant by a word, a name or a wide network that
//! they happen to lie in: only an entry that names them opens them.
//! Deliberately not here: what a name leads to, and which addresses are the machine's own; whoever calls finds out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bits of an IPv6 address in front of the IPv4 address that is mapped into it.
const MAPPED: u8 = 96;
/// Longest host name in bytes.
const NAME_MAX: usize = 253;
/// What its own addresses are to the archive.
const OWN: &str = "the archive's own machine";
/// What clouds tell their machines, secrets among it, stands behind.
const CLOUD: &str = "a cloud's service for its machines";

/// Why an address is not called: a sentence for whoever named it, without the address itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfReach(String);

/// Addresses from the first bits on; IPv4 ones as they are mapped into IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Net {
    first: u128,
    bits: u8,
}

/// Networks that no word, name or wider network means, and what they are.
const SPECIAL: &[(Net, &str)] = &[
    (Net::v4([0, 0, 0, 0], 8), "no address of anybody"),
    (Net::v4([127, 0, 0, 0], 8), OWN),
    (Net::v4([169, 254, 0, 0], 16), "link-local"),
    (Net::v4([100, 100, 100, 200], 32), CLOUD),
    (Net::v4([168, 63, 129, 16], 32), CLOUD),
    (Net::v4([224, 0, 0, 0], 4), "multicast"),
    (Net::v4([240, 0, 0, 0], 4), "reserved"),
    (Net { first: 0, bits: 128 }, "no address of anybody"),
    (Net { first: 1, bits: 128 }, OWN),
    (Net { first: 0xfe80 << 112, bits: 10 }, "link-local"),
    (Net { first: (0xfd00_0ec2 << 96) | 0x254, bits: 128 }, CLOUD),
    (Net { first: (0xfd20_00ce << 96) | 0x254, bits: 128 }, CLOUD),
    (Net { first: 0xff00 << 112, bits: 8 }, "multicast"),
];

impl Net {
    const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Self {
        Self { first: Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().to_bits(), bits: MAPPED + bits }
    }

    fn has(self, address: u128) -> bool {
        self.masked(address) == self.first
    }

    /// The bits that count of an address.
    fn masked(self, address: u128) -> u128 {
        address & u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0)
    }

    fn lies_in(self, wider: Self) -> bool {
        self.bits >= wider.bits && wider.has(self.first)
    }

    /// `10.56.0.0/16`, `fd00::/8`, or one address; none of what is no number.
    fn parse(text: &str) -> Option<Result<Self, String>> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let (most, front) = if address.is_ipv4() { (32, MAPPED) } else { (128, 0) };
        let bits = match bits.map(str::parse::<u8>) {
            None => most,
            Some(Ok(bits)) if bits <= most => bits,
            Some(_) => return Some(Err(format!("{text:?}: the length of a network is 0 to {most}"))),
        };
        let first = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let net = Self { first, bits: front.saturating_add(bits) };
        if net.masked(first) != first {
            return Some(Err(format!("{text:?}: the address of a network has no bits behind its length")));
        }
        Some(Ok(net))
    }
}

/// An address as it is called in the end: IPv4 in whatever form of IPv6 it hides is itself.
pub fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let four = match six.segments() {
        // Mapped; translated by a host; by a network's NAT64, of everybody's prefix and of its own.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some((high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => Some((high, low)),
        // Compatible, of old; the loopback address and that of nobody are none.
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => Some((high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    let itself = |(high, low): (u16, u16)| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    four.map_or(address, |four| IpAddr::V4(itself(four)))
}

/// An address as networks are compared with it.
fn bits(address: IpAddr) -> u128 {
    match plain(address) {
        IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// Whom an entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whom {
    Any,
    Net(Net),
    /// A host by its name, in small letters.
    Host(String),
    /// Every host below a name, with the dot in front of it.
    Below(String),
}

/// One entry: whom, and at which ports.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    whom: Whom,
    ports: (u16, u16),
}

impl Entry {
    /// `any`, an address, a network, a host or `*.` and a domain; behind it may stand a port, or two as `8000-8099`.
    fn parse(text: &str) -> Result<Vec<Self>, String> {
        let (whom, ports) = split(text)?;
        let whom = whom.to_ascii_lowercase();
        let one = |whom| Ok(vec![Self { whom, ports }]);
        match whom.as_str() {
            "any" => return one(Whom::Any),
            "localhost" => {
                let nets = [Net::v4([127, 0, 0, 0], 8), Net { first: 1, bits: 128 }];
                return Ok(nets.map(|net| Self { whom: Whom::Net(net), ports }).to_vec());
            }
            _ => {}
        }
        if let Some(net) = Net::parse(&whom) {
            return one(Whom::Net(net?));
        }
        let (name, below) = whom.strip_prefix("*.").map_or((whom.as_str(), false), |name| (name, true));
        if !is_name(name) {
            return Err(format!("{text:?} is neither any, nor an address, a network, a host or *. and a domain"));
        }
        one(if below { Whom::Below(format!(".{name}")) } else { Whom::Host(name.to_owned()) })
    }

    fn is_at(&self, port: u16) -> bool {
        (self.ports.0..=self.ports.1).contains(&port)
    }

    fn names(&self, host: &str) -> bool {
        match &self.whom {
            Whom::Host(name) => name == host,
            Whom::Below(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
            Whom::Any | Whom::Net(_) => false,
        }
    }

    /// Whether it means an address that a host led to; of one that is special, or the machine's own, only by its number.
    fn means(&self, host: &str, address: u128, special: Option<Net>, own: bool) -> bool {
        match self.whom {
            Whom::Net(net) => {
                net.has(address) && special.map_or(!own || net.bits == 128, |special| net.lies_in(special))
            }
            Whom::Any => special.is_none() && !own,
            Whom::Host(_) | Whom::Below(_) => special.is_none() && !own && self.names(host),
        }
    }
}

/// What stands in front of a port, and the ports.
fn split(text: &str) -> Result<(&str, (u16, u16)), String> {
    let wrong = || format!("{text:?}: a port is a number from 1 to 65535, or two as 8000-8099");
    let (whom, ports) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((whom, "")) => (whom, None),
        Some((whom, rest)) => (whom, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
        None => match text.split_once(':') {
            Some((whom, port)) if !port.contains(':') => (whom, Some(port)),
            _ => (text, None),
        },
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    let Some(ports) = ports else { return Ok((whom, (1, u16::MAX))) };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let ports = (number(first)?, number(last)?);
    if ports.0 > ports.1 { Err(wrong()) } else { Ok((whom, ports)) }
}

/// A host name as DNS has it, which nobody reads as an address.
fn is_name(text: &str) -> bool {
    let good = |label: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(letters)
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    // 127.1, 0x7f000001 and 2130706433 are read as addresses by many.
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x");
    text.len() <= NAME_MAX && text.split('.').all(good) && !is_number
}

/// A host of a URL.
enum Host {
    Address(IpAddr),
    /// In small letters, without the dot at its end.
    Name(String),
}

impl Host {
    /// Reads a host, an IPv6 address with its brackets or without.
    fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = inner.parse() {
            return Some(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        is_name(name).then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

/// Where calls may lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    entries: Vec<Entry>,
    /// Whether the machine itself may be called, too.
    own: bool,
}

impl Default for Reach {
    /// Everywhere but to what is special.
    fn default() -> Self {
        Self { entries: vec![Entry { whom: Whom::Any, ports: (1, u16::MAX) }], own: false }
    }
}

impl Reach {
    /// Reads entries; none at all: nobody is called.
    ///
    /// # Errors
    /// Which entry is wrong, and what is expected.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, String> {
        let entries = entries.iter().map(|one| Entry::parse(one.as_ref().trim())).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { entries: entries.into_iter().flatten().collect(), own: false })
    }

    /// Nobody is called.
    #[must_use]
    pub const fn nowhere() -> Self {
        Self { entries: Vec::new(), own: false }
    }

    /// The same, and the machine itself: where everybody who may name an address is at the machine.
    #[must_use]
    pub fn with_own(self) -> Self {
        Self { own: true, ..self }
    }

    /// Whether a host may be called at a port as far as it can be told without asking for its address.
    ///
    /// # Errors
    /// Why not.
    pub fn check_host(&self, host: &str, port: u16) -> Result<(), OutOfReach> {
        let form = || match host.is_ascii() {
            true => OutOfReach("a host is a name, or an address as four numbers or in brackets".into()),
            false => OutOfReach("a host with letters beyond ASCII is written as xn--...".into()),
        };
        match Host::parse(host).ok_or_else(form)? {
            Host::Address(address) => self.check(host, address, port, false),
            Host::Name(name) if name == "localhost" || name.ends_with(".localhost") => {
                let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                let [four, six] = loopback.map(|address| self.check(&name, address, port, true));
                four.or(six)
            }
            Host::Name(name) => {
                // What it leads to may lie in a network, and is looked at when it is called.
                let may =
                    |one: &Entry| one.is_at(port) && (one.names(&name) || matches!(one.whom, Whom::Any | Whom::Net(_)));
                if self.entries.iter().any(may) { Ok(()) } else { Err(unlisted()) }
            }
        }
    }

    /// Whether an address may be called at a port that a host, or the address itself, led to; `own` says whether it is the
    /// machine's.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, host: &str, address: IpAddr, port: u16, own: bool) -> Result<(), OutOfReach> {
        let address = bits(address);
        let special = SPECIAL.iter().find(|(net, _)| net.has(address));
        let own = own || special.is_some_and(|(_, what)| *what == OWN);
        if self.own && own {
            return Ok(());
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let net = special.map(|(net, _)| *net);
        if self.entries.iter().any(|one| one.is_at(port) && one.means(&host, address, net, own)) {
            return Ok(());
        }
        match (special, own) {
            (Some((_, what)), _) => Err(called(what)),
            (None, true) => Err(called(OWN)),
            (None, false) => Err(unlisted()),
        }
    }

    /// Whether a URL of http or https may be called, as [`Reach::check_host`].
    ///
    /// # Errors
    /// Why not.
    pub fn check_url(&self, url: &str) -> Result<(), OutOfReach> {
        let (rest, port) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (rest, 443),
            (None, Some(rest)) => (rest, 80),
            (None, None) => return Err(OutOfReach("a URL begins with https:// or http://".into())),
        };
        let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
        let wrong = || OutOfReach("the port of a URL is a number from 1 to 65535".into());
        let (host, port) = match authority.rsplit_once(':').filter(|(_, last)| !last.ends_with(']')) {
            None => (authority, port),
            Some((host, "")) => (host, port),
            Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?),
        };
        self.check_host(host, port)
    }
}

fn called(what: &str) -> OutOfReach {
    OutOfReach(format!("the address is {what}: it is called only where calls.allow names it"))
}

fn unlisted() -> OutOfReach {
    OutOfReach("the host and its port are not among those that calls.allow names".into())
}

#[cfg(test)]
mod tests;
