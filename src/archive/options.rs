//! What the archive is started with; every limit has a name and a default here.

use crate::charts::{ChartOptions, ShareOptions};
use crate::clock::{Clock, SystemClock};
use crate::codestreams::Compression;
use crate::commitment::CommitmentOptions;
use crate::forward::ForwardOptions;
use crate::proof::LedgerKeeping;
use crate::tier::policy::Policies;
use crate::tier::{AheadOptions, CloudOptions, KeyOptions};
use model::{AeTitle, SamenessKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Start-up options of the archive.
#[derive(Clone)]
pub struct Options {
    /// Data directory: lock, format version, index and, unless named otherwise, the journal.
    pub data: PathBuf,
    /// One or two journal directories; empty means `journal` inside the data directory.
    pub journal: Vec<PathBuf>,
    /// Size of one journal segment file in bytes.
    pub segment_bytes: u64,
    /// Objects above this many bytes get a file of their own.
    pub blob_above: u64,
    /// Below this many free bytes objects are refused until space returns.
    pub reserve_bytes: u64,
    /// Memory for all objects on their way in, in bytes; beyond it they go on in files.
    pub ingest_budget: u64,
    /// Most bytes of one object.
    pub object_bytes_max: u64,
    /// Most different objects kept under one SOP Instance UID of one facility.
    pub copies_max: u16,
    /// Most objects in one sync.
    pub batch_objects_max: usize,
    /// Most bytes gathered for one sync.
    pub batch_bytes_max: u64,
    /// A series without a new instance for this long is quiet.
    pub quiet_after: Duration,
    /// The index is flushed after this many journaled bytes ...
    pub flush_bytes: u64,
    /// ... or after this long.
    pub flush_every: Duration,
    /// Memory of the index's block cache in bytes.
    pub index_cache: usize,
    /// Whether the index's rows are compressed on the disk.
    pub index_compressed: bool,
    /// Memory of prepared metadata documents in bytes.
    pub metadata_cache: u64,
    /// What pictures may cost.
    pub pictures: PictureOptions,
    /// How series become packs, and where those lie.
    pub packs: PackOptions,
    /// Memory of what is read of objects and not yet taken by who asked for it, in bytes; beyond it they are read in
    /// small steps.
    pub read_budget: u64,
    /// How frames are decoded, and by which processes.
    pub decode: codec::pool::Options,
    /// Memory of what is known of images whose frames are decoded, in bytes.
    pub image_cache: u64,
    /// Memory of frames that were decoded or encoded for an answer, in bytes.
    pub frame_cache: u64,
    /// Whether anything is done in the background: packing, moving, scrubbing, executing plans. A command that asks or
    /// changes a little leaves that to the server.
    pub background: bool,
    /// How packs are read again to find damage.
    pub scrub: ScrubOptions,
    /// The bucket of the cold tier; none, and nothing leaves the hot volumes.
    pub cold: Option<CloudOptions>,
    /// How a bucket for backups is reached: everything but its name and prefix counts.
    pub backups: Option<CloudOptions>,
    /// Where the keys of sealed copies lie.
    pub keys: KeyOptions,
    /// Which packs go to the bucket, and which leave the hot volumes.
    pub policies: Policies,
    /// What is fetched from the bucket for those who are expected.
    pub ahead: AheadOptions,
    /// How long studies are kept, and how they are destroyed.
    pub retention: RetentionOptions,
    /// When an object counts as kept for storage commitment.
    pub commitment: CommitmentOptions,
    /// How objects go on to other systems.
    pub forward: ForwardOptions,
    /// How charts are kept.
    pub charts: ChartOptions,
    /// How links for patients are given.
    pub shares: ShareOptions,
    /// AE titles the archive answers to besides those of its sources.
    pub ae_titles: Vec<AeTitle>,
    /// Seeds one demo facility that accepts any AE title from loopback when the registry is empty.
    pub seed_demo: bool,
    /// How the ledger is kept; none when it is off.
    pub ledger: Option<LedgerKeeping>,
    /// Which digest is taken of what comes in; another than the default's only where a test does as earlier versions did.
    pub sameness: SamenessKind,
    /// Source of time.
    pub clock: Arc<dyn Clock>,
}

/// How packs are read again to find damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Whether a thread does so by itself.
    pub enabled: bool,
    /// From the beginning of one pass to that of the next.
    pub cycle: Duration,
    /// Most bytes read in a second.
    pub bytes_per_second: u64,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        Self { enabled: true, cycle: Duration::from_secs(30 * 86_400), bytes_per_second: 32 << 20 }
    }
}

/// What pictures may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureOptions {
    /// Memory of finished pictures in bytes.
    pub cache: u64,
    /// Most pixels of a frame that is shown.
    pub pixels_max: u64,
    /// Most frames of an animation.
    pub frames_max: u32,
    /// Longest time that an animation is made for.
    pub animation_time: Duration,
    /// Pictures made at the same time; each holds a frame and its picture in memory.
    pub at_once: usize,
    /// Whether a thumbnail of every packed series is made in the background.
    pub thumbnails: bool,
}

impl Default for PictureOptions {
    fn default() -> Self {
        Self {
            cache: 64 << 20,
            pixels_max: 128 << 20,
            frames_max: 500,
            animation_time: Duration::from_secs(60),
            at_once: 4,
            thumbnails: true,
        }
    }
}

/// How series become packs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackOptions {
    /// Whether series are packed at all; packs that exist are read in any case.
    pub enabled: bool,
    /// A series without a new instance for this long is packed.
    pub after: Duration,
    /// Most bytes of one pack; a larger series has several.
    pub part_max: u64,
    /// Directories that hold packs; empty means `packs` in the data directory.
    pub volumes: Vec<PathBuf>,
    /// Bytes that stay free on every volume. Less than [`Options::reserve_bytes`], so that packing, which frees the
    /// journal, goes on when the journal takes nothing more.
    pub reserve: u64,
    /// What is compressed when it is packed; nothing but by these rules.
    pub compress: Vec<Compression>,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            after: Duration::from_secs(600),
            part_max: 1 << 30,
            volumes: Vec::new(),
            reserve: 256 << 20,
            compress: Vec::new(),
        }
    }
}

/// How long studies are kept, and how they are destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionOptions {
    /// Text of the rule file that plans go by.
    pub rules: String,
    /// Days between hiding a study and destroying it.
    pub undo_days: u16,
    /// Most studies hidden or destroyed in a second.
    pub studies_per_second: u32,
}

impl RetentionOptions {
    /// The rules delivered with the program.
    pub const BUILT_IN: &'static str = include_str!("../../config/retention.toml");
}

impl Default for RetentionOptions {
    fn default() -> Self {
        Self { rules: Self::BUILT_IN.into(), undo_days: 30, studies_per_second: 20 }
    }
}

impl Options {
    /// The journal directories, named or not.
    pub(crate) fn journal_dirs(&self) -> Vec<PathBuf> {
        if self.journal.is_empty() { vec![self.data.join("journal")] } else { self.journal.clone() }
    }

    /// Defaults over a data directory.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            journal: Vec::new(),
            segment_bytes: 256 << 20,
            blob_above: 8 << 20,
            reserve_bytes: 1 << 30,
            ingest_budget: 96 << 20,
            object_bytes_max: 64 << 30,
            copies_max: 64,
            batch_objects_max: 256,
            batch_bytes_max: 32 << 20,
            quiet_after: Duration::from_secs(20),
            flush_bytes: 2 << 30,
            flush_every: Duration::from_secs(300),
            index_cache: 512 << 20,
            index_compressed: true,
            metadata_cache: 32 << 20,
            pictures: PictureOptions::default(),
            packs: PackOptions::default(),
            read_budget: 256 << 20,
            decode: codec::pool::Options::default(),
            background: true,
            image_cache: 32 << 20,
            frame_cache: 64 << 20,
            scrub: ScrubOptions::default(),
            cold: None,
            backups: None,
            keys: KeyOptions::default(),
            policies: Policies::default(),
            ahead: AheadOptions::default(),
            retention: RetentionOptions::default(),
            commitment: CommitmentOptions::default(),
            forward: ForwardOptions::default(),
            charts: ChartOptions::default(),
            shares: ShareOptions::default(),
            ae_titles: AeTitle::parse("KHOANH").into_iter().collect(),
            seed_demo: true,
            ledger: Some(LedgerKeeping::default()),
            sameness: SamenessKind::default(),
            clock: Arc::new(SystemClock),
        }
    }
}
