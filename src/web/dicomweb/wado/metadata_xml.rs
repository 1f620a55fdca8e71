//! Metadata as the Native DICOM Model (PS3.19 Annex A): one part of `application/dicom+xml` per instance, written from
//! the same documents as the JSON, while it is sent.

use super::metadata::{fetch, plain, see};
use super::{encoding, multipart};
use crate::app::Call;
use crate::dicomweb::multipart::Multipart;
use crate::dicomweb::warn;
use crate::problem::Problem;
use archive::{Archive, Target};
use axum::response::Response;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Answers with the metadata of a target in XML.
pub(super) async fn retrieve(target: Target, call: Call) -> Result<Response, Problem> {
    let (caller, scope, root) = (call.caller.clone(), call.scope, call.service_root());
    let (base, as_received) = (root.clone(), super::as_received(&call)?);
    let seen = call.seen.clone();
    let find = move |archive: &Arc<Archive>| {
        let found = fetch(archive, &caller, scope, (&target, as_received), (&base, "xml"))?;
        see(&seen, &found.0, &target);
        Ok(found)
    };
    let (series, tag, notes) = call.blocking(find).await?;
    let permit = Arc::new(encoding::permit(&call.app).await?);
    let mut answer = Multipart::new();
    let mut first = true;
    for part in series {
        let (root, permit, at_start) = (root.clone(), Arc::clone(&permit), std::mem::take(&mut first));
        // The parts of one series are framed by the thread that writes them: their number is not known before.
        let boundary = answer.boundary().to_owned();
        answer.written(move || {
            let document = plain(&part, &root)?;
            let source = encoding::written_by(move |out| {
                let mut each = Each { out, boundary: &boundary, at_start };
                let mut reader = serde_json::Deserializer::from_slice(&document);
                reader.deserialize_seq(&mut each).map_err(io::Error::other)
            })?;
            Ok(encoding::held(source, permit))
        });
    }
    let mut response = multipart(&call.parts.headers, answer, "application/dicom+xml", &format!("\"{tag}\""));
    warn(&mut response, &notes);
    Ok(response)
}

/// Writes every instance of a JSON array as it is read: one instance is in memory at a time.
struct Each<'a, W> {
    out: &'a mut W,
    boundary: &'a str,
    at_start: bool,
}

impl<'de, W: io::Write> Visitor<'de> for &mut Each<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of instances")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut instances: A) -> Result<(), A::Error> {
        while instances.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }
}

impl<'de, W: io::Write> DeserializeSeed<'de> for &mut Each<'_, W> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        let instance = <Map<String, Value> as serde::Deserialize>::deserialize(reader)?;
        let mut text = String::new();
        let line_end = if std::mem::take(&mut self.at_start) { "" } else { "\r\n" };
        text.push_str(&format!("{line_end}--{}\r\nContent-Type: application/dicom+xml\r\n\r\n", self.boundary));
        dataset::xml::document_xml(&instance, &mut text);
        self.out.write_all(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}
