//! A pack stands in the order in which a viewer reads it, whatever the order of arrival.

use super::packs::{all_packed, rows};
use super::*;
use model::Home;

const AXIAL: &str = "1\\0\\0\\0\\1\\0";
const SAGITTAL: &str = "0\\1\\0\\0\\0\\-1";

/// Last component of its name, Instance Number, and Image Position with Image Orientation.
type Image = (u32, u32, Option<(String, &'static str)>);

/// Stores a series and gives the last components of its SOP Instance UIDs in the order of its pack.
fn packed_order(objects: &[Image]) -> Vec<u32> {
    let bench = Bench::with(|options| {
        // Nothing is packed before the last one is there.
        options.quiet_after = Duration::from_secs(1);
        options.packs.after = Duration::ZERO;
        options.packs.reserve = 0;
    });
    for (name, number, geometry) in objects {
        let sop = format!("1.2.1.1.{name}");
        bench.store(&Object { number: *number, geometry: geometry.clone(), ..Object::new(&sop) }).expect("stored");
    }
    until("packed", || rows(&bench).len() == objects.len() && all_packed(&bench));
    let mut slots: Vec<(u64, u32, u32)> = Vec::new();
    for row in rows(&bench) {
        let Home::Pack { pack, slot } = row.home else { continue };
        let part = bench.archive.index().pack(pack).expect("index").expect("a pack").packed_at;
        let name = row.sop_instance.as_str().rsplit('.').next().expect("a name").parse().expect("a number");
        slots.push((part, slot, name));
    }
    slots.sort_unstable();
    slots.into_iter().map(|(.., name)| name).collect()
}

fn at(x: &str, y: &str, z: &str) -> String {
    format!("{x}\\{y}\\{z}")
}

#[test]
fn a_numbered_series_stands_by_its_numbers_whatever_the_positions() {
    // From the feet upwards, numbered from the head.
    let slice = |name: u32, number: u32| (name, number, Some((at("0", "0", &format!("{}", 10 * name)), AXIAL)));
    assert_eq!(packed_order(&[slice(1, 3), slice(3, 1), slice(2, 2)]), [3, 2, 1]);
}

#[test]
fn where_numbers_are_equal_or_missing_the_position_along_the_normal_decides() {
    // Two echoes share each number; 9.5 and 10.25 are ordered as numbers, not as text.
    let echo = |name: u32, number: u32, z: &str| (name, number, Some((at("5", "-3", z), AXIAL)));
    let echoes = [echo(1, 2, "30"), echo(2, 1, "10.25"), echo(3, 2, "-4"), echo(4, 1, "9.5")];
    assert_eq!(packed_order(&echoes), [4, 2, 3, 1]);
    // A sagittal stack runs along x, its normal against it; y and z say nothing.
    let sagittal = |name: u32, x: &str, z: &str| (name, 0, Some((at(x, "0", z), SAGITTAL)));
    assert_eq!(packed_order(&[sagittal(1, "-20", "5"), sagittal(2, "40", "1"), sagittal(3, "10", "9")]), [2, 3, 1]);
}

#[test]
fn stacks_of_several_orientations_stand_apart_and_what_lies_nowhere_comes_last_as_it_came() {
    let plane = |name: u32, place: &str, orientation: &'static str| match orientation {
        AXIAL => (name, 1, Some((at("0", "0", place), AXIAL))),
        _ => (name, 1, Some((at(place, "0", "0"), SAGITTAL))),
    };
    let localizer = [
        (1, 1, None),
        plane(2, "7", SAGITTAL),
        plane(3, "50", AXIAL),
        plane(4, "2", AXIAL),
        plane(5, "9", SAGITTAL),
        (6, 1, None),
    ];
    assert_eq!(packed_order(&localizer), [5, 2, 4, 3, 1, 6]);
    // Radiographs have numbers or not, and no position.
    assert_eq!(packed_order(&[(1, 0, None), (2, 4, None), (3, 0, None), (4, 1, None)]), [4, 2, 1, 3]);
}

/// The data set with sequences `depth` deep in it.
fn nested(object: &Object, depth: usize) -> Vec<u8> {
    let begin =
        [0x08, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF];
    let end = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
    let bytes = object.bytes();
    let at = memchr::memmem::find(&bytes, b"\x10\0\x10\0PN").expect("a name");
    let (before, after) = bytes.split_at(at);
    [before, &begin.repeat(depth), &end.repeat(depth), after].concat()
}

#[test]
fn a_series_whose_metadata_is_nested_too_deep_is_packed_all_the_same() {
    let bench = Bench::with(|options| {
        options.quiet_after = Duration::from_millis(100);
        options.packs.after = Duration::ZERO;
        options.packs.reserve = 0;
    });
    for name in 1..=2 {
        let object = Object { number: 0, ..Object::new(&format!("1.2.1.1.{name}")) };
        let form =
            Form::DataSet { sop_class: uid(CT), sop_instance: uid(&object.sop), transfer_syntax: uid(EXPLICIT_LE) };
        let mut incoming = bench.archive.receive(&bench.source(), Via::CStore, form).expect("received");
        incoming.write(&nested(&object, 60)).expect("taken");
        incoming.finish().expect("stored");
    }
    until("packed", || rows(&bench).len() == 2 && all_packed(&bench));
}
