//! `khoanh`: the image archive of a province, as one program.
//!
//! The root package knows every crate and does nothing itself: it reads the command line and the configuration,
//! starts the parts in order, and stops them in order.

mod cli;
mod config;
mod conformance;
mod control;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
