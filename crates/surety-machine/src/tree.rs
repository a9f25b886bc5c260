//! Persistent binary keccak-256 trees over sparse memory, and proofs of their leaves.
//!
//! Leaves of 32 bytes are held 128 to a page. A tree's branches are shared between versions, so keeping an old
//! version costs only what has changed since. Parts that are all zero take no space and no hashing.

use crate::hash::{Hash, ZERO, keccak, parent};
use crate::zero_roots::ZERO_ROOTS;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes in a leaf.
pub const LEAF_BYTES: usize = 32;
/// Bytes in a page, the unit in which memory is kept.
pub const PAGE_BYTES: usize = 4096;
/// Height of a page's own tree: 128 leaves.
pub(crate) const PAGE_HEIGHT: u8 = 7;
/// A page keeps the nodes from this level up, each over `CHUNK_BYTES`.
const CHUNK_HEIGHT: u8 = 3;
const CHUNK_BYTES: usize = LEAF_BYTES << CHUNK_HEIGHT;
const CHUNKS: usize = PAGE_BYTES / CHUNK_BYTES;

pub(crate) type PageBytes = [u8; PAGE_BYTES];

/// Hashes pairs of nodes of a tree, many at a time.
pub trait PairHasher {
    /// keccak-256 of each of `pairs`, into `hashes`, which is as long.
    fn hash_pairs(&self, pairs: &[[u8; 64]], hashes: &mut [Hash]);
}

/// The plain way.
pub(crate) struct OneByOne;

impl PairHasher for OneByOne {
    fn hash_pairs(&self, pairs: &[[u8; 64]], hashes: &mut [Hash]) {
        for (pair, hash) in pairs.iter().zip(hashes) {
            *hash = keccak(&[pair]);
        }
    }
}

fn pairs(bytes: &[u8]) -> &[[u8; 64]] {
    bytes.as_chunks().0
}

/// A page whose hash is known.
pub(crate) struct Page {
    pub(crate) bytes: PageBytes,
    /// A heap: 1 is the page's root, the children of i are 2i and 2i + 1, the last 16 are the chunks'.
    nodes: [Hash; 2 * CHUNKS],
}

impl Page {
    /// The page of zeros.
    pub(crate) fn zero() -> Self {
        let mut nodes = [ZERO; 2 * CHUNKS];
        for (i, node) in nodes.iter_mut().enumerate().skip(1) {
            *node = ZERO_ROOTS[usize::from(PAGE_HEIGHT) - i.ilog2() as usize];
        }
        Page {
            bytes: [0; PAGE_BYTES],
            nodes,
        }
    }

    /// The page with these bytes; only what differs from `old` is hashed.
    fn new(bytes: &PageBytes, old: &Page, hasher: &dyn PairHasher) -> Self {
        let mut nodes = old.nodes;
        let mut changed = [false; 2 * CHUNKS];
        let (chunks, _) = bytes.as_chunks::<CHUNK_BYTES>();
        let (old_chunks, _) = old.bytes.as_chunks::<CHUNK_BYTES>();
        // The changed chunks one after the other, so that one level of all of them is hashed at once.
        let mut gathered = [0; PAGE_BYTES];
        let mut slots = [0; CHUNKS];
        let mut count = 0;
        for (i, (chunk, old_chunk)) in chunks.iter().zip(old_chunks).enumerate() {
            if chunk == old_chunk {
                continue;
            }
            changed[CHUNKS + i] = true;
            if *chunk == [0; CHUNK_BYTES] {
                nodes[CHUNKS + i] = ZERO_ROOTS[usize::from(CHUNK_HEIGHT)];
            } else {
                gathered[count * CHUNK_BYTES..][..CHUNK_BYTES].copy_from_slice(chunk);
                slots[count] = CHUNKS + i;
                count += 1;
            }
        }
        let mut hashes = [ZERO; PAGE_BYTES / 64];
        let mut length = count * CHUNK_BYTES;
        for _ in 0..CHUNK_HEIGHT {
            hasher.hash_pairs(pairs(&gathered[..length]), &mut hashes[..length / 64]);
            length /= 2;
            gathered[..length].copy_from_slice(hashes[..length / LEAF_BYTES].as_flattened());
        }
        for (slot, hash) in slots.iter().zip(&hashes[..count]) {
            nodes[*slot] = *hash;
        }
        let mut first = CHUNKS / 2;
        while first > 0 {
            let mut parents = [0; CHUNKS / 2];
            let mut count = 0;
            for i in first..2 * first {
                if changed[2 * i] || changed[2 * i + 1] {
                    changed[i] = true;
                    gathered[count * 64..][..32].copy_from_slice(&nodes[2 * i]);
                    gathered[count * 64 + 32..][..32].copy_from_slice(&nodes[2 * i + 1]);
                    parents[count] = i;
                    count += 1;
                }
            }
            hasher.hash_pairs(pairs(&gathered[..count * 64]), &mut hashes[..count]);
            for (i, hash) in parents.iter().zip(&hashes[..count]) {
                nodes[*i] = *hash;
            }
            first /= 2;
        }
        Page { bytes: *bytes, nodes }
    }

    /// The node at `level` (at most 7) over the leaves `index << level` and on; `index` is within the page.
    fn node(&self, level: u8, index: usize) -> Hash {
        if level >= CHUNK_HEIGHT {
            self.nodes[(1 << (PAGE_HEIGHT - level)) + index]
        } else {
            subtree(&self.bytes, index << level, level)
        }
    }
}

/// The root of the subtree of this height whose first leaf is `first`.
fn subtree(bytes: &[u8], first: usize, height: u8) -> Hash {
    let (leaves, _) = bytes.as_chunks::<LEAF_BYTES>();
    match height {
        0 => leaves[first],
        1 => {
            let (left, right) = (&leaves[first], &leaves[first + 1]);
            if *left == ZERO && *right == ZERO {
                ZERO_ROOTS[1]
            } else {
                parent(left, right)
            }
        }
        _ => {
            let left = subtree(bytes, first, height - 1);
            let right = subtree(bytes, first + (1 << (height - 1)), height - 1);
            let zero = &ZERO_ROOTS[usize::from(height) - 1];
            if left == *zero && right == *zero {
                ZERO_ROOTS[usize::from(height)]
            } else {
                parent(&left, &right)
            }
        }
    }
}

/// A subtree of whole pages.
#[derive(Clone)]
enum Node {
    Zero,
    Page(Arc<Page>),
    Branch(Arc<Branch>),
}

struct Branch {
    hash: Hash,
    left: Node,
    right: Node,
}

impl Node {
    fn hash(&self, level: u8) -> Hash {
        match self {
            Node::Zero => ZERO_ROOTS[usize::from(level)],
            Node::Page(page) => page.nodes[1],
            Node::Branch(branch) => branch.hash,
        }
    }

    fn children(&self) -> (&Node, &Node) {
        match self {
            Node::Branch(branch) => (&branch.left, &branch.right),
            // A page has no children here: it is always at the page level, where no caller descends further.
            Node::Zero | Node::Page(_) => (&Node::Zero, &Node::Zero),
        }
    }

    /// This node at `level`, whose first page is `first`, with `pages` (sorted by number, all within it) put in place.
    fn with(&self, level: u8, first: u32, pages: &[(u32, Arc<Page>)]) -> Node {
        if level <= PAGE_HEIGHT {
            return match pages.last() {
                None => self.clone(),
                Some((_, page)) if page.nodes[1] == ZERO_ROOTS[usize::from(PAGE_HEIGHT)] => Node::Zero,
                Some((_, page)) => Node::Page(page.clone()),
            };
        }
        if pages.is_empty() {
            return self.clone();
        }
        let middle = first + (1 << (level - 1 - PAGE_HEIGHT));
        let (low, high) = pages.split_at(pages.partition_point(|(number, _)| *number < middle));
        let (left, right) = self.children();
        let left = left.with(level - 1, first, low);
        let right = right.with(level - 1, middle, high);
        if matches!((&left, &right), (Node::Zero, Node::Zero)) {
            return Node::Zero;
        }
        let hash = parent(&left.hash(level - 1), &right.hash(level - 1));
        Node::Branch(Arc::new(Branch { hash, left, right }))
    }
}

/// A binary keccak-256 tree of 2^height leaves of 32 bytes, with the bytes. Cloning it is cheap.
///
/// A leaf's node is its 32 bytes; a parent is keccak-256(left ‖ right). A tree of height 0 is its one leaf.
#[derive(Clone)]
pub struct Tree {
    height: u8,
    root: Node,
    zero: Arc<Page>,
}

impl core::fmt::Debug for Tree {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tree")
            .field("height", &self.height)
            .finish_non_exhaustive()
    }
}

impl Tree {
    /// An all-zero tree. A height above 27 counts as 27.
    #[must_use]
    pub fn zero(height: u8) -> Self {
        Tree {
            height: height.min(crate::state::MAX_HEIGHT),
            root: Node::Zero,
            zero: Arc::new(Page::zero()),
        }
    }

    /// The tree has 2^height leaves.
    #[must_use]
    pub fn height(&self) -> u8 {
        self.height
    }

    /// How many bytes the tree covers: at most 2^32.
    #[must_use]
    pub fn size(&self) -> u64 {
        (LEAF_BYTES as u64) << self.height
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        if self.height < PAGE_HEIGHT {
            self.page(0).node(self.height, 0)
        } else {
            self.root.hash(self.height)
        }
    }

    /// How many pages the tree covers; a tree smaller than a page has one.
    pub(crate) fn page_count(&self) -> usize {
        1 << self.height.saturating_sub(PAGE_HEIGHT)
    }

    /// The page with this number; the zero page if there is none.
    pub(crate) fn page(&self, number: u32) -> &Arc<Page> {
        let mut node = &self.root;
        for level in (PAGE_HEIGHT..self.height).rev() {
            let (left, right) = node.children();
            node = if number >> (level - PAGE_HEIGHT) & 1 == 0 {
                left
            } else {
                right
            };
        }
        match node {
            Node::Page(page) => page,
            Node::Zero | Node::Branch(_) => &self.zero,
        }
    }

    /// The 4,096 bytes from address 4,096 × `number` on; `None` where they are all zero because none was ever written.
    #[must_use]
    pub fn page_bytes(&self, number: u32) -> Option<&[u8; PAGE_BYTES]> {
        let page = self.page(number);
        (!Arc::ptr_eq(page, &self.zero)).then_some(&page.bytes)
    }

    /// Calls `visit` with number and bytes of each page that is not all zero because none was ever written, in order.
    pub fn visit_pages(&self, visit: &mut dyn FnMut(u32, &[u8; PAGE_BYTES])) {
        fn walk(node: &Node, level: u8, first: u32, visit: &mut dyn FnMut(u32, &PageBytes)) {
            match node {
                Node::Zero => {}
                Node::Page(page) => visit(first, &page.bytes),
                Node::Branch(branch) => {
                    let half = 1u32 << (level - 1 - PAGE_HEIGHT);
                    walk(&branch.left, level - 1, first, visit);
                    walk(&branch.right, level - 1, first + half, visit);
                }
            }
        }
        walk(&self.root, self.height.max(PAGE_HEIGHT), 0, visit);
    }

    /// Puts changed pages in place: their numbers, ascending, and their bytes. Those outside the tree are left out.
    pub fn update_pages<'a>(
        &mut self,
        changed: impl Iterator<Item = (u32, &'a [u8; PAGE_BYTES])>,
        hasher: &dyn PairHasher,
    ) {
        let count = self.page_count();
        self.update(changed.filter(|(number, _)| (*number as usize) < count), hasher);
    }

    /// Puts changed pages, sorted by number and each below the page count, in place. Gives back those pages.
    pub(crate) fn update<'a>(
        &mut self,
        changed: impl Iterator<Item = (u32, &'a PageBytes)>,
        hasher: &dyn PairHasher,
    ) -> Vec<(u32, Arc<Page>)> {
        let pages: Vec<_> = changed
            .map(|(number, bytes)| (number, Arc::new(Page::new(bytes, self.page(number), hasher))))
            .collect();
        self.root = self.root.with(self.height.max(PAGE_HEIGHT), 0, &pages);
        pages
    }

    /// The proof of leaf `index`, taken modulo the number of leaves.
    #[must_use]
    pub fn prove(&self, index: u32) -> Proof {
        let index = index & ((1u32 << self.height) - 1);
        let mut siblings = [ZERO; 27];
        let mut node = &self.root;
        for level in (PAGE_HEIGHT..self.height).rev() {
            let (left, right) = node.children();
            let (next, sibling) = if index >> level & 1 == 0 {
                (left, right)
            } else {
                (right, left)
            };
            siblings[usize::from(level)] = sibling.hash(level);
            node = next;
        }
        let page = self.page(index >> PAGE_HEIGHT);
        let within = index as usize & ((1 << PAGE_HEIGHT) - 1);
        for level in 0..PAGE_HEIGHT.min(self.height) {
            siblings[usize::from(level)] = page.node(level, within >> level ^ 1);
        }
        let mut proof = Proof {
            leaf: page.node(0, within),
            bitmap: 0,
            siblings: Vec::new(),
        };
        for (level, sibling) in siblings.iter().enumerate().take(usize::from(self.height)) {
            if *sibling != ZERO_ROOTS[level] {
                proof.bitmap |= 1 << level;
                proof.siblings.push(*sibling);
            }
        }
        proof
    }
}

/// A proof of one leaf: the siblings on the way to the root, less those that are roots of all-zero trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The leaf's 32 bytes.
    pub leaf: [u8; LEAF_BYTES],
    /// Bit i is set when the sibling at level i is in `siblings`.
    pub bitmap: u32,
    /// The siblings that are given, lowest level first.
    pub siblings: Vec<Hash>,
}

impl Proof {
    /// The root of a tree of this height whose leaf `index` is `leaf`, with this proof's siblings. `None` if the height is above 27, or the
    /// bitmap has a bit at or above the height, or does not go with the siblings.
    #[must_use]
    pub fn root_with(&self, leaf: &[u8; LEAF_BYTES], index: u32, height: u8) -> Option<Hash> {
        let fits = height <= crate::state::MAX_HEIGHT && self.bitmap >> height == 0;
        if !fits || self.bitmap.count_ones() as usize != self.siblings.len() {
            return None;
        }
        let mut given = self.siblings.iter();
        let mut node = *leaf;
        for (level, zero) in ZERO_ROOTS.iter().enumerate().take(usize::from(height)) {
            let sibling = if self.bitmap >> level & 1 == 1 {
                given.next()?
            } else {
                zero
            };
            node = if index >> level & 1 == 0 {
                parent(&node, sibling)
            } else {
                parent(sibling, &node)
            };
        }
        Some(node)
    }

    /// Appends the encoding: leaf ‖ bitmap ‖ siblings.
    pub fn encode_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.leaf);
        bytes.extend_from_slice(&self.bitmap.to_be_bytes());
        bytes.extend_from_slice(self.siblings.as_flattened());
    }

    /// Takes a proof off the front of `bytes`; `None` if they end too soon.
    pub fn decode_from(bytes: &mut &[u8]) -> Option<Proof> {
        let (leaf, rest) = bytes.split_first_chunk::<LEAF_BYTES>()?;
        let (bitmap, rest) = rest.split_first_chunk::<4>()?;
        let bitmap = u32::from_be_bytes(*bitmap);
        let (siblings, rest) = rest.split_at_checked(bitmap.count_ones() as usize * LEAF_BYTES)?;
        *bytes = rest;
        let (siblings, _) = siblings.as_chunks::<LEAF_BYTES>();
        Some(Proof {
            leaf: *leaf,
            bitmap,
            siblings: siblings.to_vec(),
        })
    }
}
