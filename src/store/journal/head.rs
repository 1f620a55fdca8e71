//! How the head of a record is made small: zstd with a dictionary that knows what heads look like.
//!
//! The dictionary is part of the format: `heads-1.dict` beside this file, 12 KiB, made by `zstd --train` from heads
//! of synthetic objects. A head of 1.6 KB takes 0.3 KB with it, 0.9 KB without, and a third of the time.
//! What a head says is not known here.

use super::layout::{HEAD_DICTIONARY, HEAD_MAX, HEAD_PLAIN, HEAD_ZSTD};
use std::cell::RefCell;
use std::sync::LazyLock;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Heads shorter than this are stored as they are, in bytes.
const COMPRESS_FROM: usize = 64;
/// Heads are compressed on the way to an answer, so speed counts more than ratio.
const COMPRESS_LEVEL: i32 = 1;

/// Never changes: records name it by their coding.
const DICTIONARY: &[u8] = include_bytes!("heads-1.dict");

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, COMPRESS_LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The head coded as [`HEAD_DICTIONARY`] says, when that is shorter.
pub(crate) fn compress(head: &[u8]) -> Option<Vec<u8>> {
    if head.len() < COMPRESS_FROM {
        return None;
    }
    let coded = COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::with_prepared_dictionary(&ENCODER).ok();
        }
        slot.as_mut()?.compress(head).ok()
    })?;
    (coded.len() < head.len()).then_some(coded)
}

/// The head as it was given; none when the stored bytes do not make one of `raw` bytes.
pub(crate) fn decode(coding: u8, stored: &[u8], raw: u32) -> Option<Vec<u8>> {
    if raw > HEAD_MAX {
        return None;
    }
    let raw = usize::try_from(raw).ok()?;
    let head = match coding {
        HEAD_PLAIN => Some(stored.to_vec()),
        HEAD_ZSTD => zstd::bulk::decompress(stored, raw).ok(),
        HEAD_DICTIONARY => DECOMPRESSOR.with_borrow_mut(|slot| {
            if slot.is_none() {
                *slot = Decompressor::with_prepared_dictionary(&DECODER).ok();
            }
            slot.as_mut()?.decompress(stored, raw).ok()
        }),
        _ => None,
    };
    head.filter(|head| head.len() == raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = br#"{"fact":"instance","seq":5482,"facility":"DEMO0","source":"ct01","via":"cstore"}"#;

    #[test]
    fn a_head_comes_back_whatever_its_coding() {
        let coded = compress(HEAD).expect("shorter");
        let raw = u32::try_from(HEAD.len()).expect("small");
        assert_eq!(decode(HEAD_DICTIONARY, &coded, raw).as_deref(), Some(HEAD));
        let first_version = zstd::bulk::compress(HEAD, 1).expect("compress");
        assert!(coded.len() < first_version.len(), "{} bytes: the dictionary does not help", coded.len());
        assert_eq!(decode(HEAD_ZSTD, &first_version, raw).as_deref(), Some(HEAD));
        assert_eq!(decode(HEAD_PLAIN, HEAD, raw).as_deref(), Some(HEAD));
        assert_eq!(decode(HEAD_DICTIONARY, &coded, raw + 1), None, "another length");
        assert_eq!(decode(HEAD_ZSTD, &coded, raw), None, "another coding");
        assert_eq!(decode(9, HEAD, raw), None, "an unknown coding");
    }

    #[test]
    fn the_dictionary_of_written_records_never_changes() {
        assert_eq!(crc32c::crc32c(DICTIONARY), CRC, "records written with it could not be read any more");
    }

    const CRC: u32 = 0xae6ed027;
}
