//! Pictures from the bytes of data sets: which attributes count, and in which order.

use super::*;
use crate::fixture::{explicit, implicit, item, uid, undefined};
use crate::json::Parts;
use crate::pixels::native;
use crate::syntax::{EXPLICIT_LE, IMPLICIT_LE};

fn word(tag: u32, value: u16) -> Vec<u8> {
    explicit(tag, b"US", &value.to_le_bytes())
}

pub(super) fn text(tag: u32, value: &str) -> Vec<u8> {
    let padded = if value.len() % 2 == 1 { format!("{value} ") } else { value.to_owned() };
    explicit(tag, b"DS", padded.as_bytes())
}

fn sequence(tag: u32, items: &[Vec<u8>]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|bytes| item(bytes)).collect();
    [undefined(tag, b"SQ"), items, vec![0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]].concat()
}

pub(super) fn format(photometric: &str, columns: u16, bits: u16) -> Vec<u8> {
    let parts = [
        word(0x0028_0002, 1),
        explicit(0x0028_0004, b"CS", photometric.as_bytes()),
        word(0x0028_0010, 1),
        word(0x0028_0011, columns),
        word(0x0028_0100, if bits > 8 { 16 } else { 8 }),
        word(0x0028_0101, bits),
        word(0x0028_0102, bits - 1),
        word(0x0028_0103, 0),
    ];
    parts.concat()
}

pub(super) fn describe(head: &[u8]) -> Description {
    let parts = Parts { before: head, pixel: None, after: &[] };
    Description::read(&parts, &uid(EXPLICIT_LE)).expect("a data set")
}

fn shown(head: &[u8], values: &[u16], number: u32, options: &Options) -> Vec<u8> {
    let description = describe(head);
    let format = description.format().expect("a format");
    let bytes: Vec<u8> = match format.allocated {
        8 => values.iter().map(|value| u8::try_from(*value).expect("a byte")).collect(),
        _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    let frame = native::decode(&bytes, &format, false).expect("a frame");
    picture(&frame, &description, number, options).expect("a picture").bytes
}

#[test]
fn a_frames_own_window_goes_before_the_shared_and_the_images() {
    let window = |center: &str| [text(0x0028_1050, center), text(0x0028_1051, "101")].concat();
    let voi = |center: &str| sequence(0x0028_9132, &[window(center)]);
    let values = sequence(0x0028_9145, &[[text(0x0028_1052, "-100"), text(0x0028_1053, "2")].concat()]);
    let frames = [Vec::new(), voi("350.5")];
    let head = |root: Vec<u8>, shared: Vec<u8>, own: &[Vec<u8>]| {
        let groups = [sequence(0x5200_9229, &[shared]), sequence(0x5200_9230, own)].concat();
        [format("MONOCHROME2 ", 3, 12), root, groups].concat()
    };
    let both = head(window("50.5"), [voi("150.5"), values].concat(), &frames);
    // Values 0, 100 and 200 are -100, 100 and 300 after the shared transformation.
    let pixels = [0, 100, 200];
    assert_eq!(shown(&both, &pixels, 0, &Options::default()), [0, 0, 255], "shared: 100 to 200");
    assert_eq!(shown(&both, &pixels, 1, &Options::default()), [0, 0, 0], "its own: 300 to 400");
    let root = head(window("50.5"), Vec::new(), &[Vec::new()]);
    assert_eq!(shown(&root, &pixels, 0, &Options::default()), [0, 255, 255], "the image's: 0 to 100");
    let asked = Options { window: Some(Window::parse("100.5,201").expect("a window")), ..Options::default() };
    assert_eq!(shown(&root, &pixels, 0, &asked), [0, 128, 255], "what is asked goes before all");
}

#[test]
fn a_window_narrower_than_one_is_a_distance() {
    // Radiotherapy images have such: the values are fractions.
    let window = [text(0x0028_1050, "0.5"), text(0x0028_1051, "0.5"), text(0x0028_1053, "0.01")].concat();
    let head = [format("MONOCHROME2 ", 3, 12), window].concat();
    assert_eq!(shown(&head, &[25, 50, 75], 0, &Options::default()), [0, 128, 255]);
}

#[test]
fn white_and_black_change_places_once() {
    let values = [0, 255];
    let plain = |photometric: &str, shape: &str| {
        let shape = explicit(0x2050_0020, b"CS", shape.as_bytes());
        shown(&[format(photometric, 2, 8), shape].concat(), &values, 0, &Options::default())
    };
    assert_eq!(plain("MONOCHROME2 ", "IDENTITY"), [0, 255]);
    assert_eq!(plain("MONOCHROME2 ", "INVERSE "), [255, 0]);
    assert_eq!(plain("MONOCHROME1 ", "INVERSE "), [255, 0]);
    assert_eq!(plain("MONOCHROME1 ", ""), [255, 0]);
}

#[test]
fn a_table_goes_before_a_window_and_angiography_keeps_its_values() {
    let table = |entries: [u8; 2]| {
        let words = [2_u16, 0, 8].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        [explicit(0x0028_3002, b"US", &words), explicit(0x0028_3006, b"OW", &entries)].concat()
    };
    let voi = [text(0x0028_1050, "1"), text(0x0028_1051, "1"), sequence(0x0028_3010, &[table([255, 10])])].concat();
    let head = [format("MONOCHROME2 ", 2, 8), voi].concat();
    assert_eq!(shown(&head, &[0, 1], 0, &Options::default()), [255, 10]);
    let modality = sequence(0x0028_3000, &[table([200, 100])]);
    let image = |class: &str, relation: &str| {
        let class = explicit(0x0008_0016, b"UI", class.as_bytes());
        let relation = explicit(0x0028_1040, b"CS", relation.as_bytes());
        [class, format("MONOCHROME2 ", 2, 8), relation, modality.clone()].concat()
    };
    // The table's range, 100 to 200, is shown where no window is given.
    assert_eq!(shown(&image("1.2.840.10008.5.1.4.1.1.1", "LOG "), &[0, 1], 0, &Options::default()), [255, 0]);
    assert_eq!(shown(&image("1.2.840.10008.5.1.4.1.1.12.1", "LOG "), &[0, 1], 0, &Options::default()), [0, 1]);
}

#[test]
fn descriptions_are_read_in_other_codings_and_lacking_ones_are_none() {
    let head = [
        implicit(0x0028_0010, &[2, 0]),
        implicit(0x0028_0011, &[3, 0]),
        implicit(0x0028_0100, &[16, 0]),
        implicit(0x0028_0101, &[12, 0]),
        implicit(0x0028_0103, &[1, 0]),
    ]
    .concat();
    let parts = Parts { before: &head, pixel: None, after: &[] };
    let format = Description::read(&parts, &uid(IMPLICIT_LE)).expect("a data set").format().expect("a format");
    assert_eq!((format.rows, format.columns, format.high, format.signed), (2, 3, 11, true));
    assert_eq!(format.photometric, Photometric::Monochrome2);
    assert_eq!(describe(&word(0x0028_0010, 2)).format(), None);
    assert_eq!(describe(&[format_of("HSV "), Vec::new()].concat()).format(), None);
}

fn format_of(photometric: &str) -> Vec<u8> {
    format(photometric, 1, 8)
}

#[test]
fn the_frame_time_is_read_from_whatever_names_it() {
    let time = |head: &[u8]| describe(head).frame_time().map(|time| time.as_millis());
    assert_eq!(time(&text(0x0018_1063, "40")), Some(40));
    assert_eq!(time(&text(0x0008_2144, "20")), Some(50));
    assert_eq!(time(&text(0x0018_1065, "0\\33.3")), Some(33));
    assert_eq!(time(&text(0x0018_1063, "0")), None);
    assert_eq!(time(&[]), None);
}

#[test]
fn a_presentation_state_goes_before_what_the_image_says() {
    let own = [text(0x0028_1050, "50.5"), text(0x0028_1051, "101")].concat();
    let image = [explicit(0x0008_0018, b"UI", b"1.2.3\0"), format("MONOCHROME2 ", 3, 12), own].concat();
    let reference = |uid: &[u8]| sequence(0x0008_1140, &[explicit(0x0008_1155, b"UI", uid)]);
    let voi = |uid: &[u8], center: &str| [reference(uid), text(0x0028_1050, center), text(0x0028_1051, "101")].concat();
    let turn = |degrees: u16, flip: &[u8]| {
        [explicit(0x0070_0041, b"CS", flip), explicit(0x0070_0042, b"US", &degrees.to_le_bytes())].concat()
    };
    let state = |name: &str, parts: &[Vec<u8>]| Presentation::new(describe(&parts.concat()), name.into());
    let window = sequence(0x0028_3110, &[voi(b"9.9\0", "50.5"), voi(b"1.2.3\0", "150.5")]);
    let shape = explicit(0x2050_0020, b"CS", b"INVERSE ");
    let shown = |state: &Presentation| {
        let options = Options { presentation: Some(state.clone()), ..Options::default() };
        let (description, bytes) = (describe(&image), [0_u16, 150, 200].map(u16::to_le_bytes).concat());
        let frame = native::decode(&bytes, &description.format().expect("a format"), false).expect("a frame");
        let picture = picture(&frame, &description, 0, &options).expect("a picture");
        (picture.width, picture.height, picture.bytes)
    };
    assert_eq!(shown(&state("a", &[window.clone(), turn(0, b"N ")])), (3, 1, vec![0, 128, 255]));
    assert_eq!(shown(&state("b", &[window.clone(), turn(0, b"Y ")])), (3, 1, vec![255, 128, 0]));
    assert_eq!(shown(&state("c", &[window.clone(), turn(90, b"N ")])), (1, 3, vec![0, 128, 255]));
    assert_eq!(shown(&state("d", &[window.clone(), turn(270, b"N ")])), (1, 3, vec![255, 128, 0]));
    assert_eq!(shown(&state("e", &[window, shape])), (3, 1, vec![255, 128, 0]));
    // Without a VOI transformation of its own the whole range is shown, not the image's window.
    assert_eq!(shown(&state("f", &[turn(0, b"N ")])), (3, 1, vec![0, 191, 255]));
    let corner = |tag: u32, x: i32, y: i32| explicit(tag, b"SL", &[x, y].map(i32::to_le_bytes).concat());
    let area = [corner(0x0070_0052, 2, 0), corner(0x0070_0053, 4, 1)].concat();
    let part = state("g", &[sequence(0x0070_005A, &[area])]);
    assert_eq!(shown(&part), (3, 2, vec![0, 0, 0, 191, 255, 0]), "beyond the image it is black");
}

/// An image of three pixels with overlays over the second (group 6000) and the third (6002), seen by a state.
fn overlaid(state: &[Vec<u8>], overlays: bool) -> Vec<u8> {
    let plane = |group: u32, bits: u8| {
        let tag = |element: u32| group << 16 | element;
        let parts = [
            word(tag(0x10), 1),
            word(tag(0x11), 3),
            explicit(tag(0x40), b"CS", b"G "),
            explicit(tag(0x50), b"SS", &[1, 0, 1, 0]),
            word(tag(0x100), 1),
            word(tag(0x102), 0),
            explicit(tag(0x3000), b"OW", &[bits, 0]),
        ];
        parts.concat()
    };
    let head = [format("MONOCHROME2 ", 3, 8), plane(0x6000, 0b010), plane(0x6002, 0b100)].concat();
    let state = [explicit(0x0008_0060, b"CS", b"PR"), state.concat()].concat();
    let presentation = Some(Presentation::new(describe(&state), String::from("state")));
    shown(&head, &[0, 100, 200], 0, &Options { presentation, overlays, ..Options::default() })
}

#[test]
fn an_overlay_of_the_image_is_drawn_where_a_presentation_state_activates_it_and_not_otherwise() {
    let layer = |group: u32, name: &[u8]| explicit(group << 16 | 0x1001, b"CS", name);
    let plain = overlaid(&[], false);
    assert!(plain.iter().take(2).all(|level| *level < 255), "{plain:?}");
    let marked = overlaid(&[layer(0x6000, b"LAYER1")], false);
    assert_eq!(marked, [plain[0], 255, plain[2]]);
    assert_eq!(overlaid(&[layer(0x6000, b"")], false), plain, "no layer is no activation");
    assert_eq!(overlaid(&[layer(0x6004, b"LAYER1")], false), plain, "the image has no such plane");
    // Who asks for annotations gets what the state activates and nothing else.
    assert_eq!(overlaid(&[], true), plain);
    assert_eq!(overlaid(&[layer(0x6000, b"LAYER1")], true), marked);
    // A plane of the state's own takes the place of the image's.
    let own = [
        word(0x6000_0010, 1),
        word(0x6000_0011, 3),
        explicit(0x6000_0050, b"SS", &[1, 0, 1, 0]),
        layer(0x6000, b"LAYER1"),
        explicit(0x6000_3000, b"OW", &[0b001, 0]),
    ];
    assert_eq!(overlaid(&own, false), [255, plain[1], plain[2]]);
}
