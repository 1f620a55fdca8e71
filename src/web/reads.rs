//! What a request reads of studies, for the record of who read what: noted by whoever finds the instances, counted when the
//! answer has begun well, so that what was refused is not recorded.
//!
//! Deliberately not here: when that is written, and what is no reading: searches, and the small pictures that stand for whole
//! studies and series in lists.

use crate::app::Call;
use crate::auth;
use crate::base_url;
use crate::launch::Session;
use crate::routes::Endpoint;
use crate::server::Peer;
use archive::charts::Reader;
use archive::{Archive, InstanceRow, StudyKey};
use http::{StatusCode, header};
use model::chart::Way;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;

/// Studies that a request found, with the number of instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<(StudyKey, u64)>>>);

impl Seen {
    /// Instances were found, to be given.
    pub(crate) fn rows<'a>(&self, rows: impl IntoIterator<Item = &'a InstanceRow>) {
        let mut found: Vec<(StudyKey, u64)> = Vec::new();
        for row in rows {
            match found.iter_mut().find(|(study, _)| *study == row.key.study) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => found.push((row.key.study.clone(), 1)),
            }
        }
        found.into_iter().for_each(|(study, count)| self.add(study, count));
    }

    /// A request may look twice for the same: the most it found counts.
    fn add(&self, study: StudyKey, objects: u64) {
        let mut seen = self.0.lock();
        match seen.iter_mut().find(|(known, _)| *known == study) {
            Some((_, count)) => *count = objects.max(*count),
            None => seen.push((study, objects)),
        }
    }

    /// A study was found, of which no instance is given.
    pub(crate) fn study(&self, study: StudyKey) {
        self.add(study, 0);
    }
}

/// Who asks, beside what is seen for them.
pub(crate) struct Watch {
    reader: Reader,
    seen: Seen,
}

impl Watch {
    /// Of a request that may read.
    pub(crate) fn of(endpoint: Endpoint, call: &Call) -> Self {
        Self { reader: reader(endpoint, call), seen: call.seen.clone() }
    }

    /// Counts what was seen, if it is given.
    pub(crate) fn end(self, archive: &Archive, status: StatusCode) {
        // What has not changed is read from the client's own copy.
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            return;
        }
        let seen = std::mem::take(&mut *self.seen.0.lock());
        for (study, objects) in seen {
            archive.charts().note_read(&self.reader, &study, 1, objects);
        }
    }
}

/// The address of the client: the peer's, or what a trusted proxy says.
fn address(call: &Call) -> Option<IpAddr> {
    let told = base_url::client(call.app.options.trust_forwarded, &call.parts.headers);
    told.or_else(|| call.parts.extensions.get::<Peer>().map(|peer| peer.address))
}

/// Who a session of a link reads for.
pub(crate) fn of_session(call: &Call, session: &Session) -> Reader {
    let way = if session.shared().is_some() { Way::Share } else { Way::Launch };
    Reader { purpose: session.claimed.clone(), address: address(call), ..Reader::new(&session.caller, way) }
}

fn reader(endpoint: Endpoint, call: &Call) -> Reader {
    if let Some(session) = &call.session {
        return of_session(call, session);
    }
    let headers = &call.parts.headers;
    let in_browser =
        !headers.contains_key(header::AUTHORIZATION) && auth::cookie_named(headers, auth::COOKIE).is_some();
    let way = if endpoint == Endpoint::Media {
        Way::Export
    } else if in_browser && call.app.tokens.required() {
        Way::Viewer
    } else if is_pictures(endpoint) {
        Way::Pictures
    } else {
        Way::Dicomweb
    };
    Reader { address: address(call), ..Reader::new(&call.caller, way) }
}

/// Whether an endpoint answers with pictures.
pub(crate) fn is_pictures(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    matches!(
        endpoint,
        E::RenderedStudy
            | E::RenderedSeries
            | E::RenderedInstance
            | E::RenderedFrames
            | E::ThumbnailOfStudy
            | E::ThumbnailOfSeries
            | E::ThumbnailOfInstance
            | E::ThumbnailOfFrames
    )
}

/// Whether what an endpoint answers is, or may be, of a study.
pub(crate) fn may_read(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    is_pictures(endpoint)
        || matches!(
            endpoint,
            E::RetrieveStudy
                | E::RetrieveSeries
                | E::RetrieveInstance
                | E::StudyMetadata
                | E::SeriesMetadata
                | E::InstanceMetadata
                | E::Frames
                | E::BulkData
                | E::StudyPixels
                | E::SeriesPixels
                | E::InstancePixels
                | E::StudyBulkData
                | E::SeriesBulkData
                | E::InstanceBulkData
                | E::Media
                | E::WadoUri
        )
}
