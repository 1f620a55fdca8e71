//! Rendered images and thumbnails: forms, parameters, limits, and that a picture many ask for is made once.

use super::*;

const CT: &str = "modality/ct-series/01.dcm";
const MR: &str = "multiframe/emri_small.dcm";
const VIDEO: &str = "generated/video-mpeg2.dcm";
const ONE_JPEG: &str = "image/jpeg";

/// A service with some files, and the path of each instance.
async fn with(names: &[&str]) -> (Service, Vec<String>) {
    filled(Service::open(), names).await
}

async fn filled(service: Service, names: &[&str]) -> (Service, Vec<String>) {
    let mut paths = Vec::new();
    for name in names {
        let stored = service.store("/dicom-web/studies", &[&sample(name)]).await;
        assert_eq!(stored.status, StatusCode::OK, "{name}: {:?}", stored.body);
        let url =
            stored.json().pointer("/00081199/Value/0/00081190/Value/0").and_then(|v| v.as_str().map(str::to_owned));
        paths.push(url.expect("a URL").replace("http://archive.test", ""));
    }
    (service, paths)
}

fn series_of(instance: &str) -> &str {
    instance.split("/instances/").next().expect("a series")
}

fn study_of(instance: &str) -> &str {
    instance.split("/series/").next().expect("a study")
}

/// Width and height of a PNG.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    assert!(bytes.starts_with(b"\x89PNG"));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_in_the_media_type_asked_for() {
    let (service, paths) = with(&[CT]).await;
    let rendered = format!("{}/rendered", paths[0]);
    for (accept, media, start) in [
        ("*/*", "image/jpeg", &b"\xFF\xD8\xFF"[..]),
        (ONE_JPEG, "image/jpeg", b"\xFF\xD8\xFF"),
        ("image/png", "image/png", b"\x89PNG"),
        ("image/gif", "image/gif", b"GIF89a"),
    ] {
        let answer = service.get(&rendered, accept).await;
        assert_eq!((answer.status, answer.content_type()), (StatusCode::OK, media), "{accept}");
        assert!(answer.body.starts_with(start), "{accept}");
        let again = service.get(&rendered, accept).await;
        assert!(again.body == answer.body && !answer.header(header::ETAG).is_empty(), "{accept}");
    }
    // The query parameter goes before the header, which OHIF leaves at multipart.
    let asked = format!("{rendered}?accept=image/jpeg");
    let answer = service.get(&asked, "multipart/related; type=application/octet-stream").await;
    assert_eq!(answer.content_type(), ONE_JPEG);
    let parts = service.get(&rendered, "multipart/related; type=\"image/jpeg\"").await.parts();
    assert!(matches!(parts.as_slice(), [(media, bytes)] if media == ONE_JPEG && bytes.starts_with(b"\xFF\xD8")));
    for accept in ["text/html", "video/mp4", "application/dicom"] {
        assert_eq!(service.get(&rendered, accept).await.status, StatusCode::NOT_ACCEPTABLE, "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_count_and_bad_ones_are_refused_with_their_reason() {
    let (service, paths) = with(&[CT]).await;
    let ask = |parameters: &str| format!("{}/rendered?{parameters}", paths[0]);
    let png = "image/png";
    for (parameters, size) in [("", (512, 512)), ("viewport=64,32", (32, 32)), ("viewport=50,60,0,0,256,512", (30, 60))]
    {
        assert_eq!(png_size(&service.get(&ask(parameters), png).await.body), size, "{parameters}");
    }
    let plain = service.get(&ask(""), png).await;
    for other in ["window=400,100,linear", "window=40,400,sigmoid", "window=40,400,linear-exact"] {
        let answer = service.get(&ask(other), png).await;
        assert_eq!(answer.status, StatusCode::OK, "{other}");
        assert!(answer.body != plain.body && answer.header(header::ETAG) != plain.header(header::ETAG), "{other}");
    }
    let (fine, coarse) =
        (service.get(&ask("quality=95"), ONE_JPEG).await, service.get(&ask("quality=10"), ONE_JPEG).await);
    assert!(fine.body.len() > 2 * coarse.body.len());
    let labelled = [
        plain,
        service.get(&ask("annotation=patient"), png).await,
        service.get(&ask("annotation=patient,technique"), png).await,
    ];
    for (at, answer) in labelled.iter().enumerate() {
        let others = labelled.iter().skip(at + 1);
        assert!(
            others
                .clone()
                .all(|other| other.body != answer.body && other.header(header::ETAG) != answer.header(header::ETAG))
        );
        assert_eq!(png_size(&answer.body), (512, 512));
    }
    for (bad, name) in [
        ("window=40,0,linear", "window"),
        ("window=40", "window"),
        ("window=40,400,cubic", "window"),
        ("window=nan,400,linear", "window"),
        ("viewport=1,100000", "viewport"),
        ("viewport=0,5", "viewport"),
        ("viewport=9", "viewport"),
        ("viewport=9,9,600,0,5,5", "viewport"),
        ("quality=0", "quality"),
        ("quality=101", "quality"),
        ("quality=best", "quality"),
        ("iccprofile=maybe", "iccprofile"),
        ("annotation=everything", "annotation"),
    ] {
        let answer = service.get(&ask(bad), png).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        let place = answer.json()["where"].as_str().map(str::to_owned);
        assert_eq!(place, Some(format!("query parameter {name}")), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_pictures_parts_or_an_animation() {
    let (service, paths) = with(&[MR]).await;
    let frame = |list: &str| format!("{}/frames/{list}/rendered", paths[0]);
    assert_eq!(png_size(&service.get(&frame("2"), "image/png").await.body), (64, 64));
    assert_eq!(service.get(&frame("2,3"), "multipart/related; type=image/jpeg").await.parts().len(), 2);
    assert_eq!(service.get(&frame("2,3"), "image/jpeg").await.status, StatusCode::NOT_ACCEPTABLE);
    assert!(service.get(&frame("3,1"), "image/gif").await.body.starts_with(b"GIF89a"));
    let whole = format!("{}/rendered", paths[0]);
    let animation = service.get(&whole, "*/*").await;
    assert_eq!(animation.content_type(), "image/gif");
    let times = animation.body.windows(4).filter(|bytes| *bytes == b"!\xF9\x04\x00" || *bytes == b"!\xF9\x04\x04");
    assert_eq!(times.count(), 10, "one for each frame");
    let first = service.get(&whole, ONE_JPEG).await;
    assert!(first.header(header::WARNING).contains("first of 10"), "{:?}", first.headers);
    for (list, status) in [("0", 400), ("11", 404), ("1000000000", 404), ("1,11", 404), ("x", 400)] {
        for resource in [frame(list), frame(list).replace("rendered", "thumbnail")] {
            // A thumbnail of a list is that of its first frame.
            let status = if resource.ends_with("1,11/thumbnail") { 200 } else { status };
            assert_eq!(service.get(&resource, "*/*").await.status.as_u16(), status, "{resource}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_images_of_a_series_are_one_animation_where_gif_is_asked_for() {
    let names = ["modality/ct-series/03.dcm", CT, "modality/ct-series/02.dcm"];
    let (service, paths) = with(&names).await;
    let rendered = format!("{}/rendered", series_of(&paths[0]));
    let count = |bytes: &[u8]| bytes.windows(3).filter(|three| three == b"!\xF9\x04").count();
    let small = format!("{rendered}?viewport=40,40");
    let animation = service.get(&small, "image/gif").await;
    assert_eq!((animation.status, animation.content_type()), (StatusCode::OK, "image/gif"));
    assert_eq!((count(&animation.body), &animation.body[6..10]), (3, &[40, 0, 40, 0][..]));
    assert!(animation.header(header::WARNING).is_empty(), "{:?}", animation.headers);
    let windowed = service.get(&format!("{small}&window=40,80,linear"), "image/gif").await;
    assert!(windowed.body != animation.body && count(&windowed.body) == 3);
    // Another media type is one picture that stands for the series, and so is the study's.
    for (path, accept) in [(rendered.as_str(), ONE_JPEG), (&rendered, "image/*")] {
        let one = service.get(path, accept).await;
        assert_eq!(one.content_type(), ONE_JPEG, "{accept}");
        assert!(one.header(header::WARNING).contains("stands for 3"), "{accept}");
    }
    let study = service.get(&format!("{}/rendered?viewport=40,40", study_of(&paths[0])), "image/gif").await;
    assert_eq!((study.status, count(&study.body)), (StatusCode::OK, 1));
    // A series of one image that has frames moves like it.
    let (service, paths) = with(&[MR]).await;
    let moving = service.get(&format!("{}/rendered", series_of(&paths[0])), "image/gif").await;
    assert_eq!((moving.status, count(&moving.body)), (StatusCode::OK, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_animation_beyond_its_limits_is_refused_with_their_name() {
    for (frames, pixels, seconds, name) in [
        (2, 1 << 27, 60, "pictures.frames_max"),
        (500, 1 << 16, 60, "pictures.pixels_max"),
        (500, 1 << 27, 0, "pictures.animation_time"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = archive::Options::new(folder.path().join("data"));
        (options.segment_bytes, options.reserve_bytes) = (16 << 20, 1 << 20);
        (options.pictures.frames_max, options.pictures.pixels_max) = (frames, pixels);
        options.pictures.animation_time = std::time::Duration::from_secs(seconds);
        let archive = Archive::open(options).expect("the archive opens");
        let router = router(App::new(Arc::clone(&archive), Options::default(), Tokens::open()));
        let names: Vec<String> = (1..=9).map(|number| format!("modality/mr-series/MR0{number}.dcm")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (service, paths) = filled(Service { router, archive, _folder: folder }, &names).await;
        let refused = service.get(&format!("{}/rendered", series_of(&paths[0])), "image/gif").await;
        assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE, "{name}");
        let detail = refused.json()["detail"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(detail.contains(name), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_beyond_the_limit_are_refused_where_all_are_asked_for() {
    let options = Options { frames_max: 3, ..Options::default() };
    let (service, paths) = filled(Service::with(Tokens::open(), options), &[MR]).await;
    let rendered = format!("{}/rendered", paths[0]);
    let first = service.get(&rendered, ONE_JPEG).await;
    assert!(first.status == StatusCode::OK && first.header(header::WARNING).contains("first of 10"));
    for accept in ["*/*", "image/gif", "multipart/related; type=\"image/jpeg\""] {
        assert_eq!(service.get(&rendered, accept).await.status, StatusCode::NOT_ACCEPTABLE, "{accept}");
    }
    let huge = service.get(&format!("{rendered}?viewport=16384,16384"), ONE_JPEG).await;
    assert_eq!(huge.status, StatusCode::NOT_ACCEPTABLE, "more pixels than pictures.pixels_max");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_keeps_nobody_from_their_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = archive::Options::new(folder.path().join("data"));
    (options.segment_bytes, options.reserve_bytes, options.pictures.at_once) = (16 << 20, 1 << 20, 1);
    let archive = Archive::open(options).expect("the archive opens");
    let router = router(App::new(Arc::clone(&archive), Options::default(), Tokens::open()));
    let (service, paths) = filled(Service { router, archive, _folder: folder }, &[CT, MR]).await;
    let request = Request::get(format!("{}/rendered?viewport=4000,4000", paths[1]))
        .header(header::ACCEPT, "multipart/related; type=\"image/png\"");
    let slow = service.router.clone().oneshot(request.body(Body::empty()).expect("a request"));
    let slow = slow.await.expect("an answer");
    assert_eq!(slow.status(), StatusCode::OK);
    // Nothing of its body is read while the other one asks.
    assert_eq!(service.get(&format!("{}/rendered", paths[0]), ONE_JPEG).await.status, StatusCode::OK);
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn studies_and_series_give_all_pictures_or_one_for_all() {
    let names = ["modality/ct-series/01.dcm", "modality/ct-series/02.dcm", "modality/ct-series/03.dcm", VIDEO];
    let (service, paths) = with(&names).await;
    for path in [study_of(&paths[0]), series_of(&paths[0])] {
        let rendered = format!("{path}/rendered");
        let parts = service.get(&rendered, "multipart/related; type=\"image/jpeg\"").await.parts();
        assert!(parts.len() >= 3 && parts.iter().all(|(media, _)| media == ONE_JPEG), "{rendered}");
        let one = service.get(&rendered, ONE_JPEG).await;
        assert_eq!(one.content_type(), ONE_JPEG);
        assert!(one.header(header::WARNING).contains("stands for"), "{rendered}");
    }
    // A study without any image has no picture.
    let video = service.get(&format!("{}/rendered", study_of(&paths[3])), ONE_JPEG).await;
    assert_eq!(video.status, StatusCode::NOT_FOUND);
    let unknown = service.get("/dicom-web/studies/1.2.3/rendered", ONE_JPEG).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_stand_for_every_level() {
    let (service, paths) = with(&[CT, MR, "generated/encapsulated-pdf.dcm"]).await;
    for path in [study_of(&paths[0]), series_of(&paths[0]), &paths[0], study_of(&paths[1])] {
        let small = service.get(&format!("{path}/thumbnail"), "*/*").await;
        assert_eq!((small.status, small.content_type()), (StatusCode::OK, ONE_JPEG), "{path}");
        assert!(small.body.len() < 60_000 && !small.header(header::ETAG).is_empty(), "{path}");
        let known = Request::get(format!("{path}/thumbnail")).header(header::IF_NONE_MATCH, small.header(header::ETAG));
        let known = service.send(known.body(Body::empty()).expect("a request")).await;
        assert_eq!(known.status, StatusCode::NOT_MODIFIED, "{path}");
        let png = service.get(&format!("{path}/thumbnail?viewport=32,16"), "image/png").await;
        assert_eq!(png_size(&png.body).1, 16, "{path}");
    }
    assert_eq!(service.get(&format!("{}/thumbnail", paths[2]), "*/*").await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get(&format!("{}/thumbnail", study_of(&paths[2])), "*/*").await.status, StatusCode::NOT_FOUND);
    let bad = format!("{}/thumbnail?viewport=32,16,0,0,4,4", paths[0]);
    assert_eq!(service.get(&bad, "*/*").await.status, StatusCode::BAD_REQUEST);

    let uid = |path: &str| study_of(path).rsplit('/').next().expect("a UID").to_owned();
    let list = format!("/dicom-web/thumbnails?StudyInstanceUID={0},{1},9.9,{0}", uid(&paths[0]), uid(&paths[2]));
    let answer = service.get(&list, "*/*").await;
    let found = answer.json();
    assert_eq!(found.as_object().map(serde_json::Map::len), Some(1), "only the image has one");
    assert_eq!(answer.body.iter().filter(|byte| **byte == b':').count(), 1, "a study named twice is answered once");
    assert!(found[uid(&paths[0])].as_str().is_some_and(|text| text.starts_with("/9j/")), "JPEG in base64");
    for bad in ["", "?StudyInstanceUID=1.x"] {
        let answer = service.get(&format!("/dicom-web/thumbnails{bad}"), "*/*").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_many_ask_for_is_made_once() {
    let (service, paths) = with(&[CT]).await;
    let rendered = format!("{}/rendered", paths[0]);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (router, path) = (service.router.clone(), rendered.clone());
        asked.spawn(async move {
            let request = Request::get(path).header(header::ACCEPT, ONE_JPEG).body(Body::empty()).expect("a request");
            let response = router.oneshot(request).await.expect("an answer");
            (response.status(), response.into_body().collect().await.expect("a body").to_bytes())
        });
    }
    let answers = asked.join_all().await;
    assert!(answers.iter().all(|answer| answer.0 == StatusCode::OK && answer.1 == answers[0].1));
    assert_eq!(service.archive.pictures_made(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wado_uri_gives_pictures_by_its_own_names() {
    let (service, paths) = with(&[CT, MR]).await;
    let uri = |path: &str, more: &str| {
        let parts: Vec<&str> = path.split('/').collect();
        let (study, series, instance) = (parts[3], parts[5], parts[7]);
        format!("/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}{more}")
    };
    let plain = service.get(&uri(&paths[0], ""), "*/*").await;
    assert_eq!(plain.content_type(), ONE_JPEG, "what a single frame is answered as");
    assert!(service.get(&uri(&paths[1], ""), "*/*").await.content_type().starts_with("application/dicom"));
    let window = "&contentType=image/png&windowCenter=40&windowWidth=400&rows=100&imageQuality=50";
    assert_eq!(png_size(&service.get(&uri(&paths[0], window), "*/*").await.body), (100, 100));
    let frame = "&contentType=image/png&frameNumber=2&columns=32";
    assert_eq!(png_size(&service.get(&uri(&paths[1], frame), "*/*").await.body), (32, 32));
    for bad in
        ["&windowCenter=1", "&windowCenter=1&windowWidth=0", "&rows=100000", "&imageQuality=200", "&frameNumber=0"]
    {
        let answer = service.get(&uri(&paths[0], &format!("&contentType=image/jpeg{bad}")), "*/*").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let beyond = service.get(&uri(&paths[1], "&contentType=image/jpeg&frameNumber=99"), "*/*").await;
    assert_eq!(beyond.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presentation_state_shows_its_image() {
    let (service, paths) = with(&[CT, "generated/pr-ct-series.dcm"]).await;
    let plain = service.get(&format!("{}/rendered", paths[0]), "image/png").await;
    let state = service.get(&format!("{}/rendered", paths[1]), "image/png").await;
    assert_eq!((state.status, png_size(&state.body)), (StatusCode::OK, (512, 512)));
    let window = service.get(&format!("{}/rendered?window=100,400,linear", paths[0]), "image/png").await;
    assert!(state.body == window.body && state.body != plain.body, "its window is 100, 400");
    let small = service.get(&format!("{}/rendered?viewport=64,64", paths[1]), "*/*").await;
    assert_eq!((small.status, small.content_type()), (StatusCode::OK, ONE_JPEG));

    let uid = |path: &str, at: usize| path.split('/').nth(at).expect("a UID").to_owned();
    let ask = |state: &str, series: &str| {
        let image = &paths[0];
        format!(
            "/wado?requestType=WADO&studyUID={}&seriesUID={}&objectUID={}&contentType=image/png\
             &presentationUID={state}&presentationSeriesUID={series}",
            uid(image, 3),
            uid(image, 5),
            uid(image, 7)
        )
    };
    let by_uri = service.get(&ask(&uid(&paths[1], 7), &uid(&paths[1], 5)), "*/*").await;
    assert!(by_uri.status == StatusCode::OK && by_uri.body == state.body);
    let none = service.get(&ask(&uid(&paths[0], 7), &uid(&paths[0], 5)), "*/*").await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
    assert_eq!(service.get(&ask("1.9", "1.8"), "*/*").await.status, StatusCode::NOT_FOUND);
    let (alone, paths) = with(&["generated/pr-ct-series.dcm"]).await;
    assert_eq!(alone.get(&format!("{}/rendered", paths[0]), "*/*").await.status, StatusCode::NOT_FOUND);
}
