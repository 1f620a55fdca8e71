//! Builds what no crate brings: the C door to libjpeg-turbo, and OpenJPH with its door.
//!
//! OpenJPH lies in `openjph`, as released; its vector code is chosen at run time by what the processor has.

use std::env;
use std::path::{Path, PathBuf};

/// Sources of OpenJPH by the instruction set they need.
const SETS: &[(&str, Option<&str>)] = &[
    ("", None),
    ("_sse", Some("-msse")),
    ("_sse2", Some("-msse2")),
    ("_ssse3", Some("-mssse3")),
    ("_avx", Some("-mavx")),
    ("_avx2", Some("-mavx2")),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=c");
    println!("cargo:rerun-if-changed=openjph");
    jpeg();
    openjph();
}

/// The door to libjpeg-turbo, which jumps out of errors: something only C can do.
fn jpeg() {
    let include = env::var("DEP_TURBOJPEG_INCLUDE").unwrap_or_default();
    let mut build = cc::Build::new();
    for folder in include.split(',').filter(|folder| !folder.is_empty()) {
        build.include(folder);
    }
    build.file("c/jpeg.c").file("c/jpeg_write.c").opt_level(2).compile("khoanh_jpeg");
}

fn openjph() {
    let x86 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    for (suffix, flag) in SETS.iter().filter(|(suffix, _)| x86 || suffix.is_empty()) {
        let mut build = base(x86);
        if let Some(flag) = flag {
            build.flag(flag);
        }
        for file in sources(suffix) {
            build.file(file);
        }
        if suffix.is_empty() {
            build.file("c/htj2k.cpp");
        }
        build.compile(&format!("khoanh_openjph{suffix}"));
    }
    let mut memory = cc::Build::new();
    memory.define("OJPH_ALIGNED_ALLOC_EXISTS", None).opt_level(3).warnings(false);
    memory.include("openjph/openjph").file("openjph/others/ojph_mem_c.c").compile("khoanh_openjph_memory");
}

fn base(x86: bool) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++14").opt_level(3).warnings(false).include("openjph/openjph");
    build.define("OJPH_DISABLE_AVX512", None).define("OJPH_ALIGNED_ALLOC_EXISTS", None);
    build.define("_FILE_OFFSET_BITS", "64");
    if !x86 {
        build.define("OJPH_DISABLE_SIMD", None);
    }
    build
}

/// The C++ files for one instruction set; the empty suffix means those for every processor.
fn sources(suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["codestream", "coding", "others", "transform"] {
        let folder = Path::new("openjph").join(folder);
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let is_cpp = path.extension().is_some_and(|extension| extension == "cpp");
            let own = SETS.iter().skip(1).find(|(set, _)| name.ends_with(set)).map_or("", |(set, _)| set);
            if is_cpp && own == suffix {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
