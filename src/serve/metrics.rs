//! The process's metrics: one recorder for every crate, rendered by `/metrics` in the Prometheus text format.

use archive::Archive;
use archive::charts::inquiries::VerifierState;
use archive::charts::outbox::LaneState;
use archive::forward::task::LaneStatus;
use metrics::gauge;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Renders the metrics.
pub(super) type Render = web::RenderMetrics;

/// Bounds of latencies in seconds: from one synced append to a stalled disk.
const SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds of everything else that is distributed: objects in a batch, bytes.
const COUNTS: &[f64] = &[
    1.0,
    2.0,
    4.0,
    8.0,
    16.0,
    32.0,
    64.0,
    128.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
];
/// Histograms hold single samples until they are sorted into their buckets.
const SORT_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder for the whole process; first of all, so that nothing is counted in vain.
pub(super) fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets(COUNTS)?
        .install_recorder()?;
    let sorted = handle.clone();
    let sort = move || {
        loop {
            thread::sleep(SORT_EVERY);
            sorted.run_upkeep();
        }
    };
    if let Err(error) = thread::Builder::new().name("metrics".into()).spawn(sort) {
        tracing::warn!(%error, "no thread for the metrics; they are sorted when they are read");
    }
    Ok(handle)
}

/// What `/metrics` answers: the counted metrics, and the archive's state at this moment.
pub(super) fn render(handle: PrometheusHandle, archive: &Arc<Archive>) -> Render {
    // The archive must end when its last user does, and the metrics are none.
    let archive = Arc::downgrade(archive);
    Arc::new(move || {
        if let Some(archive) = archive.upgrade() {
            observe(&archive);
        }
        handle.render()
    })
}

fn observe(archive: &Archive) {
    gauge!("khoanh_ready").set(if archive.readiness().ready { 1.0 } else { 0.0 });
    observe_ledger(archive);
    let Ok(stats) = archive.stats() else { return };
    let total = &stats.index.total;
    gauge!("khoanh_studies").set(number(total.studies));
    gauge!("khoanh_series").set(number(total.series));
    gauge!("khoanh_instances").set(number(total.instances));
    gauge!("khoanh_conflicts").set(number(total.conflicts));
    gauge!("khoanh_stored_bytes").set(number(total.bytes));
    gauge!("khoanh_ingest_memory_bytes").set(number(stats.ingest_bytes));
    if let Some(free) = stats.free_bytes {
        gauge!("khoanh_free_bytes").set(number(free));
    }
    tiers(&archive.tier_status());
    forwarding(&archive.forward_status());
    outbox(&archive.charts().outbox(&model::Caller::operator()));
    verifier(&archive.charts().verifier(&model::Caller::operator()));
    for (source, row) in &stats.index.sources {
        gauge!("khoanh_source_last_received_seconds", "source" => source.clone())
            .set(number(row.last_received) / 1_000.0);
        gauge!("khoanh_queue_objects", "source" => source.clone()).set(0.0);
    }
    for (source, waiting) in stats.waiting {
        gauge!("khoanh_queue_objects", "source" => source).set(u32::try_from(waiting).map_or(f64::MAX, f64::from));
    }
}

fn observe_ledger(archive: &Archive) {
    let Some(state) = archive.ledger_state() else { return };
    gauge!("khoanh_ledger_uncovered_records").set(number(state.uncovered));
    if let Some(size) = state.size {
        gauge!("khoanh_ledger_entries").set(number(size));
    }
    if let Some(signed) = state.head_ms {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        gauge!("khoanh_ledger_head_age_seconds").set((now.as_secs_f64() - number(signed) / 1_000.0).max(0.0));
    }
}

/// Where packs lie as the last walk counted them, and what waits for the cloud.
fn tiers(status: &archive::tier::TierStatus) {
    let tally = &status.tally;
    for (state, lying) in [
        ("hot", tally.hot),
        ("hot+cold", tally.both),
        ("cold", tally.cold),
        ("restoring", tally.restoring),
        ("lost", tally.lost),
    ] {
        gauge!("khoanh_tier_packs", "state" => state).set(number(lying.packs));
        gauge!("khoanh_tier_bytes", "state" => state).set(number(lying.bytes));
    }
    for (due, lying) in [("copy", tally.copy_due), ("release", tally.release_due)] {
        gauge!("khoanh_tier_backlog_packs", "due" => due).set(number(lying.packs));
        gauge!("khoanh_tier_backlog_bytes", "due" => due).set(number(lying.bytes));
    }
    let ahead = &status.ahead;
    gauge!("khoanh_prefetch_expected").set(number(ahead.appointments));
    gauge!("khoanh_prefetch_ready").set(number(ahead.ready));
    gauge!("khoanh_prefetch_waiting_packs").set(number(ahead.waiting.packs));
    gauge!("khoanh_prefetch_waiting_bytes").set(number(ahead.waiting.bytes));
    for volume in &status.volumes {
        let directory = volume.directory.display().to_string();
        gauge!("khoanh_volume_serving", "volume" => directory.clone()).set(if volume.state == "serving" {
            1.0
        } else {
            0.0
        });
        if let Some(free) = volume.free {
            gauge!("khoanh_volume_free_bytes", "volume" => directory).set(number(free));
        }
    }
    let Some(cloud) = &status.cloud else { return };
    gauge!("khoanh_cloud_up").set(if cloud.away.is_none() { 1.0 } else { 0.0 });
    gauge!("khoanh_cache_bytes").set(number(cloud.cache_bytes));
    gauge!("khoanh_cache_hits").set(number(cloud.cache_hits));
    gauge!("khoanh_cache_misses").set(number(cloud.cache_misses));
}

/// What waits for each destination; one that has nothing left is told once more, as nothing.
fn forwarding(lanes: &[LaneStatus]) {
    for lane in lanes {
        let to = lane.to.to_string();
        for (state, tasks) in [("waiting", lane.waiting), ("dead", lane.dead)] {
            gauge!("khoanh_forward_tasks", "to" => to.clone(), "state" => state).set(number(tasks));
        }
        gauge!("khoanh_forward_paused", "to" => to.clone()).set(if lane.paused { 1.0 } else { 0.0 });
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let age = lane.oldest.map_or(0.0, |made| now.as_secs_f64() - number(made) / 1_000.0);
        gauge!("khoanh_forward_oldest_seconds", "to" => to).set(age.max(0.0));
    }
}

/// What waits for each subscription of the outbox.
fn outbox(lanes: &[LaneState]) {
    for lane in lanes {
        let labels =
            [("facility", lane.facility.to_string()), ("subscription", lane.id.clone()), ("name", lane.name.clone())];
        gauge!("khoanh_outbox_waiting", &labels).set(number(lane.waiting));
        gauge!("khoanh_outbox_dead", &labels).set(number(lane.dead));
        gauge!("khoanh_outbox_oldest_seconds", &labels).set(number(lane.oldest_ms) / 1_000.0);
        gauge!("khoanh_outbox_paused", &labels).set(if lane.paused { 1.0 } else { 0.0 });
    }
}

/// What waits to be asked of the verifier, where there is one.
fn verifier(state: &VerifierState) {
    if !state.on {
        return;
    }
    let count = |count: usize| u64::try_from(count).map_or(f64::MAX, number);
    gauge!("khoanh_verifier_answers").set(if state.answers { 1.0 } else { 0.0 });
    gauge!("khoanh_verifier_waiting").set(count(state.waiting));
    gauge!("khoanh_verifier_oldest_seconds").set(number(state.oldest_ms) / 1_000.0);
    gauge!("khoanh_verifier_failed").set(count(state.failed));
}

/// Metrics are floating point; counts stay exact up to 2^53.
fn number(count: u64) -> f64 {
    let (high, low) = (u32::try_from(count >> 32).unwrap_or(u32::MAX), u32::try_from(count & 0xffff_ffff).unwrap_or(0));
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_their_value_as_floating_point() {
        for (count, shown) in [(0, "0"), (4_294_967_297, "4294967297"), (9_007_199_254_740_991, "9007199254740991")] {
            assert_eq!(number(count).to_string(), shown);
        }
    }
}
