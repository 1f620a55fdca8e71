//! The notification connection of a subscriber (PS3.18 sections 8.10.4 and 8.10.5): a WebSocket (RFC 6455) on which its
//! events come, one text frame each, in order.
//!
//! An event was heard when it was handed to the connection. A subscriber that takes nothing is disconnected; its events
//! wait in the archive's bounded queue. What a client says is not looked at.

use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::ups::{Channel, Event, Turn, UPS_CLASS, Ups};
use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use model::AeTitle;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};

/// Most notification connections at one time.
pub(crate) const SOCKETS_MAX: usize = 1_024;
/// A ping is sent this often.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A client that was not heard for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Longest message of a client in bytes.
const MESSAGE_MAX: usize = 64 << 10;
/// Bytes that wait for the connection before an event waits instead.
const WRITE_BUFFER: usize = 256 << 10;
/// Appended to the client's key (RFC 6455 section 1.3).
const ACCEPT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Opens the connection.
pub(crate) async fn open(mut call: Call) -> Result<Response, Problem> {
    let facility = Ups::facility(&call.caller, call.scope)?;
    let bad = |detail: &str, name: &str| Problem::new(Kind::BadRequest, detail).at(name.to_owned());
    let title =
        AeTitle::parse(call.parameter("aetitle")).map_err(|error| bad(&error.to_string(), "path segment aetitle"))?;
    let headers = &call.parts.headers;
    let says = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if !says(header::UPGRADE, "websocket") || !says(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(bad("events come over a WebSocket of version 13", "header Upgrade"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let key = key.ok_or_else(|| bad("a WebSocket needs its key", "header Sec-WebSocket-Key"))?;
    let accept = accept(key);
    check_origin(&call)?;
    let full = |_| Problem::new(Kind::Busy, format!("{SOCKETS_MAX} subscribers are connected"));
    let place = Arc::clone(&call.app.sockets).try_acquire_owned().map_err(full)?;
    let upgrade = call.parts.extensions.remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| bad("this connection cannot become a WebSocket: use HTTP/1.1", "request"))?;
    let (ups, stall) = (Arc::clone(call.app.archive.ups()), call.app.options.stall_timeout);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => {
                let news = Arc::new(Notify::new());
                let wake = Arc::clone(&news);
                let channel = Arc::new(ups.listen(facility, &title, Some(Box::new(move || wake.notify_one()))));
                serve(connection, &channel, &news, stall, place).await;
            }
            Err(error) => tracing::debug!(%error, "a connection did not become a WebSocket"),
        }
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(Body::empty());
    response.map_err(|_| Problem::new(Kind::Internal, "the answer could not be written"))
}

fn accept(key: &str) -> String {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{}{ACCEPT}", key.trim()).as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// A browser sends its cookie wherever a page wants: a page of another site must not listen in.
fn check_origin(call: &Call) -> Result<(), Problem> {
    let text = |headers: &HeaderMap, name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Some(origin) = text(&call.parts.headers, header::ORIGIN) else { return Ok(()) };
    let host = text(&call.parts.headers, header::HOST).unwrap_or_default();
    let own = origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(&host));
    let public = call.app.options.public_url.as_deref().is_some_and(|url| url.starts_with(&origin));
    let allowed = call.app.options.cors_origins.iter().any(|allowed| allowed == "*" || *allowed == origin);
    if own || public || allowed {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, "pages of this origin may not listen").at("header Origin"))
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

async fn serve(
    connection: Upgraded,
    channel: &Arc<Channel>,
    news: &Notify,
    stall: Duration,
    _place: OwnedSemaphorePermit,
) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER.saturating_add(2 * archive::ups::DOCUMENT_MAX));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await;
    metrics::gauge!("khoanh_web_subscribers").increment(1.0);
    let why = talk(&mut socket, channel, news, stall).await;
    metrics::gauge!("khoanh_web_subscribers").decrement(1.0);
    tracing::debug!(title = %channel.title(), why, "a notification connection ended");
    // Nobody may be there any more.
    let code = CloseFrame { code: CloseCode::Away, reason: why.into() };
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(Some(code))).await;
}

/// Says events until the connection ends; why it does.
async fn talk(socket: &mut Socket, channel: &Arc<Channel>, news: &Notify, stall: Duration) -> &'static str {
    let mut message = 0u16;
    let mut heard = Instant::now();
    let mut ping = tokio::time::interval(PING_EVERY);
    loop {
        match channel.next() {
            Turn::Over => return "somebody else listens, or the archive closes",
            Turn::Event(event) => {
                message = message.wrapping_add(1);
                let text = Message::text(notification(&event, message).to_string());
                match tokio::time::timeout(stall, socket.send(text)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return "the connection broke",
                    Err(_) => return "nothing is taken",
                }
                let channel = Arc::clone(channel);
                if tokio::task::spawn_blocking(move || channel.taken(&event)).await.is_err() {
                    return "a fault of the archive";
                }
                continue;
            }
            Turn::Nothing => {}
        }
        tokio::select! {
            () = news.notified() => {}
            said = socket.next() => match said {
                None | Some(Err(_) | Ok(Message::Close(_))) => return "the client left",
                Some(Ok(_)) => heard = Instant::now(),
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return "the client is silent";
                }
                match tokio::time::timeout(stall, socket.send(Message::Ping(Default::default()))).await {
                    Ok(Ok(())) => {}
                    _ => return "nothing is taken",
                }
            }
        }
    }
}

/// An event as a data set: command and information together (PS3.18 section 8.10.5).
fn notification(event: &Event, message: u16) -> Value {
    let mut out = event.info.clone();
    let commands = [
        ("00000002", "UI", json!(UPS_CLASS)),
        ("00000100", "US", json!(256)),
        ("00000110", "US", json!(message)),
        ("00000800", "US", json!(1)),
        ("00001000", "UI", json!(event.uid.as_str())),
        ("00001002", "US", json!(event.kind.id())),
    ];
    for (name, vr, value) in commands {
        out.insert(name.to_owned(), json!({"vr": vr, "Value": [value]}));
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_key_is_answered_as_the_rfc_shows() {
        assert_eq!(super::accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
