//! Reading headers: of elements, items, fragments and delimiters (PS3.5 sections 7.1 and 7.5, Annex A.4).

use super::level::{Kind, Level};
use super::{Element, Sink, State, Walker, as_u64, is_pixel_data};
use crate::dictionary;
use crate::error::ScanError;
use crate::syntax::Coding;
use crate::vr::Vr;
use model::Flag;

const ITEM: u32 = 0xFFFE_E000;
const ITEM_END: u32 = 0xFFFE_E00D;
const SEQUENCE_END: u32 = 0xFFFE_E0DD;
const UNDEFINED: u32 = u32::MAX;

impl Walker {
    /// The bytes asked for are there: read them, or ask for the rest of a long header.
    pub(super) fn header<S: Sink>(&mut self, sink: &mut S) -> Result<(), ScanError> {
        let Some(&level) = self.levels.last() else {
            return Err(self.framing(0, "no open container"));
        };
        let tag = level.coding.tag(&self.head, 0);
        if tag >> 16 == 0xFFFE {
            let len = level.coding.u32(&self.head, 4);
            self.count_element(tag, &level, 8)?;
            self.take_head(sink, false);
            return self.delimiter(tag, len, &level, sink);
        }
        if level.kind != Kind::Item {
            return Err(self.framing(tag, "an item or a delimiter was expected"));
        }
        if tag == 0 && level.tag == 0 {
            return self.padding(sink);
        }
        if level.count == 0 && self.levels.len() == 1 {
            self.check_first(tag, level.coding)?;
        }
        let coding = self.coding_of(tag, &level)?;
        let (vr, len) = if coding.implicit {
            (dictionary::implicit_vr(tag), coding.u32(&self.head, 4))
        } else {
            let vr = self.letters();
            let long = vr.is_long() || (!vr.is_known() && vr.is_letters() && coding.u16(&self.head, 6) == 0);
            if long && self.need == 8 {
                self.need = 12;
                return Ok(());
            }
            if !vr.is_known() {
                self.flags.insert(Flag::UnknownVr);
            }
            (vr, if long { coding.u32(&self.head, 8) } else { u32::from(coding.u16(&self.head, 6)) })
        };
        self.element(tag, vr, len, coding, &level, sink)
    }

    /// The bytes where an explicit header has its VR.
    fn letters(&self) -> Vr {
        let [_, _, _, _, first, second, ..] = self.head;
        Vr::new([first, second])
    }

    fn take_head<S: Sink>(&mut self, sink: &mut S, group_length: bool) {
        sink.passed(self.head.get(..self.have).unwrap_or_default(), group_length);
        self.advance(self.have);
        self.have = 0;
        self.need = 8;
    }

    /// A tag of zero at root level begins padding: only zeros may follow.
    fn padding<S: Sink>(&mut self, sink: &mut S) -> Result<(), ScanError> {
        if self.head.get(..self.have).unwrap_or_default().iter().any(|byte| *byte != 0) {
            return Err(self.framing(0, "an element without a tag"));
        }
        self.flags.insert(Flag::TrailingBytes);
        self.take_head(sink, false);
        self.state = State::Padding;
        Ok(())
    }

    /// Another coding than the transfer syntax says must not be walked by luck.
    fn check_first(&self, tag: u32, coding: Coding) -> Result<(), ScanError> {
        let group = tag >> 16;
        if group & 0xFF == 0 {
            return Err(self.framing(tag, "the byte order is not that of the transfer syntax"));
        }
        let letters = self.letters();
        if coding.implicit && letters.is_known() {
            return Err(self.framing(tag, "the transfer syntax says implicit VR, the bytes are explicit"));
        }
        Ok(())
    }

    /// The coding of an element: items are now and then written implicit inside an explicit data set.
    fn coding_of(&mut self, tag: u32, level: &Level) -> Result<Coding, ScanError> {
        let coding = level.coding;
        let vr = self.letters();
        if coding.implicit || vr.is_letters() || matches!(&vr.bytes(), b"??" | b"--" | b"  ") {
            return Ok(coding);
        }
        let len = u64::from(coding.u32(&self.head, 4));
        let fits = len == u64::from(UNDEFINED) || self.pos.saturating_add(8).saturating_add(len) <= level.bound;
        if level.count > 0 || self.levels.len() == 1 || !fits {
            return Err(self.framing(tag, "an element without a value representation"));
        }
        let implicit = Coding { implicit: true, ..coding };
        if let Some(item) = self.levels.last_mut() {
            item.coding = implicit;
        }
        self.flags.insert(Flag::UnknownVr);
        Ok(implicit)
    }

    fn count_element(&mut self, tag: u32, level: &Level, header: u64) -> Result<(), ScanError> {
        if self.pos.saturating_add(header) > level.bound {
            return Err(self.framing(tag, "an element header crosses the end of its container"));
        }
        self.elements += 1;
        self.within(tag, "elements", self.limits.elements, self.elements)?;
        self.outside = self.outside.saturating_add(header);
        self.within(tag, "head", self.limits.head, self.outside)
    }

    fn delimiter<S: Sink>(&mut self, tag: u32, len: u32, level: &Level, sink: &mut S) -> Result<(), ScanError> {
        match (tag, level.kind) {
            (ITEM, Kind::Sequence) => self.item(len, level, sink),
            (ITEM, Kind::Fragments) => self.fragment(len, level, sink),
            (SEQUENCE_END, Kind::Sequence) if level.end.is_none() => {
                self.levels.pop();
                sink.sequence_end();
                self.close(sink);
                Ok(())
            }
            (SEQUENCE_END, Kind::Fragments) => {
                self.levels.pop();
                sink.fragments_end(self.pos - 8, self.pos);
                self.close(sink);
                Ok(())
            }
            (ITEM_END, Kind::Item) if level.end.is_none() && self.levels.len() > 1 => {
                self.levels.pop();
                sink.item_end();
                self.close(sink);
                Ok(())
            }
            // The item's own delimiter was forgotten.
            (SEQUENCE_END, Kind::Item) if level.end.is_none() && self.in_open_sequence() => {
                self.flags.insert(Flag::MissingDelimiter);
                self.levels.truncate(self.levels.len() - 2);
                sink.item_end();
                sink.sequence_end();
                self.close(sink);
                Ok(())
            }
            // Delimiters that delimit nothing, next to defined lengths.
            (ITEM_END | SEQUENCE_END, _) if len == 0 => {
                self.flags.insert(Flag::TagOrder);
                self.close(sink);
                Ok(())
            }
            (ITEM, _) => Err(self.framing(tag, "an item outside a sequence")),
            _ => Err(self.framing(tag, "a delimiter that delimits nothing")),
        }
    }

    /// Whether the innermost container lies in a sequence that a delimiter ends.
    fn in_open_sequence(&self) -> bool {
        let around = self.levels.iter().rev().nth(1);
        around.is_some_and(|level| level.kind == Kind::Sequence && level.end.is_none())
    }

    fn item<S: Sink>(&mut self, len: u32, level: &Level, sink: &mut S) -> Result<(), ScanError> {
        let count = level.count + 1;
        if let Some(sequence) = self.levels.last_mut() {
            sequence.count = count;
        }
        self.within(level.tag, "items", self.limits.items, count)?;
        let end = self.end_of(level.tag, len, level)?;
        self.levels.push(level.inner(Kind::Item, level.tag, end, level.coding));
        sink.item();
        self.close(sink);
        Ok(())
    }

    fn fragment<S: Sink>(&mut self, len: u32, level: &Level, sink: &mut S) -> Result<(), ScanError> {
        if len == UNDEFINED {
            return Err(self.framing(level.tag, "a fragment of undefined length"));
        }
        let count = level.count + 1;
        if let Some(fragments) = self.levels.last_mut() {
            fragments.count = count;
        }
        // The first is the offset table.
        self.within(level.tag, "fragments", self.limits.fragments, count.saturating_sub(1))?;
        self.end_of(level.tag, len, level)?;
        if !level.pixel {
            self.within(level.tag, "value", self.limits.value, u64::from(len))?;
            self.outside = self.outside.saturating_add(u64::from(len));
            self.within(level.tag, "head", self.limits.head, self.outside)?;
        }
        sink.fragment(self.pos, u64::from(len));
        self.begin_value(u64::from(len), true, false, sink);
        Ok(())
    }

    /// The end of a container or value that begins at the present position.
    fn end_of(&self, tag: u32, len: u32, level: &Level) -> Result<Option<u64>, ScanError> {
        if len == UNDEFINED {
            return Ok(None);
        }
        let end = self.pos.saturating_add(u64::from(len));
        if end > level.bound {
            return Err(self.framing(tag, "a length crosses the end of its container"));
        }
        Ok(Some(end))
    }

    fn begin_value<S: Sink>(&mut self, left: u64, fragment: bool, group_length: bool, sink: &mut S) {
        self.state = State::Value { left, fragment, group_length };
        if left == 0 {
            self.value_end(fragment, sink);
        }
    }

    fn element<S: Sink>(
        &mut self,
        tag: u32,
        vr: Vr,
        len: u32,
        coding: Coding,
        level: &Level,
        sink: &mut S,
    ) -> Result<(), ScanError> {
        let at = self.pos;
        let group_length = tag & 0xFFFF == 0;
        self.count_element(tag, level, as_u64(self.have))?;
        self.take_head(sink, group_length);
        if tag <= level.last {
            self.flags.insert(Flag::TagOrder);
        }
        if let Some(open) = self.levels.last_mut() {
            open.count += 1;
            open.last = tag;
        }
        let end = self.end_of(tag, len, level)?;
        let depth = self.levels.iter().filter(|level| level.kind == Kind::Sequence).count();
        let known = end.map(|_| u64::from(len));
        let pixel = depth == 0 && is_pixel_data(tag) && !self.pixel_met;
        self.pixel_met |= pixel;
        let element = Element { tag, vr, at, value_at: self.pos, len: known, coding, depth, pixel };
        if end.is_none() && (matches!(vr, Vr::OB | Vr::OW) || is_pixel_data(tag)) {
            self.levels.push(Level { pixel, ..level.inner(Kind::Fragments, tag, None, coding) });
            sink.fragments(&element);
            return Ok(());
        }
        if vr == Vr::SQ || end.is_none() {
            return self.sequence(&element, end, level, sink);
        }
        self.check_value(&element, u64::from(len))?;
        sink.element(&element);
        self.begin_value(u64::from(len), false, group_length, sink);
        Ok(())
    }

    fn sequence<S: Sink>(
        &mut self,
        element: &Element,
        end: Option<u64>,
        level: &Level,
        sink: &mut S,
    ) -> Result<(), ScanError> {
        let coding = match element.vr {
            Vr::SQ => element.coding,
            // UN of undefined length holds implicit items whatever is around it (PS3.5 section 6.2.2).
            Vr::UN => Coding::IMPLICIT,
            _ if element.coding.implicit => element.coding,
            _ => return Err(self.framing(element.tag, "an undefined length where none is allowed")),
        };
        self.within(element.tag, "nesting", as_u64(self.limits.nesting), as_u64(element.depth) + 1)?;
        self.levels.push(level.inner(Kind::Sequence, element.tag, end, coding));
        sink.sequence(element);
        self.close(sink);
        Ok(())
    }

    fn check_value(&mut self, element: &Element, len: u64) -> Result<(), ScanError> {
        if len % 2 == 1 {
            self.flags.insert(Flag::OddLength);
        }
        if element.pixel {
            return Ok(());
        }
        if element.vr.is_text() {
            self.within(element.tag, "text_value", self.limits.text_value, len)?;
        }
        self.within(element.tag, "value", self.limits.value, len)?;
        self.outside = self.outside.saturating_add(len);
        self.within(element.tag, "head", self.limits.head, self.outside)
    }
}
