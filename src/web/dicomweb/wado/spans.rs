//! Runs of bytes of one stored data set, read one after the other: the fragments of a frame, or a part of them.
//!
//! One run is open at a time, whatever their number: a frame may lie in a million fragments.

use super::encoding::{Exactly, Source};
use crate::app::App;
use archive::InstanceRow;
use model::Span;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

/// The runs that are left.
pub(super) struct Spans {
    app: Arc<App>,
    row: InstanceRow,
    left: VecDeque<Span>,
    current: Option<Source>,
}

impl Spans {
    pub(super) fn new(app: &Arc<App>, row: &InstanceRow, spans: Vec<Span>) -> Self {
        Self { app: Arc::clone(app), row: row.clone(), left: spans.into(), current: None }
    }
}

impl Read for Spans {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = self.current.as_mut() {
                let count = current.read(out)?;
                if count > 0 || out.is_empty() {
                    return Ok(count);
                }
                self.current = None;
            }
            let Some(span) = self.left.pop_front() else { return Ok(0) };
            let part = span.at..span.at.saturating_add(span.len);
            let file = self.app.archive.data_set_part(&self.row, part);
            self.current = Some(Box::new(Exactly::new(file, span.len)));
        }
    }
}

/// The parts of the runs that make up a range of them all.
pub(super) fn inside(spans: &[Span], range: &Range<u64>) -> Vec<Span> {
    let (mut found, mut passed) = (Vec::new(), 0u64);
    for span in spans {
        let end = passed.saturating_add(span.len);
        let (from, to) = (range.start.max(passed), range.end.min(end));
        if from < to {
            found.push(Span { at: span.at.saturating_add(from - passed), len: to - from });
        }
        passed = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_takes_the_parts_it_covers() {
        let spans = [Span { at: 10, len: 4 }, Span { at: 30, len: 0 }, Span { at: 50, len: 6 }];
        let of = |from, to| inside(&spans, &(from..to)).iter().map(|s| (s.at, s.len)).collect::<Vec<_>>();
        assert_eq!(of(0, 10), [(10, 4), (50, 6)]);
        assert_eq!(of(3, 5), [(13, 1), (50, 1)]);
        assert_eq!(of(4, 99), [(50, 6)]);
        assert_eq!(of(10, 12), []);
    }
}
