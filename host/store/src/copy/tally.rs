//! Adds up the rows of a table, in any order, for comparison with those of its copy.

use cairn_effects::rows::Cell;
use cairn_model::value::DigestWriter;

/// The rows of a table: their number, and the sum of their digests, which does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) rows: u64,
    sum: u128,
}

impl Tally {
    /// Adds a row.
    pub(super) fn add(&mut self, row: &[Cell]) {
        let mut digest = DigestWriter::default();
        // A cell is written with its kind and length, so that no two rows are written alike.
        let mut piece = |kind: u8, bytes: &[u8]| {
            digest.update(&[kind]);
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        for cell in row {
            match cell {
                Cell::Null => piece(0, &[]),
                Cell::Int(number) => piece(1, &number.to_le_bytes()),
                Cell::Text(text) => piece(2, text.as_bytes()),
                Cell::Blob(bytes) => piece(3, bytes),
            }
        }
        let digest = digest.finish().0;
        let (first, _) = digest.split_at(16);
        let term = first
            .iter()
            .fold(0, |sum, byte| sum << 8 | u128::from(*byte));
        self.rows += 1;
        self.sum = self.sum.wrapping_add(term);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: &[&[Cell]]) -> Tally {
        let mut tally = Tally::default();
        rows.iter().for_each(|row| tally.add(row));
        tally
    }

    #[test]
    fn the_order_of_rows_does_not_count_and_every_cell_does() {
        let (one, two) = (
            [Cell::Int(1), Cell::Null],
            [Cell::from("ab"), Cell::from("c")],
        );
        assert_eq!(tally(&[&one, &two]), tally(&[&two, &one]));
        for others in [
            [Cell::from("a"), Cell::from("bc")],
            [Cell::from("ab"), Cell::Blob(b"c".as_slice().into())],
            [Cell::from("ab"), Cell::Null],
        ] {
            assert_ne!(tally(&[&one, &two]), tally(&[&one, &others]), "{others:?}");
        }
        assert_ne!(tally(&[&one]), tally(&[&one, &one]));
    }
}
