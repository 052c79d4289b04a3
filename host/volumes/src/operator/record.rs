//! Reads the rows of queries as tuples.

use cairn_effects::rows::{Cell, Field};
use cairn_store::StoreError;
use cairn_store::view::View;

/// A tuple that is read from a row's cells.
pub(super) trait Record: Sized {
    /// Reads the tuple; `None` when the cells are not of its types.
    fn read(cells: &mut dyn Iterator<Item = Cell>) -> Option<Self>;
}

macro_rules! record {
    ($($field:ident)+) => {
        impl<$($field: Field),+> Record for ($($field,)+) {
            fn read(cells: &mut dyn Iterator<Item = Cell>) -> Option<Self> {
                Some(($($field::read(cells.next()?)?,)+))
            }
        }
    };
}

record!(A);
record!(A B);
record!(A B C);
record!(A B C D);
record!(A B C D E);

/// Runs a query, and returns its rows as tuples.
///
/// # Errors
/// [`StoreError::Database`]; also when a row is not of the tuple's types.
pub(super) fn query<R: Record>(
    view: &View<'_>,
    statement: &str,
    parameters: &[Cell],
) -> Result<Vec<R>, StoreError> {
    let rows = view.query(statement, parameters)?.into_iter();
    let records = rows.map(|cells| {
        R::read(&mut cells.into_iter()).ok_or_else(|| {
            StoreError::Database(format!(
                "a row has columns of other types than expected: {statement}"
            ))
        })
    });
    records.collect()
}
