//! What the host does at once with several instructions, found once for all blocks.

use std::ops::Range;

use surety_machine::Decoded;

use super::{
    blocks::Marks,
    rotations::{Part, Recipe, Rotations},
};

/// The joined instructions of a program.
#[derive(Debug)]
pub(super) struct Joins {
    /// What each instruction is in what is done at once.
    pub(super) parts: Vec<Part>,
    /// Instructions that code cannot be entered at, since what is before them is done later.
    pub(super) closed: Marks,
    /// By the first instructions of what they belong to.
    pub(super) recipes: Vec<Recipe>,
}

impl Joins {
    pub(super) fn new(instructions: &[Option<Decoded>], blocks: &[Range<usize>]) -> Self {
        let mut joins = Joins {
            parts: vec![Part::None; instructions.len()],
            closed: Marks::new(instructions.len()),
            recipes: Vec::new(),
        };
        let mut found = Rotations::default();
        for block in blocks {
            found.find(instructions.get(block.clone()).unwrap_or_default());
            if let Some(parts) = joins.parts.get_mut(block.clone()) {
                parts.copy_from_slice(&found.parts);
            }
            for index in &found.within {
                joins.closed.set(block.start + index);
            }
            let start = block.start as u32;
            joins.recipes.extend(found.recipes.iter().map(|recipe| Recipe {
                after: start + recipe.after,
                until: start + recipe.until,
                ..*recipe
            }));
        }
        joins
    }
}
