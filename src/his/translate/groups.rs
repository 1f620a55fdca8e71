//! Messages with several orders or results: their segments in groups.

use super::Scope;
use crate::hl7::{Message, Segment};

/// What begins a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// ORC, or OBR where the group has one already or there is none.
    Order,
    /// OBR alone: ORC stands behind it.
    Result,
}

/// The groups of a message in order, each with the segments that stand before all of them.
pub(super) fn groups<'s, 'a>(message: &'s Message<'a>, begin: Begin) -> Vec<Scope<'s, 'a>> {
    let segments = message.segments();
    let (mut starts, mut has_request) = (Vec::new(), true);
    for (at, segment) in segments.iter().enumerate() {
        let starting = match (segment.name(), begin) {
            ("ORC", Begin::Order) => {
                has_request = false;
                true
            }
            ("OBR", _) => {
                let starting = begin == Begin::Result || has_request;
                has_request = true;
                starting
            }
            _ => false,
        };
        if starting {
            starts.push(at);
        }
    }
    let head = segments.get(..starts.first().copied().unwrap_or(segments.len())).unwrap_or_default();
    let ends = starts.iter().skip(1).copied().chain([segments.len()]);
    let own = starts.iter().zip(ends).map(|(start, end)| segments.get(*start..end).unwrap_or_default());
    own.map(|own: &'s [Segment<'a>]| Scope { own, head }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &str, begin: Begin) -> Vec<String> {
        let text = names.split(' ').map(|name| if name == "MSH" { "MSH|^~\\&|" } else { name }).collect::<Vec<_>>();
        let text = text.join("\r");
        let message = Message::parse(&text).expect("a message");
        let groups = groups(&message, begin);
        groups.iter().map(|group| group.own.iter().map(Segment::name).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn groups_begin_where_orders_and_results_do() {
        let order = |names| told(names, Begin::Order);
        assert_eq!(order("MSH PID ORC TQ1 OBR IPC IPC ORC OBR ZDS"), ["ORC TQ1 OBR IPC IPC", "ORC OBR ZDS"]);
        assert_eq!(order("MSH PID ORC OBR OBR"), ["ORC OBR", "OBR"]);
        assert_eq!(order("MSH PID OBR OBX OBR OBX"), ["OBR OBX", "OBR OBX"]);
        assert_eq!(order("MSH PID ORC ORC"), ["ORC", "ORC"]);
        assert!(order("MSH PID").is_empty());
        let result = told("MSH PID SPM OBR ORC OBX OBR ORC OBX", Begin::Result);
        assert_eq!(result, ["OBR ORC OBX", "OBR ORC OBX"]);
    }
}
