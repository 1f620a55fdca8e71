//! What an operator may do about a call that failed: words for `khoanh echo`, `find`, `get` and `send`.
//!
//! An error says what happened; here stands where to look first. The texts hold no patient data.

use dimse::scu::{Answer, CallError};
use std::io::ErrorKind;

/// Where to look first; empty where the error says all there is. `tls` is whether the call is made over TLS, `within`
/// how many seconds it waits.
pub(super) fn about(error: &CallError, tls: bool, within: u64) -> String {
    let text = match error {
        CallError::Connect { source, .. } => match source.kind() {
            ErrorKind::ConnectionRefused => "nobody listens there: is the port right, and does the other program run?",
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                "nothing came back: is the address right, is the machine on, does a firewall stand between?"
            }
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                "there is no way to it: is the network or the VPN up?"
            }
            _ => "is HOST:PORT right, and is the name known to this machine? A number does as well",
        },
        CallError::Tls(_) if !tls => "call it with --tls",
        CallError::Tls(_) => {
            "does it speak TLS on this port? Else look at --tls-authorities, --tls-name and --tls-fingerprint, and where \
             it asks for a certificate of ours at --tls-certificate and --tls-key"
        }
        CallError::Rejected { why, .. } if why.contains("called") => "--called must be the AE title it goes by",
        CallError::Rejected { why, .. } if why.contains("calling") => {
            "it must know the AE title shown to it (--calling), often together with this machine's address"
        }
        CallError::Rejected { transient: true, .. } => "",
        CallError::Rejected { .. } | CallError::Aborted => "its log says more",
        CallError::Lost(_) if tls => "it hung up: its log says more",
        CallError::Lost(_) => {
            "it hung up: it may take calls from addresses it knows alone, or over TLS alone (--tls), or be no DICOM port"
        }
        CallError::TooSlow => return format!("nothing moved for {within} s (--within): is it busy, or no DICOM port?"),
        CallError::NoContext(_) => {
            "it takes the call and does not offer this to us: its settings for the AE title shown (--calling) say what \
             it offers"
        }
        CallError::Protocol(_) => "is this a DICOM port? Its log says more",
        CallError::Io(_) | CallError::Source(_) | CallError::Unsent(_) => "",
    };
    text.to_owned()
}

/// A status with what it means (PS3.7 annex C, PS3.4 tables B.2-1, C.4-1 to C.4-3), and what its peer adds.
pub(super) fn status(answer: &Answer) -> String {
    let meaning = match answer.status {
        0x0110 => "processing failure: its log says more",
        0x0112 => "no such object",
        0x0117 => "it takes this for no SOP Instance UID",
        0x0122 => "it does not support this SOP class",
        0x0124 => "not authorized: the AE title shown (--calling) may not do this there",
        0x0210 => "duplicate: it is still at the request before",
        0x0211 => "it does not know this command",
        0x0212 => "it finds an argument that does not belong there",
        0x0213 => "it has reached a limit: try again later",
        0xA701 => "out of resources: it cannot count what was asked for",
        0xA702 => "none of it could be sent; its log says more",
        0xA700..=0xA7FF => "out of resources: is its disk full, or is it busy?",
        0xA801 => "it does not know the destination",
        0xA900..=0xA9FF => "it finds that the keys or the object do not fit the request",
        0xB000..=0xBFFF => "done, but not all, or with changes",
        0xC000..=0xCFFF => "it cannot understand or process it: its log says more",
        0xFE00 => "it was cancelled",
        _ => "",
    };
    let mut text = format!("{:04X}", answer.status);
    if !meaning.is_empty() {
        text = format!("{text} ({meaning})");
    }
    // What a peer sends must not steer the terminal.
    let comment = answer.comment.trim().replace(char::is_control, "?");
    if comment.is_empty() { text } else { format!("{text}, it says: {comment}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn every_failure_of_a_call_says_where_to_look() {
        let connect = |kind: ErrorKind| CallError::Connect { address: "pacs:104".into(), source: kind.into() };
        let rejected = |why: &str, transient| CallError::Rejected { why: why.into(), transient };
        let cases = [
            (connect(ErrorKind::ConnectionRefused), "port"),
            (connect(ErrorKind::TimedOut), "firewall"),
            (connect(ErrorKind::NetworkUnreachable), "VPN"),
            (connect(ErrorKind::Other), "HOST:PORT"),
            (CallError::Tls("no".into()), "call it with --tls"),
            (rejected("called AE title not recognized", false), "--called"),
            (rejected("calling AE title not recognized", false), "--calling"),
            (rejected("no reason given", false), "log"),
            (CallError::Aborted, "log"),
            (CallError::Lost("instead of an answer"), "--tls"),
            (CallError::TooSlow, "30 s (--within)"),
            (CallError::NoContext("Verification".into()), "--calling"),
            (CallError::Protocol("nonsense".into()), "DICOM port"),
        ];
        for (error, wanted) in cases {
            let told = about(&error, false, 30);
            assert!(told.contains(wanted), "{error}: {told}");
        }
        assert!(about(&CallError::Tls("no".into()), true, 30).contains("--tls-authorities"));
        assert_eq!(about(&CallError::Source(io::Error::other("gone")), false, 30), "");
    }

    #[test]
    fn a_status_is_told_in_words_with_what_its_peer_adds() {
        let answer = |status, comment: &str| status_of(status, comment);
        assert_eq!(answer(0xA700, ""), "A700 (out of resources: is its disk full, or is it busy?)");
        assert_eq!(answer(0xA801, "who\u{1b}?"), "A801 (it does not know the destination), it says: who??");
        assert_eq!(answer(0x0107, "x"), "0107, it says: x");
        assert!(answer(0xA702, "").contains("none of it could be sent"));
    }

    fn status_of(status: u16, comment: &str) -> String {
        super::status(&Answer { status, comment: comment.into() })
    }
}
