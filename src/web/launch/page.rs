//! The pages of launch links: a list of studies, the word that they are still to come, and why a link does not open.
//!
//! Made here from what was found, every value escaped; Vietnamese first, English beside it.

use super::roles::Rights;
use crate::app::Call;
use crate::charts::studies::{value, viewer_path};
use crate::html::escaped;
use crate::problem::{Kind, Problem};
use crate::start_page::POLICY;
use archive::FoundRow;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::attribute::key;
use model::chart::{Order, OrderState};
use std::fmt::Write as _;

/// The studies of a session, or that none has come yet; and how many are not shown because another patient has images under
/// their UIDs.
pub(super) fn studies(call: &Call, rows: &[(FoundRow, Vec<Order>)], withheld: usize, rights: Rights) -> Response {
    let base = call.base_path();
    let not_shown = match withheld {
        0 => String::new(),
        count => format!(
            "<p>{count} ca chụp không hiển thị: dưới mã (UID) của ca có ảnh của nhiều người bệnh. \
             Hãy báo người quản lý kho ảnh.</p><p class=\"soft\" lang=\"en\">{count} of the studies are not shown: \
             images of more than one patient lie under their UIDs. Tell the archive's steward.</p>"
        ),
    };
    if rows.is_empty() && withheld > 0 {
        return page(call, StatusCode::OK, format!("<h1>Không mở được ảnh</h1>{not_shown}"), false);
    }
    if rows.is_empty() {
        return page(call, StatusCode::OK, waiting(&base), true);
    }
    let list: String = rows.iter().map(|(row, orders)| line(&base, row, orders, rights)).collect();
    let head = "<h1>Ca chụp</h1><p class=\"soft\" lang=\"en\">Studies</p>";
    page(call, StatusCode::OK, format!("{head}<ol class=\"found\">{list}</ol>{not_shown}"), false)
}

/// A study of the list: a link where its images may be seen, with its orders where those may be.
fn line(base: &str, row: &FoundRow, orders: &[Order], rights: Rights) -> String {
    let text = |key| escaped(value(row, key));
    let mut inside = format!(
        "<span class=\"what\"><strong>{}</strong> {}</span><span class=\"when\">{}</span><span class=\"who\">{} · {}</span>",
        text(key::MODALITIES_IN_STUDY).replace('\\', " "),
        text(key::STUDY_DESCRIPTION),
        escaped(&day(value(row, key::STUDY_DATE))),
        escaped(&person(value(row, key::PATIENT_NAME))),
        text(key::PATIENT_ID),
    );
    for order in orders {
        let (state, english) = state(order.state);
        let _ = write!(
            inside,
            "<span class=\"order\">Chỉ định {}: {} · {state} <span lang=\"en\">({english})</span></span>",
            escaped(&order.placer),
            escaped(&order.procedure),
        );
    }
    if rights.images {
        let (base, path) = (escaped(base), escaped(&viewer_path(&row.study)));
        return format!("<li><a href=\"{base}{path}\">{inside}</a></li>");
    }
    format!("<li><div>{inside}</div></li>")
}

/// The state of an order, for people.
fn state(state: OrderState) -> (&'static str, &'static str) {
    match state {
        OrderState::Scheduled => ("chờ thực hiện", "scheduled"),
        OrderState::InProgress => ("đang thực hiện", "in progress"),
        OrderState::Completed => ("đã thực hiện", "completed"),
        OrderState::Canceled => ("đã hủy", "canceled"),
        OrderState::Discontinued => ("đã dừng", "discontinued"),
    }
}

fn waiting(base: &str) -> String {
    format!(
        "<div id=\"wait\" data-state=\"{}/viewer/iid/state\" role=\"status\"><p class=\"dots\" aria-hidden=\"true\">\
         <span></span><span></span><span></span></p><h1>Chưa nhận được ảnh</h1>\
         <p>Trang này tự cập nhật và mở ảnh ngay khi ảnh đến.</p>\
         <p class=\"soft\" lang=\"en\"><strong>Not yet received.</strong> \
         This page updates itself and opens the images when they come.</p></div>",
        escaped(base)
    )
}

/// The page of a link whose parameters stand behind a `#`, which no browser sends: it posts them.
pub(super) fn fragment(call: &Call) -> Response {
    let body = "<div id=\"posted\" role=\"status\"><p class=\"dots\" aria-hidden=\"true\"><span></span><span></span><span></span></p>\
                <h1>Đang mở ảnh</h1><p class=\"soft\" lang=\"en\">Opening the images.</p>\
                <noscript><p>Trình duyệt cần JavaScript. <span lang=\"en\">JavaScript is needed.</span></p></noscript></div>";
    page(call, StatusCode::OK, body.to_owned(), false)
}

/// Why a link does not open, for people.
pub(super) fn refused(call: &Call, problem: &Problem) -> Response {
    let (vietnamese, english) = match problem.kind {
        Kind::LaunchRefused => (
            "Liên kết không mở được: đã hết hạn, đã dùng hoặc không hợp lệ. Hãy mở lại từ phần mềm bệnh viện.",
            "The link does not open: it has expired, was used, or is not valid. Open it again from the hospital's system.",
        ),
        Kind::Unavailable | Kind::Busy => (
            "Kho ảnh tạm thời chưa trả lời được. Hãy thử lại sau ít phút.",
            "The archive cannot answer now. Try again in a few minutes.",
        ),
        _ => (
            "Liên kết không đúng. Hãy báo cho quản trị viên phần mềm bệnh viện.",
            "The link is wrong. Tell the administrator of the hospital's system.",
        ),
    };
    let detail = escaped(&problem.detail);
    let body = format!(
        "<h1>Không mở được ảnh</h1><p>{vietnamese}</p><p class=\"soft\" lang=\"en\">{english}</p>\
         <p class=\"soft\" lang=\"en\"><small>{detail}.</small></p>"
    );
    page(call, problem.kind.status(), body, false)
}

fn page(call: &Call, status: StatusCode, body: String, waits: bool) -> Response {
    let base = escaped(&call.base_path());
    // Without scripts the page is asked again as a whole.
    let again = if waits { "<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>" } else { "" };
    let text = format!(
        "<!doctype html><html lang=\"vi\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Kho ảnh</title>{again}\
         <link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"{base}/page/style.css\">\
         <link rel=\"stylesheet\" href=\"{base}/page/launch.css\">\
         <script src=\"{base}/page/launch.js\" defer></script></head>\
         <body><main class=\"launch\">{body}</main></body></html>"
    );
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// A date as it is written in Viet Nam.
pub(crate) fn day(text: &str) -> String {
    match (text.get(..4), text.get(4..6), text.get(6..8)) {
        (Some(year), Some(month), Some(day)) => format!("{day}/{month}/{year}"),
        _ => text.to_owned(),
    }
}

/// A name in one piece, as it is said in Viet Nam: family, middle and given name, in which order PN has them otherwise.
pub(crate) fn person(text: &str) -> String {
    let first = text.split('=').next().unwrap_or_default();
    let mut parts: Vec<&str> = first.split('^').map(str::trim).collect();
    if let Some([given, middle]) = parts.get_mut(1..3) {
        std::mem::swap(given, middle);
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place() {
        assert_eq!(escaped("<b a=\"x\">'&"), "&lt;b a=&quot;x&quot;&gt;&#39;&amp;");
        assert_eq!((day("20261128"), day("2026")), ("28/11/2026".into(), "2026".into()));
        assert_eq!(person("Nguyễn^An^Văn=阮"), "Nguyễn Văn An");
        assert_eq!(
            (person("NGUYEN^VAN AN"), person("Lê^Cúc^Thị Thu^")),
            ("NGUYEN VAN AN".into(), "Lê Thị Thu Cúc".into())
        );
    }
}
