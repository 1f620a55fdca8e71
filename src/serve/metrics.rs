//! The process's metrics: one recorder for every crate, rendered by `/metrics` in the Prometheus text format.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
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

/// Installs the recorder for the whole process.
pub(super) fn start() -> Result<Render, BuildError> {
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
    Ok(Arc::new(move || handle.render()))
}
