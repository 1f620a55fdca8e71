//! Which presentation contexts objects need, split over as many associations as that takes.
//!
//! Every object is proposed in the transfer syntax it is stored in, and what is uncompressed in the little endian
//! syntaxes too, each in a context of its own: the peer's choice is then never a choice for us to make.

use super::{CONTEXTS_MAX, Proposal};
use crate::transfer_syntax::{EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};
use model::Uid;

/// Deflated Explicit VR Little Endian.
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Objects that one association carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// The contexts to propose, at most [`CONTEXTS_MAX`].
    pub proposals: Vec<Proposal>,
    /// Positions of the objects, ascending.
    pub members: Vec<usize>,
}

/// The transfer syntaxes an object may be sent in, best first: as it is stored, else converted without loss.
pub fn syntaxes(stored: &str) -> Vec<&str> {
    let uncompressed = [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, DEFLATED];
    let mut list = vec![stored];
    if uncompressed.contains(&stored) {
        list.extend([EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN].into_iter().filter(|other| *other != stored));
    }
    list
}

/// Groups objects, told by SOP class and stored transfer syntax, in their order.
pub fn groups<'a>(objects: impl Iterator<Item = (&'a Uid, &'a Uid)>) -> Vec<Group> {
    let mut groups = vec![Group::default()];
    // The group that has the contexts of a class and stored syntax: there are few of them.
    let mut known: Vec<(&Uid, &Uid, usize)> = Vec::new();
    for (position, (class, stored)) in objects.enumerate() {
        let found = known.iter().find(|(of, syntax, _)| *of == class && *syntax == stored).map(|(_, _, at)| *at);
        let at = found.unwrap_or_else(|| {
            let at = place(&mut groups, class.as_str(), stored.as_str());
            known.push((class, stored, at));
            at
        });
        if let Some(group) = groups.get_mut(at) {
            group.members.push(position);
        }
    }
    groups.retain(|group| !group.members.is_empty());
    groups
}

/// Adds what a class and syntax need to the first group with room; returns the group.
fn place(groups: &mut Vec<Group>, class: &str, stored: &str) -> usize {
    let wanted: Vec<Proposal> = syntaxes(stored)
        .into_iter()
        .map(|syntax| Proposal { abstract_syntax: class.to_owned(), transfer_syntaxes: vec![syntax.to_owned()] })
        .collect();
    let missing = |group: &Group| wanted.iter().filter(|one| !group.proposals.contains(one)).count();
    let fits = |group: &Group| group.proposals.len().saturating_add(missing(group)) <= CONTEXTS_MAX;
    let at = groups.iter().position(fits).unwrap_or_else(|| {
        groups.push(Group::default());
        groups.len().saturating_sub(1)
    });
    if let Some(group) = groups.get_mut(at) {
        for one in wanted {
            if !group.proposals.contains(&one) {
                group.proposals.push(one);
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).expect("uid")
    }

    #[test]
    fn uncompressed_objects_get_little_endian_contexts_and_compressed_ones_their_own() {
        let (ct, us) = (uid("1.2.840.10008.5.1.4.1.1.2"), uid("1.2.840.10008.5.1.4.1.1.6.1"));
        let (explicit, jpeg) = (uid(EXPLICIT_LITTLE_ENDIAN), uid("1.2.840.10008.1.2.4.50"));
        let objects = [(&ct, &explicit), (&us, &jpeg), (&ct, &explicit)];
        let groups = groups(objects.into_iter());
        let [group] = groups.as_slice() else { panic!("{groups:?}") };
        assert_eq!(group.members, [0, 1, 2]);
        assert_eq!(group.proposals.len(), 3);
    }

    #[test]
    fn more_than_128_contexts_are_split_over_associations() {
        let classes: Vec<Uid> = (1..=300).map(|number| uid(&format!("1.2.3.{number}"))).collect();
        let jpeg = uid("1.2.840.10008.1.2.4.50");
        let groups = groups(classes.iter().chain(&classes).map(|class| (class, &jpeg)));
        let contexts: Vec<usize> = groups.iter().map(|group| group.proposals.len()).collect();
        assert_eq!(contexts, [128, 128, 44]);
        let mut members: Vec<usize> = groups.into_iter().flat_map(|group| group.members).collect();
        members.sort_unstable();
        assert_eq!(members, (0..600).collect::<Vec<_>>());
    }
}
