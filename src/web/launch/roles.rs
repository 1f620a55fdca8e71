//! What a session may reach, by the role and the purpose that its link was signed for.
//!
//! The names are those that hospitals' systems send, in English or Vietnamese, with marks or without; a role that is not
//! known has the least that lets a viewer show images. Deliberately not here: which studies a session reads.

use super::claim::{Claim, Refusal};
use model::name::fold_names;

/// What a session may reach of its studies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Images: searches, metadata, frames, pictures.
    pub(crate) images: bool,
    /// Whole objects, DICOM or ZIP.
    pub(crate) download: bool,
    /// Orders of the studies, in their list.
    pub(crate) orders: bool,
}

/// Images to look at.
pub(crate) const VIEW: Rights = Rights { images: true, download: false, orders: false };
const ALL: Rights = Rights { images: true, download: true, orders: true };
const CARE: Rights = Rights { images: true, download: false, orders: true };
const LIST: Rights = Rights { images: false, download: false, orders: true };

/// A name as it is compared: folded, words by one space.
fn folded(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_alphanumeric() { letter } else { ' ' }).collect();
    fold_names(&plain).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a link is opened in an emergency, past what its person may usually see.
pub(super) fn breaks_glass(purpose: &str) -> bool {
    let names = ["BTG", "BREAK GLASS", "BREAK THE GLASS", "BREAKGLASS", "ETREAT", "EMERGENCY", "CAP CUU"];
    names.contains(&folded(purpose).as_str())
}

/// The rights of a link.
pub(super) fn of(claim: &Claim) -> Result<Rights, Refusal> {
    let by_role = match folded(&claim.role).as_str() {
        "DOCTOR" | "PHYSICIAN" | "RADIOLOGIST" | "SURGEON" | "BAC SI" | "BS" => ALL,
        "NURSE" | "TECHNICIAN" | "TECHNOLOGIST" | "RADIOGRAPHER" | "DIEU DUONG" | "KY THUAT VIEN" | "KTV" => CARE,
        "CLERK" | "RECEPTION" | "RECEPTIONIST" | "INSURANCE" | "TIEP DON" | "GIAM DINH" => LIST,
        "PATIENT" | "GUEST" | "NGUOI BENH" | "BENH NHAN" => return Err(Refusal::Role),
        _ => VIEW,
    };
    let treats = ["", "TREAT", "TREATMENT", "CARE", "DIEU TRI", "KHAM BENH"];
    if treats.contains(&folded(&claim.purpose).as_str()) || breaks_glass(&claim.purpose) {
        return Ok(by_role);
    }
    // Whatever else it is for takes nothing along.
    Ok(Rights { download: false, ..by_role })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_known_as_they_are_written() {
        let claim = |role: &str, purpose: &str| Claim {
            facility: model::FacilityCode::DEMO,
            user: "an".into(),
            role: role.into(),
            purpose: purpose.into(),
            patient: None,
            studies: Vec::new(),
            accession: None,
            id: "1".into(),
            expires: 1,
            issued: None,
            not_before: None,
            lasts: false,
            whose: None,
        };
        for (role, purpose, rights) in [
            ("doctor", "treatment", ALL),
            ("Bác sĩ", "Điều trị", ALL),
            ("BS", "", ALL),
            ("Doctor", "break-glass", ALL),
            ("doctor", "research", Rights { download: false, ..ALL }),
            ("Kỹ thuật viên", "TREAT", CARE),
            ("tiếp đón", "", LIST),
            ("", "", VIEW),
            ("somebody", "treatment", VIEW),
        ] {
            assert_eq!(of(&claim(role, purpose)), Ok(rights), "{role} {purpose}");
        }
        assert_eq!(of(&claim("người bệnh", "")), Err(Refusal::Role));
        assert!(breaks_glass("BTG") && breaks_glass("cấp cứu") && !breaks_glass("treatment") && !breaks_glass(""));
    }
}
