//! The Merkle tree of RFC 9162 §2.1: hashing, proofs and their checks. Pure: where hashes are kept is the caller's affair
//! ([`Nodes`]).

use ring::digest;

/// A node of the tree.
pub type Hash = [u8; 32];

/// Longest path of any proof: a tree has at most 2^63 leaves.
pub const PATH_MAX: usize = 64;

/// `SHA-256(0x00 || data)`.
pub fn leaf(data: &[u8]) -> Hash {
    hash(&[&[0], data])
}

/// `SHA-256(0x01 || left || right)`.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

/// The root of a tree without leaves.
pub fn empty() -> Hash {
    hash(&[])
}

pub fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Whole subtrees of a tree: of 2^`level` leaves, from leaf `index` · 2^`level` on.
pub trait Nodes {
    type Error;
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// A tree's right edge: the roots of its largest whole subtrees from left to right, with their levels. Enough to add leaves
/// and to know the root; at most 64 hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    peaks: Vec<(u32, Hash)>,
}

impl Edge {
    /// The edge of a tree of `size` leaves.
    pub fn load<N: Nodes>(size: u64, nodes: &mut N) -> Result<Self, N::Error> {
        let (mut at, mut peaks) = (0, Vec::new());
        for level in (0..u64::BITS).rev() {
            if size >> level & 1 == 1 {
                peaks.push((level, nodes.node(level, at >> level)?));
                at += 1 << level;
            }
        }
        Ok(Self { size, peaks })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; `done` is told of every whole subtree that it completes above the leaf, lowest first, with its level.
    pub fn push(&mut self, leaf: Hash, mut done: impl FnMut(u32, Hash)) {
        let (mut level, mut hash) = (0, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(peak, _)| *peak == level) {
            hash = node(&left, &hash);
            level += 1;
            done(level, hash);
        }
        self.peaks.push((level, hash));
        self.size += 1;
    }

    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = peaks.next() else { return empty() };
        peaks.fold(last, |right, left| node(&left, &right))
    }
}

/// Where an unbalanced range of `n` > 1 leaves is split: the largest power of two below `n`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Root of the leaves from `start`, which is where a subtree begins, to `end`.
fn range<N: Nodes>(start: u64, end: u64, nodes: &mut N) -> Result<Hash, N::Error> {
    let n = end - start;
    if n.is_power_of_two() {
        let level = n.ilog2();
        return nodes.node(level, start >> level);
    }
    let middle = start + split(n);
    Ok(node(&range(start, middle, nodes)?, &range(middle, end, nodes)?))
}

/// The path that proves leaf `index` in a tree of `size` leaves (§2.1.3.1), from the leaf up. `index` < `size`.
pub fn inclusion<N: Nodes>(index: u64, size: u64, nodes: &mut N) -> Result<Vec<Hash>, N::Error> {
    let (mut path, mut start, mut end) = (Vec::new(), 0, size);
    while end.saturating_sub(start) > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(middle, end, nodes)?);
            end = middle;
        } else {
            path.push(range(start, middle, nodes)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The path that proves the tree of `old` leaves a beginning of the one of `size` (§2.1.4.1). 0 < `old` ≤ `size`.
pub fn consistency<N: Nodes>(old: u64, size: u64, nodes: &mut N) -> Result<Vec<Hash>, N::Error> {
    let (mut path, mut start, mut end, mut whole) = (Vec::new(), 0, size, true);
    while end > old {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range(middle, end, nodes)?);
            end = middle;
        } else {
            path.push(range(start, middle, nodes)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(range(start, end, nodes)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` leads from `leaf` at `index` to `root` (§2.1.3.2).
pub fn includes(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size || path.len() > PATH_MAX {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(step, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether `path` proves the tree with `old_root` a beginning of the one with `root` (§2.1.4.2).
pub fn extends(old: u64, old_root: &Hash, size: u64, root: &Hash, path: &[Hash]) -> bool {
    if old == size {
        return path.is_empty() && old_root == root;
    }
    if old == 0 || old > size || path.len() > PATH_MAX {
        return false;
    }
    let mut steps = path.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut at, mut last) = (old - 1, size - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut older, mut newer) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            older = node(step, &older);
            newer = node(step, &newer);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            newer = node(&newer, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && older == *old_root && newer == *root
}

#[cfg(test)]
pub mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// All leaves in memory, and the definition of §2.1.1 word for word: slow and obviously right.
    pub struct Naive(pub Vec<Hash>);

    impl Naive {
        pub fn of(count: u64) -> Self {
            Self((0..count).map(|n| leaf(&n.to_be_bytes())).collect())
        }

        fn root_of(leaves: &[Hash]) -> Hash {
            match leaves {
                [] => empty(),
                [one] => *one,
                more => {
                    let (left, right) = more.split_at(usize::try_from(split(more.len() as u64)).unwrap());
                    node(&Self::root_of(left), &Self::root_of(right))
                }
            }
        }

        pub fn root(&self, size: usize) -> Hash {
            Self::root_of(&self.0[..size])
        }
    }

    impl Nodes for Naive {
        type Error = Infallible;

        fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
            let (width, index) = (1_usize << level, usize::try_from(index).unwrap());
            Ok(Self::root_of(&self.0[index * width..(index + 1) * width]))
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|n| u8::from_str_radix(&text[n..n + 2], 16).unwrap()).collect()
    }

    /// The inputs and roots that the implementations of Certificate Transparency test themselves with.
    #[test]
    fn roots_are_those_known_for_the_reference_inputs() {
        let inputs =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut edge = Edge::default();
        assert_eq!(edge.root().as_slice(), hex(roots[0]));
        for (input, root) in inputs.iter().zip(&roots[1..]) {
            edge.push(leaf(&hex(input)), |_, _| {});
            assert_eq!(edge.root().as_slice(), hex(root), "after {} leaves", edge.size());
        }
    }

    #[test]
    fn every_proof_of_every_small_tree_holds_and_no_other_does() {
        let mut tree = Naive::of(34);
        for size in 1..=34_usize {
            let (n, root) = (size as u64, tree.root(size));
            for index in 0..n {
                let path = inclusion(index, n, &mut tree).unwrap();
                let leaf = tree.0[usize::try_from(index).unwrap()];
                assert!(includes(&leaf, index, n, &path, &root), "{index} in {n}");
                assert!((0..n).all(|other| other == index || !includes(&leaf, other, n, &path, &root)));
                assert!(!includes(&leaf, index, n, &[path.clone(), vec![root]].concat(), &root));
                assert!(path.is_empty() || !includes(&leaf, index, n, &path[1..], &root));
            }
            for old in 1..=n {
                let path = consistency(old, n, &mut tree).unwrap();
                let old_root = tree.root(usize::try_from(old).unwrap());
                assert!(extends(old, &old_root, n, &root, &path), "{old} to {n}");
                for other in (1..n).filter(|other| *other != old) {
                    let other_root = tree.root(usize::try_from(other).unwrap());
                    assert!(!extends(old, &other_root, n, &root, &path), "{old} with the root of {other}");
                }
                assert!(path.is_empty() || !extends(old, &old_root, n, &root, &path[1..]));
            }
        }
    }

    proptest! {
        #[test]
        fn the_edge_has_the_root_of_the_definition_and_can_be_loaded_again(size in 0_u64..600, more in 0_u64..40) {
            let mut tree = Naive::of(size + more);
            let mut edge = Edge::default();
            for leaf in &tree.0[..usize::try_from(size).unwrap()] {
                edge.push(*leaf, |_, _| {});
            }
            prop_assert_eq!(edge.root(), tree.root(usize::try_from(size).unwrap()));
            let mut loaded = Edge::load(size, &mut tree).unwrap();
            prop_assert_eq!(&loaded, &edge);
            for leaf in &tree.0[usize::try_from(size).unwrap()..] {
                loaded.push(*leaf, |_, _| {});
            }
            prop_assert_eq!(loaded.root(), tree.root(tree.0.len()));
        }

        #[test]
        fn proofs_of_large_trees_hold_and_changed_ones_do_not(
            size in 1_u64..3000, a in any::<prop::sample::Index>(), bit in 0_usize..256, step in any::<prop::sample::Index>(),
        ) {
            let mut tree = Naive::of(size);
            let root = tree.root(tree.0.len());
            let index = a.index(tree.0.len());
            let mut path = inclusion(index as u64, size, &mut tree).unwrap();
            prop_assert!(includes(&tree.0[index], index as u64, size, &path, &root));
            let mut between = consistency(index as u64 + 1, size, &mut tree).unwrap();
            let old_root = tree.root(index + 1);
            prop_assert!(extends(index as u64 + 1, &old_root, size, &root, &between));
            for path in [&mut path, &mut between] {
                if !path.is_empty() {
                    let at = step.index(path.len());
                    path[at][bit / 8] ^= 1 << (bit % 8);
                }
            }
            prop_assert!(path.is_empty() || !includes(&tree.0[index], index as u64, size, &path, &root));
            prop_assert!(between.is_empty() || !extends(index as u64 + 1, &old_root, size, &root, &between));
        }
    }
}
