//! The pages of patients' links: for a telephone held upright, without a script, Vietnamese with English beside it.

use super::Shown;
use crate::app::Call;
use crate::charts::studies::{value, viewer_path};
use crate::html::escaped;
use crate::launch::{Session, day, person};
use crate::problem::{Kind, Problem};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::attribute::key;
use std::fmt::Write as _;

/// The page's own style and pictures of this service, forms to it, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
/// What has no picture.
const WITHOUT_PICTURE: [&str; 9] = ["SR", "KO", "PR", "SEG", "REG", "RTSTRUCT", "RTPLAN", "DOC", "ANN"];
/// Pixels of the larger picture.
const LARGE: &str = "1200,1200";

/// One thing in both languages.
fn both(tag: &str, vietnamese: &str, english: &str) -> String {
    format!("<{tag}>{vietnamese}</{tag}><p class=\"soft\" lang=\"en\">{english}</p>")
}

/// The page that asks for birth date and code: the same for every address.
pub(super) fn form(call: &Call, status: StatusCode, again: bool) -> Response {
    let refused = if again {
        let vietnamese = "Chưa mở được. Hãy kiểm tra ngày sinh và mã số. Sau vài lần sai, phải đợi (tối đa một giờ) trước \
                          khi thử lại; sai nhiều lần thì liên kết bị khóa. Liên kết cũng có thể đã hết hạn hoặc bị thu hồi. \
                          Nếu vẫn không mở được, hãy xin liên kết mới ở quầy của bệnh viện và mang theo giấy tờ tùy thân.";
        let english = "It did not open. Check birth date and code. After a few wrong tries you have to wait (an hour at \
                       most) before the next one; many wrong tries lock the link. The link may also have expired or been \
                       taken back. If it still does not open, ask the hospital's desk for a new one and bring your papers.";
        format!("<div class=\"refused\" role=\"alert\">{}</div>", both("p", vietnamese, english))
    } else {
        String::new()
    };
    let head = both("h1", "Xem ảnh chụp của bạn", "See your images");
    let body = format!(
        "{head}{refused}<form method=\"post\" autocomplete=\"off\">\
         <label for=\"birth\">Ngày sinh của người bệnh (ngày/tháng/năm) <span lang=\"en\">· Patient's birth date \
         (day/month/year)</span></label>\
         <input id=\"birth\" name=\"birth\" inputmode=\"text\" placeholder=\"ngày/tháng/năm\" maxlength=\"32\" required>\
         <label for=\"code\">Mã số 6 chữ số trên tờ kèm theo <span lang=\"en\">· 6-digit code on the second sheet</span></label>\
         <input id=\"code\" name=\"code\" inputmode=\"numeric\" maxlength=\"16\" required>\
         <button class=\"main\">Mở <span lang=\"en\">· Open</span></button></form>"
    );
    page(call, status, &body)
}

/// A link that was right in everything, and is over.
pub(super) fn over(call: &Call, revoked: bool) -> Response {
    let body = if revoked {
        both("h1", "Liên kết đã bị thu hồi", "The link was taken back")
    } else {
        both("h1", "Liên kết đã hết hạn", "The link has expired")
    };
    let what = both(
        "p",
        "Hãy xin liên kết mới ở quầy của bệnh viện và mang theo giấy tờ tùy thân.",
        "Ask the hospital's desk for a new link and bring your papers.",
    );
    page(call, StatusCode::GONE, &format!("{body}{what}"))
}

/// Nothing is open here.
pub(super) fn ended(call: &Call) -> Response {
    let head = both("h1", "Đã đóng", "Closed");
    let what = both(
        "p",
        "Muốn xem lại, hãy quét mã QR trên tờ giấy một lần nữa.",
        "To see the images again, scan the QR code on the paper once more.",
    );
    page(call, StatusCode::OK, &format!("{head}{what}"))
}

/// What went wrong with the service.
pub(super) fn failed(call: &Call, problem: &Problem) -> Response {
    let (vietnamese, english) = match problem.kind {
        Kind::Unavailable | Kind::Busy | Kind::OutOfSpace => (
            "Kho ảnh tạm thời chưa trả lời được. Hãy thử lại sau ít phút.",
            "The archive cannot answer now. Try again in a few minutes.",
        ),
        _ => (
            "Trang này không mở được. Hãy quét lại mã QR; nếu vẫn không được, hãy hỏi quầy của bệnh viện.",
            "This page does not open. Scan the QR code again; if that does not help, ask the hospital's desk.",
        ),
    };
    let head = both("h1", "Không mở được", "It does not open");
    page(call, problem.kind.status(), &format!("{head}{}", both("p", vietnamese, english)))
}

/// The studies of an open link.
pub(super) fn studies(
    call: &Call,
    session: &Session,
    shown: &[Shown],
    (destroyed, withheld): (usize, usize),
) -> Response {
    let (facilities, _) = call.app.archive.sources();
    let hospital = facilities.iter().find(|one| one.code == session.facility).map_or("", |one| one.name.as_str());
    let mut body = format!(
        "<p class=\"for\">Dành cho người bệnh <span lang=\"en\">· For the patient</span></p>\
                            <h1>{}</h1>",
        escaped(hospital)
    );
    if let Some(first) = shown.first() {
        let _ = write!(body, "<p class=\"person\">{}</p>", escaped(&person(value(&first.row, key::PATIENT_NAME))));
    }
    for one in shown {
        body.push_str(&study(call, session, one));
    }
    if destroyed > 0 {
        body.push_str(&both(
            "p",
            &format!("{destroyed} ca chụp đã được hủy theo quy định của pháp luật vì hết thời hạn lưu trữ."),
            &format!("{destroyed} of the studies are gone: destroyed by law when their retention time was over."),
        ));
    }
    if withheld > 0 {
        body.push_str(&both(
            "p",
            &format!("{withheld} ca chụp hiện không xem được ở đây. Hãy hỏi quầy của bệnh viện."),
            &format!("{withheld} of the studies cannot be seen here now. Ask the hospital's desk."),
        ));
    }
    let _ = write!(
        body,
        "<form method=\"post\" action=\"{}/share\"><button class=\"plain\">Đóng <span lang=\"en\">· Close</span></button></form>",
        escaped(&call.base_path())
    );
    page(call, StatusCode::OK, &body)
}

fn study(call: &Call, session: &Session, one: &Shown) -> String {
    let (row, base) = (&one.row, escaped(&call.base_path()));
    let of = format!("{base}/facilities/{}/dicom-web/studies/{}", row.facility, escaped(row.study.as_str()));
    let (about, kinds) = (value(row, key::STUDY_DESCRIPTION), value(row, key::MODALITIES_IN_STUDY).replace('\\', " "));
    // Many descriptions begin with what the study was made with.
    let kinds = if about.starts_with(&kinds) { String::new() } else { kinds };
    let mut out = format!(
        "<section class=\"shared\"><h2>{} {}</h2><p class=\"soft\">{}</p><ul class=\"pictures\">",
        escaped(&kinds),
        escaped(about),
        escaped(&day(value(row, key::STUDY_DATE))),
    );
    for series in one.series.iter().filter(|series| !WITHOUT_PICTURE.contains(&value(series, key::MODALITY))) {
        let Some(uid) = &series.series else { continue };
        let picture = format!("{of}/series/{}/thumbnail", escaped(uid.as_str()));
        let name = escaped(value(series, key::SERIES_DESCRIPTION));
        let _ = write!(
            out,
            "<li><a href=\"{picture}?viewport={LARGE}\"><img src=\"{picture}\" alt=\"Ảnh chụp {name}\" loading=\"lazy\" \
             width=\"128\" height=\"128\"><span>{name}</span></a></li>"
        );
    }
    out.push_str("</ul><p class=\"actions\">");
    if call.app.viewer.is_some() {
        let path = escaped(&viewer_path(&row.study));
        let _ = write!(
            out,
            "<a class=\"main\" href=\"{base}{path}\">Xem tất cả ảnh <span lang=\"en\">· All images</span></a>"
        );
    }
    if session.rights.download {
        let _ = write!(
            out,
            "<a class=\"plain\" href=\"{of}?accept=application/zip\">Tải về <span lang=\"en\">· Download (DICOM)</span></a>"
        );
    }
    out.push_str("</p></section>");
    out
}

fn page(call: &Call, status: StatusCode, body: &str) -> Response {
    let base = escaped(&call.base_path());
    let text = format!(
        "<!doctype html><html lang=\"vi\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Ảnh chụp · Images</title>\
         <link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"{base}/page/style.css\">\
         <link rel=\"stylesheet\" href=\"{base}/page/share.css\"></head>\
         <body><main class=\"share\">{body}</main></body></html>"
    );
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
