//! The tree against known roots, and every proof of every tree up to 130 leaves against its definition.
//!
//! The reference below is RFC 9162, section 2.1, word for word over a list; it deliberately shares nothing with
//! the code but the two hash functions.

use super::*;
use std::convert::Infallible;

const LEAVES: u64 = 130;

/// MTH of section 2.1.1.
fn defined_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(defined_split(leaves.len()));
            node_hash(&defined_root(left), &defined_root(right))
        }
    }
}

fn defined_split(len: usize) -> usize {
    let mut k = 1;
    while k * 2 < len {
        k *= 2;
    }
    k
}

/// PATH of section 2.1.3.1.
fn defined_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = defined_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if index < k {
        (defined_path(index, left), defined_root(right))
    } else {
        (defined_path(index - k, right), defined_root(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF of section 2.1.4.1.
fn defined_proof(first: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if first == leaves.len() {
        return if whole { Vec::new() } else { vec![defined_root(leaves)] };
    }
    let k = defined_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if first <= k {
        (defined_proof(first, left, whole), defined_root(right))
    } else {
        (defined_proof(first - k, right, false), defined_root(left))
    };
    proof.push(sibling);
    proof
}

fn leaves() -> Vec<Hash> {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    (0..LEAVES).map(|_| leaf_hash(&random.u64(..).to_le_bytes())).collect()
}

/// Complete nodes straight from the leaves.
fn node(leaves: &[Hash]) -> impl Fn(u32, u64) -> Result<Hash, Infallible> + '_ {
    move |level, index| {
        let start = usize::try_from(index << level).expect("small");
        Ok(defined_root(&leaves[start..start + (1 << level)]))
    }
}

fn hash(hex: &str) -> Hash {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("text"));
    let bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect();
    bytes.try_into().expect("32 bytes")
}

/// The eight entries and roots that implementations of RFC 6962 test with.
#[test]
fn the_roots_of_the_classic_entries_are_known() {
    let entries: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    assert_eq!(empty_root(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    let mut frontier = Frontier::default();
    assert_eq!(frontier.root(), empty_root());
    for (entry, root) in entries.iter().zip(roots) {
        frontier.push(leaf_hash(entry), |_| ());
        assert_eq!(frontier.root(), hash(root), "{} entries", frontier.size());
    }
}

/// The paths of RFC 6962, section 2.1.3, over the classic entries.
#[test]
fn the_paths_of_the_classic_entries_are_known() {
    let path = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    let path: Vec<Hash> = path.iter().map(|hex| hash(hex)).collect();
    let root = hash("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    assert!(verify_inclusion(0, 8, &leaf_hash(b""), &path, &root));
    assert!(!verify_inclusion(1, 8, &leaf_hash(b""), &path, &root));
}

#[test]
fn a_growing_tree_has_the_defined_roots_and_nodes() {
    let leaves = leaves();
    let mut frontier = Frontier::default();
    for (index, leaf) in leaves.iter().enumerate() {
        let mut level = 0;
        frontier.push(*leaf, |hash| {
            level += 1;
            assert_eq!(*hash, node(&leaves)(level, index as u64 >> level).expect("node"), "leaf {index} level {level}");
        });
        assert_eq!(level, (index + 1).trailing_zeros());
        assert_eq!(frontier.root(), defined_root(&leaves[..=index]));
        assert_eq!(root(frontier.size(), node(&leaves)), Ok(frontier.root()));
        assert_eq!(Frontier::read(frontier.size(), node(&leaves)), Ok(frontier.clone()));
    }
}

#[test]
fn every_inclusion_proof_is_the_defined_one_and_proves_nothing_else() {
    let leaves = leaves();
    for size in 1..=leaves.len() {
        let tree = &leaves[..size];
        let root = defined_root(tree);
        let wide = size as u64;
        for (index, leaf) in (0u64..).zip(tree) {
            let path = inclusion(index, wide, node(tree)).expect("path");
            assert_eq!(path, defined_path(usize::try_from(index).expect("small"), tree), "{index} of {size}");
            assert!(verify_inclusion(index, wide, leaf, &path, &root), "{index} of {size}");
            refuse_wrong_inclusion(index, wide, leaf, &path, &root);
        }
        assert!(!verify_inclusion(wide, wide, &leaves[0], &[], &root), "an index beyond {size}");
    }
}

fn refuse_wrong_inclusion(index: u64, size: u64, leaf: &Hash, path: &[Hash], root: &Hash) {
    for other in (0..size).filter(|other| *other != index) {
        assert!(!verify_inclusion(other, size, leaf, path, root), "{index} of {size} passes as {other}");
    }
    let mut wrong = *leaf;
    wrong[7] ^= 1;
    assert!(!verify_inclusion(index, size, &wrong, path, root));
    for at in 0..path.len() {
        let mut wrong = path.to_vec();
        wrong[at][31] ^= 0x80;
        assert!(!verify_inclusion(index, size, leaf, &wrong, root), "{index} of {size} with step {at} wrong");
        let mut short = path.to_vec();
        short.remove(at);
        assert!(!verify_inclusion(index, size, leaf, &short, root), "{index} of {size} without step {at}");
    }
    let long = [path, &[*root]].concat();
    assert!(!verify_inclusion(index, size, leaf, &long, root), "{index} of {size} with a step too many");
}

#[test]
fn every_consistency_proof_is_the_defined_one_and_proves_nothing_else() {
    let leaves = leaves();
    for second in 1..=leaves.len() {
        let tree = &leaves[..second];
        let new = defined_root(tree);
        for first in 0..=second {
            let old = defined_root(&leaves[..first]);
            let (m, n) = (first as u64, second as u64);
            let path = consistency(m, n, node(tree)).expect("path");
            let defined = if first == 0 { Vec::new() } else { defined_proof(first, tree, true) };
            assert_eq!(path, defined, "{first} in {second}");
            assert!(verify_consistency(m, n, &old, &new, &path), "{first} in {second}");
            refuse_wrong_consistency(m, n, &old, &new, &path);
        }
    }
    assert!(!verify_consistency(3, 2, &leaves[0], &leaves[1], &[]), "a tree that shrinks");
}

fn refuse_wrong_consistency(first: u64, second: u64, old: &Hash, new: &Hash, path: &[Hash]) {
    let mut wrong = *old;
    wrong[0] ^= 1;
    assert!(!verify_consistency(first, second, &wrong, new, path), "{first} in {second}: other old root");
    let mut wrong = *new;
    wrong[0] ^= 1;
    // Anything is an extension of nothing.
    assert_eq!(verify_consistency(first, second, old, &wrong, path), first == 0 && second != 0);
    for at in 0..path.len() {
        let mut wrong = path.to_vec();
        wrong[at][3] ^= 4;
        assert!(!verify_consistency(first, second, old, new, &wrong), "{first} in {second} with step {at} wrong");
        let mut short = path.to_vec();
        short.remove(at);
        assert!(!verify_consistency(first, second, old, new, &short), "{first} in {second} without step {at}");
    }
    let long = [path, &[*new]].concat();
    assert!(!verify_consistency(first, second, old, new, &long), "{first} in {second} with a step too many");
    for other in (1..second).filter(|other| *other != first && first != 0) {
        assert!(!verify_consistency(other, second, old, new, path), "{first} in {second} passes as {other}");
    }
}
