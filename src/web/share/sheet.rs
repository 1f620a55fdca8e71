//! What the desk prints: a sheet with the QR code, and a second one with the code of the link, to be kept apart.
//!
//! One file that needs nothing else, so that it prints the same from a browser, a mail or a disk.

use crate::html::escaped;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qrcodegen::{QrCode, QrCodeEcc};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Light modules around a QR code (ISO/IEC 18004 asks for four).
const QUIET: i32 = 4;
const STYLE: &str = "body{font:13pt/1.45 'Noto Sans','Segoe UI',Arial,sans-serif;color:#000;background:#fff;margin:0}\
section{max-width:18cm;margin:0 auto;padding:1cm}h1{font-size:17pt;margin:0 0 .2cm}h2{font-size:14pt;margin:.4cm 0 .1cm}\
p{margin:.15cm 0}.en{color:#333;font-size:10.5pt}.qr{width:5.2cm;height:5.2cm;display:block;margin:.5cm 0}\
.link{font:10pt/1.3 monospace;overflow-wrap:anywhere}.code{font:30pt/1.2 monospace;letter-spacing:.25em;margin:.4cm 0}\
.cut{border-top:1px dashed #000;break-before:page}li{margin:.15cm 0}";

/// What stands on the sheets.
#[derive(Debug, Clone, Copy)]
pub struct Sheet<'a> {
    /// Name of the hospital.
    pub hospital: &'a str,
    /// Address of the link.
    pub link: &'a str,
    /// Code of the link.
    pub code: &'a str,
    /// Last day it is valid, as people write it.
    pub until: &'a str,
    /// What tells the two sheets of one link from those of another.
    pub mark: &'a str,
}

/// A QR code as a picture (SVG); none of a text that is too long for one.
pub(crate) fn qr(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let (size, mut path) = (code.size(), String::new());
    for y in 0..size {
        for x in (0..size).filter(|x| code.get_module(*x, y)) {
            let _ = write!(path, "M{} {}h1v1h-1z", x.saturating_add(QUIET), y.saturating_add(QUIET));
        }
    }
    let side = size.saturating_add(QUIET.saturating_mul(2));
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"qr\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"QR\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
         <path d=\"{path}\"/></svg>"
    ))
}

/// The policy under which a browser shows the sheets.
pub(crate) fn policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The sheets as a page to print; none where the address is too long for a QR code.
pub fn html(sheet: &Sheet<'_>) -> Option<String> {
    let qr = qr(sheet.link)?;
    let [hospital, link, code, until, mark] =
        [sheet.hospital, sheet.link, sheet.code, sheet.until, sheet.mark].map(escaped);
    Some(format!(
        "<!doctype html><html lang=\"vi\"><head><meta charset=\"utf-8\"><meta name=\"robots\" content=\"noindex\">\
         <title>Mã QR xem ảnh chụp</title><style>{STYLE}</style></head><body>\
         <section><h1>{hospital}</h1><h2>Xem ảnh chụp của bạn</h2><p class=\"en\" lang=\"en\">See your images</p>{qr}\
         <p class=\"link\">{link}</p>\
         <ol><li>Quét mã QR bằng điện thoại, hoặc gõ địa chỉ trên vào trình duyệt.<br>\
         <span class=\"en\" lang=\"en\">Scan the QR code with a telephone, or type the address into a browser.</span></li>\
         <li>Nhập ngày sinh của người bệnh và mã số 6 chữ số trên tờ thứ hai.<br>\
         <span class=\"en\" lang=\"en\">Enter the patient's birth date and the 6-digit code of the second sheet.</span></li></ol>\
         <p>Xem được đến hết ngày <strong>{until}</strong>. Cất riêng tờ thứ hai; ai có cả hai tờ và biết ngày sinh thì xem \
         được ảnh. Mất giấy: báo bệnh viện để thu hồi.</p>\
         <p class=\"en\" lang=\"en\">Valid until the end of <strong>{until}</strong> (day/month/year). Keep the second sheet \
         apart: who has both and knows the birth date sees the images. If you lose them, tell the hospital to take the link \
         back.</p><p class=\"en\">{mark}</p></section>\
         <section class=\"cut\"><h1>{hospital}</h1><h2>Mã số để xem ảnh chụp</h2>\
         <p class=\"en\" lang=\"en\">Code to see the images</p><p class=\"code\">{code}</p>\
         <p>Cất riêng tờ này, không để chung với tờ có mã QR.</p>\
         <p class=\"en\" lang=\"en\">Keep this sheet apart from the one with the QR code.</p><p class=\"en\">{mark}</p>\
         </section></body></html>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_says_who_until_when_and_how_and_keeps_the_code_apart() {
        let link = "https://anh.example.vn/share/0123456789abcdefghjkmnpqrs";
        let sheet = Sheet { hospital: "Bệnh viện <A>", link, code: "987650", until: "31/12/2036", mark: "ab12" };
        let page = html(&sheet).expect("a page");
        let (first, second) = page.split_once("class=\"cut\"").expect("two sheets");
        assert!(first.contains(link) && first.contains("31/12/2036") && first.contains("<svg"));
        assert!(!first.contains("987650") && second.contains("987650"));
        assert!(page.contains("Bệnh viện &lt;A&gt;") && !page.contains("<A>"));
        assert!(!page.contains("http://") || page.matches("http://").count() == 1, "nothing but the name of SVG");
        assert!(qr(&"x".repeat(4_000)).is_none() && html(&Sheet { link: &"x".repeat(4_000), ..sheet }).is_none());
    }

    #[test]
    fn a_qr_code_of_a_link_is_small() {
        let svg = qr("https://anh.example.vn/share/0123456789abcdefghjkmnpqrs").expect("a code");
        // Version 4, 33 modules, and the quiet zone.
        assert!(svg.contains("viewBox=\"0 0 41 41\""), "{}", svg.get(..120).unwrap_or_default());
    }
}
