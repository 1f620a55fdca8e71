//! DICOM JSON (PS3.18 Annex F), written straight from the bytes of a data set.
//!
//! Large binary values and all pixel data become a BulkDataURI that [`crate::bulk`] resolves.
//! Text is UTF-8 and Specific Character Set says so; group lengths are left out, as the standard asks.
//! Nothing is built in memory: the output grows as the walk goes.

mod base64;
mod row;
#[cfg(test)]
mod tests;
mod value;

pub use row::attributes_json;
pub(crate) use row::{Node, gather};
pub(crate) use value::split;

use crate::charset::{Charset, Notes};
use crate::error::ScanError;
use crate::limits::Limits;
use crate::resolve::Resolver;
use crate::syntax::{Coding, Syntax};
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};
use model::facility::CharsetHint;
use model::{PixelSpan, Uid};
use std::io::Write;

const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
const AVAILABLE_TRANSFER_SYNTAX: u32 = 0x0008_3002;

/// The bytes of a data set without the value of its pixel data; inflated where the syntax is deflated.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// From the first byte to the pixel element's value (`pixel.value.at`), its header included, which tells its VR.
    /// Without pixel data, the whole data set. Bytes only up to `pixel.header` will do; the VR is then inferred.
    pub before: &'a [u8],
    /// The pixel data element, as the scanner found it.
    pub pixel: Option<PixelSpan>,
    /// From `pixel.end` to the end of the data set.
    pub after: &'a [u8],
}

/// How a data set is written.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// What a BulkDataURI begins with: `<prefix>/bulkdata/<path>`.
    pub prefix: &'a str,
    /// Binary values of more bytes become a BulkDataURI.
    pub bulk_over: u64,
    /// How text without a right label is to be read.
    pub hint: CharsetHint,
    /// Value of Available Transfer Syntax UID (0008,3002), whatever the data set says itself: a viewer tells a video
    /// by it before it asks for frames. None leaves the attribute as it is.
    pub available: Option<&'a str>,
}

impl<'a> Options<'a> {
    /// The usual threshold of 1,024 bytes, text by its label.
    pub fn new(prefix: &'a str) -> Self {
        Self { prefix, bulk_over: 1024, hint: CharsetHint::Auto, available: None }
    }
}

/// Appends the JSON object of a scanned data set to `out`.
/// On an error, which means that the bytes are not those that were scanned, `out` is left as it was.
pub fn instance_json(
    parts: &Parts<'_>,
    transfer_syntax: &Uid,
    options: &Options<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ScanError> {
    let start = out.len();
    let coding = Syntax::of(transfer_syntax.as_str()).coding;
    out.push(b'{');
    let mut writer = Writer::new(options, out);
    let result = write_parts(parts, coding, &mut writer);
    writer.available(u32::MAX);
    out.push(b'}');
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn write_parts(parts: &Parts<'_>, coding: Coding, writer: &mut Writer<'_>) -> Result<(), ScanError> {
    let mut walker = Walker::new(coding, Limits::passed());
    walker.feed(parts.before, writer)?;
    let Some(pixel) = parts.pixel else {
        return walker.finish(writer);
    };
    if !writer.pixel_seen {
        let vr = writer.resolver.pixel_vr(pixel.tag, coding.implicit);
        writer.pixel(pixel.tag, vr);
    }
    let mut walker = Walker::new(coding, Limits::passed());
    walker.jump(pixel.end);
    walker.feed(parts.after, writer)?;
    walker.finish(writer)
}

/// The root or an item.
#[derive(Debug, Clone)]
struct Scope {
    charset: Charset,
    comma: bool,
}

struct Writer<'a> {
    options: &'a Options<'a>,
    out: &'a mut Vec<u8>,
    resolver: Resolver,
    scopes: Vec<Scope>,
    /// Open sequences: tag and items begun.
    sequences: Vec<(u32, u32)>,
    /// The element whose value is being collected, with the VR to show.
    element: Option<(Element, Vr)>,
    value: Vec<u8>,
    pixel_seen: bool,
    /// The transfer syntax that is still to be written.
    available: Option<&'a str>,
}

impl<'a> Writer<'a> {
    fn new(options: &'a Options<'a>, out: &'a mut Vec<u8>) -> Self {
        let charset = Charset::new(b"", options.hint);
        let root = Scope { charset, comma: false };
        Self {
            options,
            out,
            resolver: Resolver::new(),
            scopes: vec![root],
            sequences: Vec::new(),
            element: None,
            value: Vec::new(),
            pixel_seen: false,
            available: options.available,
        }
    }

    /// Writes Available Transfer Syntax UID before the first root member behind it.
    fn available(&mut self, next: u32) {
        if next <= AVAILABLE_TRANSFER_SYNTAX || !self.sequences.is_empty() {
            return;
        }
        if let Some(syntax) = self.available.take() {
            self.member(AVAILABLE_TRANSFER_SYNTAX, Vr::UI);
            value::text(syntax, Vr::UI, self.out);
            self.out.push(b'}');
        }
    }

    /// Whether the data set's own value is left out.
    fn replaced(&self, tag: u32) -> bool {
        tag == AVAILABLE_TRANSFER_SYNTAX && self.options.available.is_some() && self.sequences.is_empty()
    }

    /// Begins a member: `"GGGGEEEE":{"vr":"XX"`.
    fn member(&mut self, tag: u32, vr: Vr) {
        self.available(tag);
        if let Some(scope) = self.scopes.last_mut() {
            if scope.comma {
                self.out.push(b',');
            }
            scope.comma = true;
        }
        let vr = if vr.is_known() { vr } else { Vr::UN };
        put(self.out, format_args!("\"{tag:08X}\":{{\"vr\":\"{vr}\""));
    }

    fn bulk(&mut self, tag: u32) {
        let mut path = String::new();
        for (sequence, item) in &self.sequences {
            path.push_str(&format!("{sequence:08X}/{item}/"));
        }
        let uri = format!("{}/bulkdata/{path}{tag:08X}", self.options.prefix);
        self.out.extend_from_slice(b",\"BulkDataURI\":");
        value::string(&uri, self.out);
    }

    fn pixel(&mut self, tag: u32, vr: Vr) {
        self.pixel_seen = true;
        self.member(tag, vr);
        self.bulk(tag);
        self.out.push(b'}');
    }

    fn text(&self, vr: Vr) -> String {
        let mut notes = Notes::default();
        match self.scopes.last() {
            Some(scope) if vr.is_encoded_text() => scope.charset.decode_as_written(&self.value, vr, &mut notes),
            _ => self.value.iter().map(|byte| char::from(*byte)).collect(),
        }
    }
}

impl Sink for Writer<'_> {
    fn element(&mut self, element: &Element) {
        self.value.clear();
        self.element = None;
        if element.pixel {
            self.pixel(element.tag, element.vr);
        } else if element.tag & 0xFFFF != 0 && !self.replaced(element.tag) {
            let vr = self.resolver.vr(element);
            self.element = Some((*element, vr));
        }
    }

    fn value(&mut self, bytes: &[u8]) {
        if let Some((element, vr)) = &self.element
            && (!value::is_binary(*vr) || element.len.unwrap_or(0) <= self.options.bulk_over)
        {
            self.value.extend_from_slice(bytes);
        }
    }

    fn element_end(&mut self) {
        let Some((element, vr)) = self.element.take() else { return };
        self.resolver.learn(&element, &self.value);
        if element.tag == SPECIFIC_CHARACTER_SET
            && let Some(scope) = self.scopes.last_mut()
        {
            scope.charset = Charset::new(&self.value, self.options.hint);
        }
        self.member(element.tag, vr);
        let len = element.len.unwrap_or(0);
        if len == 0 {
            // An empty value has no member.
        } else if value::is_binary(vr) && len > self.options.bulk_over {
            self.bulk(element.tag);
        } else if value::is_binary(vr) {
            value::inline(&self.value, vr, element.coding, self.out);
        } else if vr.is_text() {
            let label = element.tag == SPECIFIC_CHARACTER_SET;
            let text = if label { "ISO_IR 192".to_owned() } else { self.text(vr) };
            value::text(&text, vr, self.out);
        } else {
            value::numbers(&self.value, vr, element.coding, self.out);
        }
        self.out.push(b'}');
    }

    fn sequence(&mut self, element: &Element) {
        self.member(element.tag, Vr::SQ);
        self.sequences.push((element.tag, 0));
    }

    fn item(&mut self) {
        if let Some((_, items)) = self.sequences.last_mut() {
            self.out.extend_from_slice(if *items == 0 { b",\"Value\":[{" } else { b",{" });
            *items += 1;
        }
        if let Some(mut scope) = self.scopes.last().cloned() {
            scope.comma = false;
            self.scopes.push(scope);
        }
        self.resolver.enter();
    }

    fn item_end(&mut self) {
        self.scopes.pop();
        self.resolver.leave();
        self.out.push(b'}');
    }

    fn sequence_end(&mut self) {
        if self.sequences.pop().is_some_and(|(_, items)| items > 0) {
            self.out.push(b']');
        }
        self.out.push(b'}');
    }

    fn fragments(&mut self, element: &Element) {
        self.element = None;
        let vr = if element.coding.implicit { Vr::OB } else { element.vr };
        if element.pixel {
            self.pixel(element.tag, vr);
        } else {
            self.member(element.tag, vr);
            self.bulk(element.tag);
            self.out.push(b'}');
        }
    }
}

/// Appends formatted text; writing to memory does not fail.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}
