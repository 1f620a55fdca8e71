//! The pool over real processes, which are this test program started again.

use super::hostile::sound;
use super::{Look, grey, made};
use crate::pool::{Launch, Options, Pool};
use crate::wire::{Answer, Request};
use crate::worker::Bounds;
use crate::{CodecError, Limits, Target, verified};
use fastrand::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names the variable that turns a test into a decoding process.
const WORKER: &str = "KHOANH_TEST_DECODER";

/// Not a test of its own: where the variable is set, this process is one that decodes.
#[test]
fn entry_of_a_process() {
    if std::env::var_os(WORKER).is_some() {
        crate::worker::serve(Bounds { memory: 1 << 30, processor_seconds: 60 }).expect("serving");
    }
}

fn options() -> Options {
    let launch = Launch {
        program: std::env::current_exe().expect("this program"),
        arguments: vec!["tests::processes::entry_of_a_process".into(), "--exact".into(), "--test-threads=1".into()],
        environment: vec![(WORKER.into(), "1".into())],
    };
    Options { launch: Some(launch), processes: 2, deadline: Duration::from_secs(60), ..Options::default() }
}

/// A compressed frame, its description, and what it decodes to.
fn frame() -> (dataset::pixels::PixelFormat, Vec<u8>, dataset::pixels::DecodedFrame) {
    let format = grey(64, 48, 16, 12, false);
    let frame = made(&format, Look::Smooth, &mut Rng::with_seed(21));
    let bytes = verified(Target::JpegLs, &frame, 16, &Limits::default()).expect("encoded").bytes;
    (format, bytes, frame)
}

fn works(pool: &Pool) {
    let (format, bytes, frame) = frame();
    assert_eq!(pool.decode(Target::JpegLs.uid(), &format, bytes).expect("decoded"), frame);
}

#[test]
fn frames_pass_through_a_process_unchanged() {
    let pool = Pool::new(options());
    works(&pool);
    let (format, bytes, frame) = frame();
    assert_eq!(pool.encode(Target::JpegLs, frame.clone(), 16).expect("encoded").bytes, bytes);
    for target in Target::LOSSLESS {
        let encoded = pool.encode(target, frame.clone(), 16).expect("encoded");
        let format = dataset::pixels::PixelFormat { photometric: encoded.photometric, ..format.clone() };
        assert_eq!(pool.decode(target.uid(), &format, encoded.bytes).expect("decoded"), frame, "{target:?}");
    }
    let broken = pool.decode(Target::JpegLs.uid(), &format, vec![1, 2, 3]);
    assert!(matches!(broken, Err(CodecError::Corrupt(_))), "{broken:?}");
    assert_eq!(pool.counts().started, 1, "one process serves one asker");
    assert_eq!(pool.counts().lost, 0);
}

#[test]
fn a_process_that_dies_costs_its_own_frame() {
    let pool = Pool::new(options());
    let died = pool.run(&Request::Misbehave(0));
    assert!(matches!(died, Err(CodecError::Worker(_))), "{died:?}");
    works(&pool);
    assert_eq!((pool.counts().started, pool.counts().lost), (2, 1));
}

#[test]
fn a_loop_ends_at_the_deadline() {
    let pool = Pool::new(Options { deadline: Duration::from_millis(300), ..options() });
    let looped = pool.run(&Request::Misbehave(1));
    assert!(matches!(looped, Err(CodecError::Limit(_))), "{looped:?}");
    assert_eq!(pool.counts().lost, 1);
}

#[test]
fn a_bomb_meets_the_limit_of_memory() {
    let pool = Pool::new(options());
    let burst = pool.run(&Request::Misbehave(2));
    assert!(matches!(burst, Err(CodecError::Worker(_))), "{burst:?}");
    works(&pool);
}

#[test]
fn a_panic_is_an_answer() {
    let pool = Pool::new(options());
    let answer = pool.run(&Request::Misbehave(3)).expect("an answer");
    assert!(matches!(answer, Answer::Failed(CodecError::Corrupt(_))), "{answer:?}");
    works(&pool);
    assert_eq!(pool.counts().started, 1);
}

#[test]
fn a_process_reaches_neither_files_nor_network_nor_programs() {
    let pool = Pool::new(options());
    let answer = pool.run(&Request::Misbehave(4)).expect("an answer");
    let expected = CodecError::Unsupported("file false, socket false, process false".into());
    assert_eq!(answer, Answer::Failed(expected));
}

#[test]
fn processes_killed_midway_are_replaced() {
    let pool = Arc::new(Pool::new(options()));
    works(&pool);
    pool.kill_idle();
    works(&pool);
    assert_eq!((pool.counts().started, pool.counts().lost), (2, 0));
}

#[test]
fn a_thousand_frames_are_answered_or_refused() {
    let pool = Arc::new(Pool::new(Options { queue: 900, ..options() }));
    let (format, bytes, frame) = frame();
    let askers: Vec<_> = (0..1000)
        .map(|_| {
            let (pool, format, bytes) = (Arc::clone(&pool), format.clone(), bytes.clone());
            std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn(move || pool.decode(Target::JpegLs.uid(), &format, bytes))
                .expect("a thread")
        })
        .collect();
    let (mut right, mut refused) = (0u64, 0u64);
    for asker in askers {
        match asker.join().expect("no panic") {
            Ok(found) if found == frame => right += 1,
            Err(CodecError::Busy(_)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(right + refused, 1000);
    assert_eq!(pool.counts().refused, refused);
    assert!(right >= 900 && pool.counts().started <= 2, "{right} right, {} started", pool.counts().started);
}

#[test]
fn who_waits_too_long_is_told_so() {
    let pool = Arc::new(Pool::new(Options {
        processes: 1,
        wait: Duration::from_millis(50),
        deadline: Duration::from_secs(3),
        ..options()
    }));
    let busy = Arc::clone(&pool);
    let looping = std::thread::spawn(move || busy.run(&Request::Misbehave(1)));
    let until = Instant::now() + Duration::from_secs(20);
    while pool.counts().started == 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    let late = pool.run(&Request::Misbehave(3));
    assert!(matches!(late, Err(CodecError::Busy(_))), "{late:?}");
    assert!(matches!(looping.join().expect("no panic"), Err(CodecError::Limit(_))));
}

/// Some damage makes a library loop for minutes, or die: the reason why frames are decoded over there.
#[test]
fn damaged_frames_cost_themselves() {
    let seed = 12;
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let pool = Pool::new(Options { deadline: Duration::from_secs(1), ..options() });
    for (syntax, format, bytes) in sound() {
        for _ in 0..12 {
            let mut damaged = bytes.clone();
            for _ in 0..rng.usize(1..6) {
                let at = rng.usize(..damaged.len());
                match rng.u8(..4) {
                    0 => damaged[at] = rng.u8(..),
                    1 => damaged[at] ^= 1 << rng.u8(..8),
                    2 => damaged.truncate(at.max(1)),
                    _ => damaged.insert(at, rng.u8(..)),
                }
            }
            if let Ok(frame) = pool.decode(syntax, &format, damaged) {
                let samples = usize::from(format.rows) * usize::from(format.columns) * usize::from(format.samples);
                assert_eq!(frame.words.len(), samples, "{syntax}");
            }
        }
    }
    println!("{:?}", pool.counts());
    works(&pool);
}
