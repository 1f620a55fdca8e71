//! Every media type of PS3.18 section 8.7 at every resource that has it, in every way a client writes it.

use super::*;

/// How a media type comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// As the whole body.
    Bare,
    /// As the type of the parts of a `multipart/related` body.
    InParts,
}
use Comes::{Bare, InParts};

/// A resource of a stored file and a media type that it comes in.
struct Offer {
    file: &'static str,
    /// What follows the URL of `level`.
    resource: &'static str,
    level: Level,
    media: &'static str,
    comes: Comes,
    /// Whether a transfer syntax goes with the type.
    syntax: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Study,
    Series,
    Instance,
}
use Level::{Instance, Root, Series, Study};

const CT: &str = "modality/ct-series/01.dcm";
const MANY: &str = "multiframe/emri_small.dcm";
const SR: &str = "modality/sr/sr.dcm";
const PDF: &str = "generated/encapsulated-pdf.dcm";
const VIDEO: &str = "generated/video-h264.dcm";
/// One file for each compressed media type of frames.
const COMPRESSED: [(&str, &str); 5] = [
    ("syntax/CT1_JLSL.dcm", "image/jls"),
    ("syntax/CT1_JPLL.dcm", "image/jpeg"),
    ("syntax/CT1_RLE.dcm", "image/dicom-rle"),
    ("syntax/CT1_J2KR.dcm", "image/jp2"),
    ("generated/htj2k-rpcl-lossless.dcm", "image/jphc"),
];
const OCTETS: &str = "application/octet-stream";
const PICTURES: [&str; 3] = ["image/jpeg", "image/png", "image/gif"];

fn offers() -> Vec<Offer> {
    let mut all = Vec::new();
    let mut add = |file, level, resource, media, comes, syntax| {
        all.push(Offer { file, resource, level, media, comes, syntax });
    };
    for (level, resource) in [(Root, "/studies"), (Root, "/series"), (Root, "/instances"), (Study, "/series")] {
        for (media, comes) in
            [("application/dicom+json", Bare), ("application/json", Bare), ("application/dicom+xml", InParts)]
        {
            add(CT, level, resource, media, comes, false);
        }
    }
    for level in [Study, Series, Instance] {
        add(CT, level, "", "application/dicom", InParts, true);
        add(CT, level, "", "application/zip", Bare, true);
        add(CT, level, "/metadata", "application/dicom+json", Bare, false);
        add(CT, level, "/metadata", "application/dicom+xml", InParts, false);
        add(CT, level, "/pixeldata", OCTETS, InParts, true);
        add(CT, level, "/bulkdata", OCTETS, InParts, false);
        for media in PICTURES {
            add(CT, level, "/rendered", media, Bare, false);
            add(CT, level, "/rendered", media, InParts, false);
            add(CT, level, "/thumbnail", media, Bare, false);
        }
    }
    add(CT, Instance, "", "application/dicom", Bare, true);
    add(CT, Instance, "/pixeldata", OCTETS, Bare, true);
    add(CT, Study, "/media", "application/zip", Bare, false);
    for comes in [Bare, InParts] {
        add(CT, Instance, "/bulkdata/7FE00010", OCTETS, comes, true);
        for media in [OCTETS, "image/jls", "image/jp2", "image/dicom-rle", "image/jphc"] {
            add(CT, Instance, "/frames/1", media, comes, true);
        }
        for (file, media) in COMPRESSED {
            add(file, Instance, "/frames/1", media, comes, true);
        }
        for (file, _) in COMPRESSED {
            add(file, Instance, "/frames/1", OCTETS, comes, true);
        }
        for media in PICTURES {
            add(MANY, Instance, "/frames/2/rendered", media, comes, false);
        }
        for resource in ["/rendered", "/bulkdata/00420011"] {
            add(PDF, Instance, resource, "application/pdf", comes, false);
        }
    }
    add(MANY, Instance, "/frames/2,1", OCTETS, InParts, true);
    add(MANY, Instance, "/rendered", "image/gif", Bare, false);
    add(SR, Instance, "/rendered", "text/html", Bare, false);
    add(VIDEO, Instance, "/rendered", "video/mp4", Bare, false);
    add(PDF, Instance, "/bulkdata/00420011", OCTETS, Bare, true);
    all
}

/// What an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The media type of the offer, as it comes.
    This,
    /// A good answer of any media type.
    Any,
    /// 406, or a good answer of another media type or form.
    Other,
    /// 406.
    Refused,
}
use Wanted::{Any, Other, Refused, This};

/// A way to ask: the Accept header, the parameter `accept`, and what must come.
type Way = (String, Option<String>, Wanted);

/// Every way to ask for a media type.
fn ways(offer: &Offer) -> Vec<Way> {
    let media = offer.media;
    let (main, _) = media.split_once('/').expect("a media type");
    let own = match offer.comes {
        Bare => media.to_owned(),
        InParts => format!("multipart/related; type=\"{media}\""),
    };
    let upper = match offer.comes {
        Bare => media.to_ascii_uppercase(),
        InParts => format!("Multipart/Related;Type={}", media.to_ascii_uppercase()),
    };
    let mut ways = vec![
        (own.clone(), None, This),
        (upper, None, This),
        (format!("x/none, {own};q=0.3"), None, This),
        (format!("{own};q=0.9, */*;q=0.1"), None, This),
        (format!("not-a-type, {own}, image/png;q=7"), None, This),
        ("x/none".into(), Some(own.clone()), This),
        (own.clone(), Some("x/none".into()), This),
        ("*/*".into(), Some(format!("x/none,{own}")), This),
        ("*/*".into(), None, Any),
        ("*/*".into(), Some("x/none".into()), Any),
        (format!("{own};q=0"), None, Refused),
        (format!("*/*, {own};q=0"), None, Other),
        ("x/none".into(), None, Refused),
        ("x/none".into(), Some("y/none".into()), Refused),
    ];
    // Who takes any image does not ask that an uncompressed frame be encoded.
    let of_main = if offer.resource == "/frames/1" && !is_stored(offer) { Refused } else { Any };
    match offer.comes {
        Bare => ways.push((format!("{main}/*"), None, of_main)),
        InParts => {
            ways.push((format!("multipart/related; type={media}"), None, This));
            ways.push((format!("multipart/related; type=\"{main}/*\""), None, of_main));
            ways.push(("multipart/related".into(), None, Any));
            ways.push(("multipart/*".into(), None, Any));
        }
    }
    if offer.syntax {
        ways.push((format!("{own}; transfer-syntax=*"), None, if is_stored(offer) { This } else { Refused }));
        ways.push((format!("{own}; transfer-syntax=1.2.3.4.5"), None, Refused));
        ways.push((format!("{own}; transfer-syntax=1.2.3.4.5, {own}; q=0.4"), None, This));
        if offer.comes == InParts && is_stored(offer) {
            ways.push((format!("multipart/related; type=\"{media}; transfer-syntax=*\""), None, This));
        }
    }
    ways
}

/// Whether the stored form has the media type, so that `transfer-syntax=*` fits.
fn is_stored(offer: &Offer) -> bool {
    offer.media.starts_with("application/") || offer.file != CT
}

/// Whether an answer is the media type as the offer says it comes.
fn is_this(answer: &Answer, offer: &Offer) -> bool {
    let found = accept::content_type(answer.content_type()).expect("a media type");
    match offer.comes {
        Bare => found.covers_type(offer.media),
        InParts if !found.covers_parts(offer.media, "") => false,
        InParts => {
            let parts = answer.parts();
            let of_parts = parts
                .iter()
                .all(|(media, _)| accept::content_type(media).is_ok_and(|found| found.covers_type(offer.media)));
            !parts.is_empty() && of_parts
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_media_type_comes_in_every_way_it_is_asked_for() {
    let service = Service::open();
    let mut stored = std::collections::BTreeMap::new();
    let names = [CT, MANY, SR, PDF, VIDEO].into_iter().chain(COMPRESSED.map(|(file, _)| file));
    for name in names {
        let answer = service.store("/dicom-web/studies", &[&sample(name)]).await.json();
        let url = answer.pointer("/00081199/Value/0/00081190/Value/0").and_then(|url| url.as_str()).expect("a URL");
        stored.insert(name, url.replace("http://archive.test", ""));
    }
    let (mut wrong, mut count) = (Vec::new(), 0);
    for offer in offers() {
        let instance = &stored[offer.file];
        let series = instance.split("/instances/").next().expect("a series");
        let level = match offer.level {
            Root => "/dicom-web",
            Study => series.split("/series/").next().expect("a study"),
            Series => series,
            Instance => instance,
        };
        for (header, parameter, wanted) in ways(&offer) {
            let mut path = format!("{level}{}", offer.resource);
            if let Some(parameter) = &parameter {
                path.push_str(&format!("?accept={}", percent_encoded(parameter)));
            }
            let answer = service.get(&path, &header).await;
            let good = answer.status == StatusCode::OK;
            let right = match wanted {
                This => good && is_this(&answer, &offer),
                Any => good,
                Other => answer.status == StatusCode::NOT_ACCEPTABLE || good && !is_this(&answer, &offer),
                Refused => answer.status == StatusCode::NOT_ACCEPTABLE,
            };
            count += 1;
            if !right {
                let (status, media) = (answer.status, answer.content_type());
                let what = format!("{} {}{}", offer.file, offer.resource, offer.media);
                wrong.push(format!("{what}: {header} {parameter:?} is {status} {media}, not {wanted:?}"));
            }
        }
    }
    assert!(count > 1_000, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_accept_header_is_refused() {
    let service = Service::open();
    let long = format!("application/dicom+json;x=\"{}\"", "y".repeat(10_000));
    let many = "application/dicom+json,".repeat(450);
    for accept in [&long, &many] {
        assert_eq!(service.get("/dicom-web/studies", accept).await.status, StatusCode::BAD_REQUEST);
        let path = format!("/dicom-web/studies?accept={}", percent_encoded(accept));
        assert_eq!(service.get(&path, "").await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_frames_pass_over_what_only_one_fits() {
    let service = Service::open();
    for name in [MANY, "multiframe/emri_small_jpeg_ls_lossless.dcm"] {
        let answer = service.store("/dicom-web/studies", &[&sample(name)]).await.json();
        let url = answer.pointer("/00081199/Value/0/00081190/Value/0").and_then(|url| url.as_str()).expect("a URL");
        let path = url.replace("http://archive.test", "");
        for (resource, media) in [("frames/1,2", OCTETS), ("frames/1,2", "image/jls"), ("pixeldata", "image/jls")] {
            let path = format!("{path}/{resource}");
            assert_eq!(service.get(&path, media).await.status, StatusCode::NOT_ACCEPTABLE, "{path} {media}");
            let both = format!("{media}, multipart/related; type=\"{media}\"; q=0.1");
            let answer = service.get(&path, &both).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {both}");
            assert!(answer.parts().len() >= 2, "{path} {both}");
        }
    }
}
