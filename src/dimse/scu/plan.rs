//! Which presentation contexts objects need, split over as many associations as that takes.
//!
//! Every object is proposed in the transfer syntax it is stored in, and what is uncompressed, or can be decoded by who
//! sends, in the little endian syntaxes too, each in a context of its own: the peer's choice is then never a choice for
//! us to make.

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

/// The transfer syntaxes an object may be sent in by one who does not decode, best first: as it is stored, else
/// converted without loss.
pub fn uncompressed(stored: &str) -> Vec<&str> {
    let native = [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, DEFLATED];
    with_little_endian(stored, native.contains(&stored))
}

/// The transfer syntaxes an object of the archive may be sent in, best first: as it is stored, else uncompressed.
/// What was compressed with loss is decoded too, and still says so; nothing is compressed for a peer.
pub fn decoded(stored: &str) -> Vec<&str> {
    with_little_endian(stored, archive::transcode::is_decoded(stored))
}

fn with_little_endian(stored: &str, more: bool) -> Vec<&str> {
    let both = [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN];
    let others = both.into_iter().filter(|other| more && *other != stored);
    [stored].into_iter().chain(others).collect()
}

/// The transfer syntaxes of an object stored in one, best first.
pub type Syntaxes = fn(&str) -> Vec<&str>;

/// Groups objects, told by SOP class and stored transfer syntax, in their order.
pub fn groups<'a>(objects: impl Iterator<Item = (&'a Uid, &'a Uid)>, syntaxes: Syntaxes) -> Vec<Group> {
    let mut groups = vec![Group::default()];
    // The group that has the contexts of a class and stored syntax: there are few of them.
    let mut known: Vec<(&Uid, &Uid, usize)> = Vec::new();
    for (position, (class, stored)) in objects.enumerate() {
        let found = known.iter().find(|(of, syntax, _)| *of == class && *syntax == stored).map(|(_, _, at)| *at);
        let at = found.unwrap_or_else(|| {
            let at = place(&mut groups, class.as_str(), syntaxes(stored.as_str()));
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
fn place(groups: &mut Vec<Group>, class: &str, syntaxes: Vec<&str>) -> usize {
    let wanted: Vec<Proposal> = syntaxes
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
    fn what_can_be_uncompressed_gets_little_endian_contexts_and_the_rest_its_own() {
        let (ct, us) = (uid("1.2.840.10008.5.1.4.1.1.2"), uid("1.2.840.10008.5.1.4.1.1.6.1"));
        let (explicit, jpeg) = (uid(EXPLICIT_LITTLE_ENDIAN), uid("1.2.840.10008.1.2.4.50"));
        let objects = [(&ct, &explicit), (&us, &jpeg), (&ct, &explicit)];
        for (syntaxes, contexts) in [(uncompressed as Syntaxes, 3), (decoded, 5)] {
            let groups = groups(objects.into_iter(), syntaxes);
            let [group] = groups.as_slice() else { panic!("{groups:?}") };
            assert_eq!((group.members.as_slice(), group.proposals.len()), ([0, 1, 2].as_slice(), contexts));
        }
        let all = ["1.2.840.10008.1.2.4.50", EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN];
        assert_eq!(decoded(jpeg.as_str()), all);
        let video = "1.2.840.10008.1.2.4.100";
        assert_eq!(decoded(video), [video], "no decoder");
        assert_eq!(decoded(EXPLICIT_BIG_ENDIAN), uncompressed(EXPLICIT_BIG_ENDIAN));
    }

    #[test]
    fn more_than_128_contexts_are_split_over_associations() {
        let classes: Vec<Uid> = (1..=300).map(|number| uid(&format!("1.2.3.{number}"))).collect();
        let jpeg = uid("1.2.840.10008.1.2.4.50");
        let of = |syntaxes| groups(classes.iter().chain(&classes).map(|class| (class, &jpeg)), syntaxes);
        let groups = of(uncompressed);
        let contexts: Vec<usize> = groups.iter().map(|group| group.proposals.len()).collect();
        assert_eq!(contexts, [128, 128, 44]);
        let mut members: Vec<usize> = groups.into_iter().flat_map(|group| group.members).collect();
        members.sort_unstable();
        assert_eq!(members, (0..600).collect::<Vec<_>>());
        let contexts: Vec<usize> = of(decoded).iter().map(|group| group.proposals.len()).collect();
        assert_eq!((contexts.iter().sum::<usize>(), contexts.iter().max()), (900, Some(&126)));
    }
}
