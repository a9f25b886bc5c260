//! The queens problem: all placements counted by backtracking over arrays of flags.
#![no_std]

use bench_programs::{mix_in, size};

const N: usize = size(13, 7);

struct Board {
    columns: [bool; N],
    up: [bool; 2 * N],
    down: [bool; 2 * N],
    queens: [u8; N],
    found: u32,
    sum: u32,
}

impl Board {
    fn place(&mut self, row: usize) {
        if row == N {
            self.found += 1;
            self.sum = self.queens.iter().fold(self.sum, |sum, &column| mix_in(sum, u32::from(column)));
            return;
        }
        for column in 0..N {
            let (up, down) = (row + column, row + N - column);
            if self.columns[column] || self.up[up] || self.down[down] {
                continue;
            }
            self.set(row, column, true);
            self.queens[row] = column as u8;
            self.place(row + 1);
            self.set(row, column, false);
        }
    }

    fn set(&mut self, row: usize, column: usize, taken: bool) {
        self.columns[column] = taken;
        self.up[row + column] = taken;
        self.down[row + N - column] = taken;
    }
}

/// The number of solutions and what they are.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> u32 {
    let mut board =
        Board { columns: [false; N], up: [false; 2 * N], down: [false; 2 * N], queens: [0; N], found: 0, sum: 0 };
    board.place(0);
    board.found ^ board.sum
}
