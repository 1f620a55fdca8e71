//! The command line: what can be asked of the program, and how it ends.

mod advice;
mod backup;
mod charts;
mod check_config;
mod correct;
mod destinations;
mod dicom;
mod exit;
mod export;
mod find;
mod forward;
mod get;
mod import;
mod keys;
mod ledger;
mod matches;
mod messages;
mod migrate;
mod outbox;
mod page;
mod persons;
mod progress;
mod reads;
mod rebuild;
mod report;
mod retention;
mod scrub;
mod series;
mod share;
mod sources;
mod status;
mod tiers;
mod usage;
mod verify;

use crate::config::Config;
use crate::control::{Door, Request};
use crate::{conformance, serve};
pub(crate) use check_config::remarks;
use clap::{Args, Parser, Subcommand};
use codec::worker::Bounds;
pub(crate) use exit::{Exit, Failure};
use rustix::fs::Mode;
use rustix::process::umask;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Khoanh, the image archive of a province (kho ảnh y tế của tỉnh).
///
/// Modalities send to it by C-STORE, other archives by STOW-RS; viewers find and read over DICOMweb.
/// Nothing is acknowledged before it is on stable storage.
#[derive(Debug, Parser)]
#[command(name = "khoanh", version, propagate_version = true, after_help = EXITS, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXITS: &str = "\
Exit codes:
  0  done
  1  could not be done; the message says why
  2  wrong arguments or configuration
  3  done, and something was found: damage, refused files, an index that differed
  4  the data directory is in use by another process, or too many commands run
  5  stopped, but not everything ended within its limit; nothing acknowledged is lost
  130  interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the archive until SIGTERM or Ctrl-C.
    #[command(after_help = SERVE_HELP)]
    Serve(Serve),
    /// Adopts folders of DICOM files; files are read, never moved or changed.
    #[command(after_help = import::HELP)]
    Import(import::Import),
    /// What information systems know, loaded from tables (danh sách bệnh nhân và chỉ định).
    #[command(subcommand, after_help = charts::HELP)]
    Charts(charts::Charts),
    /// Re-reads everything stored and compares every digest.
    Verify(Place),
    /// Shows what reading all packs again has found, and repairs from other copies (kiểm tra định kỳ).
    #[command(after_help = scrub::HELP)]
    Scrub(scrub::Scrub),
    /// What is stored, by facility, modality, tier and month, and when the disks fill (dung lượng).
    Usage(usage::Usage),
    /// Copies what is not in the cloud into a directory, only what is new (sao lưu).
    #[command(after_help = backup::HELP)]
    Backup(backup::Backup),
    /// Brings a backup back into an empty data directory and builds its index (khôi phục).
    Restore(backup::Restore),
    /// Writes studies as a DICOM file-set with DICOMDIR into a folder, a ZIP file or a disc image (xuất ra đĩa).
    #[command(after_help = export::HELP)]
    Export(export::Export),
    /// Builds the index from journal and packs alone and proves it equal to the one before. The server must not run.
    RebuildIndex(Place),
    /// Checks a configuration file and shows the values in force.
    CheckConfig(check_config::CheckConfig),
    /// Hospitals and the modalities that send for them (cơ sở y tế và nguồn gửi ảnh).
    #[command(subcommand, after_help = sources::HELP)]
    Sources(sources::Sources),
    /// Whom objects may be sent to by C-MOVE (nơi nhận ảnh).
    #[command(subcommand, after_help = destinations::HELP)]
    Destinations(destinations::Destinations),
    /// What goes on to other systems by itself, and how far it is (chuyển tiếp ảnh).
    #[command(subcommand, after_help = forward::HELP)]
    Forward(forward::Forward),
    /// What other systems are told by HL7 and webhooks, and how far it is (hộp thư đi).
    #[command(subcommand, after_help = outbox::HELP)]
    Outbox(outbox::Outbox),
    /// Copies another archive by C-FIND and C-GET, and reconciles (chuyển kho ảnh cũ qua DICOM).
    #[command(after_help = migrate::HELP)]
    Migrate(migrate::Migrate),
    /// Asks another DICOM system whether it answers: C-ECHO (kiểm tra kết nối).
    Echo(dicom::Echo),
    /// Sends DICOM files to another system by C-STORE (gửi ảnh).
    #[command(after_help = dicom::HELP)]
    Send(dicom::Send),
    /// Asks another archive what it has: C-FIND (tìm ở kho khác).
    #[command(after_help = find::HELP)]
    Find(find::Find),
    /// Fetches a study from another archive into a folder: C-GET (lấy ảnh về).
    #[command(after_help = get::HELP)]
    Get(get::Get),
    /// The signed log that proves what was stored, held and destroyed (sổ cái có chữ ký).
    #[command(subcommand, after_help = ledger::HELP)]
    Ledger(ledger::Ledger),
    /// What the archive holds and whether it is ready.
    Status(status::Status),
    /// Keys of sealed packs: rehearsal, rotation, destruction (khóa mã hóa).
    #[command(subcommand, after_help = keys::HELP)]
    Keys(keys::Keys),
    /// Where packs lie, hot and cold, and what waits (ổ lưu nóng, kho lạnh).
    #[command(subcommand, after_help = tiers::HELP)]
    Tiers(tiers::Tiers),
    /// How long studies are kept, and how they go (thời hạn lưu trữ và hủy ca chụp).
    #[command(subcommand, after_help = retention::HELP)]
    Retention(retention::Retention),
    /// Corrects patient and order of a study; nothing stored changes (hiệu chỉnh thông tin hành chính).
    #[command(after_help = correct::HELP)]
    Correct(Box<correct::Correct>),
    /// Moves, splits and merges series of studies, and back; nothing stored changes (chuyển, tách, gộp loạt ảnh).
    #[command(subcommand, after_help = series::HELP)]
    Series(Box<series::Series>),
    /// Studies and orders that did not find each other, and what a person decides (ghép ca chụp với chỉ định).
    #[command(subcommand, after_help = matches::HELP)]
    Matches(matches::Matches),
    /// Messages of information systems: what became of them, and giving them in again (thông điệp HL7).
    #[command(subcommand, after_help = messages::HELP)]
    Messages(messages::Messages),
    /// Who read which study, in which way, when and from where (nhật ký truy cập).
    #[command(after_help = reads::HELP)]
    Reads(Box<reads::Reads>),
    /// Links that patients open themselves, with a QR code to print (liên kết xem ảnh cho người bệnh).
    #[command(subcommand, after_help = share::HELP)]
    Share(share::Share),
    /// Persons: which patients of all facilities are one (người bệnh giữa các cơ sở).
    #[command(subcommand, after_help = persons::HELP)]
    Persons(persons::Persons),
    /// What was expected of a day and is not there, and how long orders take (báo cáo).
    #[command(subcommand, after_help = report::HELP)]
    Report(report::Report),
    /// Writes the conformance statement of this build (docs/CONFORMANCE.md) to standard output.
    #[command(hide = true)]
    Conformance,
    /// Decodes frames that come through standard input, a socket; started by the archive itself.
    #[command(hide = true)]
    DecodeWorker {
        /// Address space, in bytes.
        #[arg(long)]
        memory: u64,
    },
}

const SERVE_HELP: &str = "\
When it is ready it writes one line to standard output, for programs that start it:
  {\"event\":\"ready\",\"dicom\":\"127.0.0.1:11112\",\"http\":\"127.0.0.1:8080\",\"pid\":4711}
with \"dicom_tls\", \"hl7\" and \"hl7_tls\" in it where they are listened on.
Log lines go to standard error.";

/// Where the archive is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// Configuration file; without one that of KHOANH_CONFIG, else the built-in defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory, before the one in the configuration.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    place: Place,
    /// Address for DICOM, before the one in the configuration; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    dicom: Option<SocketAddr>,
    /// Address for HTTP, before the one in the configuration; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,
    /// Address for HL7 over MLLP, before the one in the configuration; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    hl7: Option<SocketAddr>,
    /// Folder of the viewer (scripts/viewer), before the one in the configuration.
    #[arg(long, value_name = "DIR")]
    viewer: Option<PathBuf>,
    /// Says on standard error what to try next.
    #[arg(long)]
    hints: bool,
}

impl Place {
    /// The configuration in force.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let named = self.config.clone().or_else(|| std::env::var_os("KHOANH_CONFIG").map(PathBuf::from));
        let mut config = Config::load(named.as_deref())?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok(config)
    }

    /// Asks the archive that lies here, whether it serves now or not, and waits for the answer.
    fn ask(&self, request: &Request) -> Result<serde_json::Value, Failure> {
        asked(Door::open(&self.config()?, request)?, request)
    }

    /// The same about what is there: a data directory that does not exist is not made.
    fn ask_existing(&self, request: &Request) -> Result<serde_json::Value, Failure> {
        asked(Door::open_existing(&self.config()?, request)?, request)
    }
}

/// What a command that nobody needs to stop is answered.
fn asked(door: Door, request: &Request) -> Result<serde_json::Value, Failure> {
    door.ask(request, &Arc::new(AtomicBool::new(false)), &mut |_| {})
}

/// Reads the command line, does it, and says how it ended.
pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(asked) => {
            // Help and version are asked for, not wrong.
            let code = if asked.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = asked.print();
            return code.into();
        }
    };
    // Patient data: whatever a command makes is for the archive's own account only.
    umask(Mode::RWXG | Mode::RWXO);
    match dispatch(arguments.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("khoanh: {}", failure.what);
            failure.exit.into()
        }
    }
}

fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(wanted) => {
            let mut config = wanted.place.config()?;
            config.dicom.listen = wanted.dicom.unwrap_or(config.dicom.listen);
            config.http.listen = wanted.http.unwrap_or(config.http.listen);
            config.hl7.listen.0 = wanted.hl7.or(config.hl7.listen.0);
            config.http.viewer = wanted.viewer.unwrap_or(config.http.viewer);
            config.check()?;
            serve::run(&config, wanted.hints)
        }
        Command::Import(wanted) => import::run(&wanted),
        Command::Charts(wanted) => charts::run(&wanted),
        Command::Report(wanted) => report::run(&wanted),
        Command::Verify(place) => verify::run(&place),
        Command::Scrub(wanted) => scrub::run(&wanted),
        Command::Usage(wanted) => usage::run(&wanted),
        Command::Backup(wanted) => backup::run(&wanted),
        Command::Restore(wanted) => backup::run_restore(&wanted),
        Command::Export(wanted) => export::run(&wanted),
        Command::RebuildIndex(place) => rebuild::run(&place),
        Command::CheckConfig(wanted) => check_config::run(&wanted),
        Command::Sources(wanted) => sources::run(&wanted),
        Command::Destinations(wanted) => destinations::run(&wanted),
        Command::Forward(wanted) => forward::run(&wanted),
        Command::Outbox(wanted) => outbox::run(&wanted),
        Command::Migrate(wanted) => migrate::run(&wanted),
        Command::Echo(wanted) => dicom::echo(&wanted),
        Command::Send(wanted) => dicom::send(&wanted),
        Command::Find(wanted) => find::find(&wanted),
        Command::Get(wanted) => get::get(&wanted),
        Command::Ledger(wanted) => ledger::run(&wanted),
        Command::Status(wanted) => status::run(&wanted),
        Command::Keys(wanted) => keys::run(&wanted),
        Command::Tiers(wanted) => tiers::run(&wanted),
        Command::Retention(wanted) => retention::run(&wanted),
        Command::Correct(wanted) => correct::run(&wanted),
        Command::Series(wanted) => series::run(&wanted),
        Command::Matches(wanted) => matches::run(&wanted),
        Command::Messages(wanted) => messages::run(&wanted),
        Command::Reads(wanted) => reads::run(&wanted),
        Command::Share(wanted) => share::run(&wanted),
        Command::Persons(wanted) => persons::run(&wanted),
        Command::Conformance => show(&conformance::statement()),
        Command::DecodeWorker { memory } => decode_worker(memory),
    }
}

fn decode_worker(memory: u64) -> Result<Exit, Failure> {
    let bounds = Bounds { memory, ..Bounds::default() };
    let served = codec::worker::serve(bounds);
    served.map(|()| Exit::Done).map_err(|error| Failure::new(Exit::Failed, format!("decoding: {error}")))
}

/// Writes to standard output; a reader that went away (`khoanh … | head`) is no failure.
pub(crate) fn show(text: &str) -> Result<Exit, Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("standard output: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

#[cfg(test)]
mod tests;
