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

/// Many small objects a second are many small allocations, made on one thread and freed on another.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
