use std::sync::Arc;

use cairn_model::clock::Timestamp;
use cairn_model::id::{FlowId, HostId};
use cairn_model::value::Value;

/// A text that rows share.
pub type Text = Arc<str>;

/// The value of one column, as every database can hold it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// No value.
    Null,
    /// An integer; a flag is 0 or 1, a point in time is microseconds since 1970.
    Int(i64),
    /// A text.
    Text(Text),
    /// Bytes.
    Blob(Arc<[u8]>),
}

/// A [`Cell`] that is borrowed from a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellRef<'a> {
    /// No value.
    Null,
    /// An integer.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// The kind of a column's values, which determines how its cells are read from JSON and written as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer.
    Int,
    /// A flag.
    Bool,
    /// A point in time. A change has it in microseconds since 1970, a look-up as RFC 3339.
    Time,
    /// A text.
    Text,
    /// A text that is a JSON document. A look-up shows the document.
    Json,
    /// Bytes, in hexadecimal.
    Blob,
}

/// A cell that a column cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the column `{column}` cannot hold this value")]
pub struct WrongCell {
    /// The column.
    pub column: &'static str,
}

impl From<CellRef<'_>> for Cell {
    fn from(cell: CellRef<'_>) -> Self {
        match cell {
            CellRef::Null => Self::Null,
            CellRef::Int(number) => Self::Int(number),
            CellRef::Text(text) => Self::Text(text.into()),
            CellRef::Blob(bytes) => Self::Blob(bytes.into()),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<Timestamp> for Cell {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.0)
    }
}

impl From<FlowId> for Cell {
    fn from(flow: FlowId) -> Self {
        Self::Blob(flow.0.as_bytes().as_slice().into())
    }
}

impl From<HostId> for Cell {
    fn from(host: HostId) -> Self {
        Self::Blob(host.0.as_bytes().as_slice().into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Cell {
    /// Borrows the cell.
    pub fn borrow(&self) -> CellRef<'_> {
        match self {
            Self::Null => CellRef::Null,
            Self::Int(number) => CellRef::Int(*number),
            Self::Text(text) => CellRef::Text(text),
            Self::Blob(bytes) => CellRef::Blob(bytes),
        }
    }

    /// Reads the cell of a column of this kind from a change. Returns `None` when the column cannot hold the value.
    pub fn from_plain(value: &Value, kind: Kind) -> Option<Self> {
        Some(match (value, kind) {
            (Value::Null, _) => Self::Null,
            (Value::Bool(flag), _) => Self::Int(i64::from(*flag)),
            (Value::Number(number), _) => Self::Int(number.as_i64()?),
            (Value::String(hex), Kind::Blob) => Self::Blob(from_hex(hex)?.into()),
            (Value::String(text), _) => Self::Text(text.as_str().into()),
            (Value::Array(_) | Value::Object(_), _) => return None,
        })
    }
}

impl CellRef<'_> {
    /// Writes the cell as a change has it.
    pub fn plain(self, kind: Kind) -> Value {
        match (self, kind) {
            (Self::Null, _) => Value::Null,
            (Self::Int(number), Kind::Bool) => Value::from(number != 0),
            (Self::Int(number), _) => Value::from(number),
            (Self::Text(text), _) => Value::from(text),
            (Self::Blob(bytes), _) => Value::from(to_hex(bytes)),
        }
    }

    /// Writes the cell as a look-up shows it.
    pub fn shown(self, kind: Kind) -> Value {
        match (self, kind) {
            (Self::Int(number), Kind::Time) => Value::from(Timestamp(number).to_string()),
            (Self::Text(text), Kind::Json) => serde_json::from_str(text).unwrap_or(Value::Null),
            (cell, kind) => cell.plain(kind),
        }
    }
}

/// A type that a row's field may have.
pub trait Field: Sized {
    /// The kind of its column.
    const KIND: Kind;

    /// Borrows the field as a cell.
    fn cell(&self) -> CellRef<'_>;

    /// Reads the field; returns `None` when it cannot hold the cell.
    fn read(cell: Cell) -> Option<Self>;
}

impl Field for i64 {
    const KIND: Kind = Kind::Int;

    fn cell(&self) -> CellRef<'_> {
        CellRef::Int(*self)
    }

    fn read(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Int(number) => Some(number),
            _ => None,
        }
    }
}

impl Field for bool {
    const KIND: Kind = Kind::Bool;

    fn cell(&self) -> CellRef<'_> {
        CellRef::Int(i64::from(*self))
    }

    fn read(cell: Cell) -> Option<Self> {
        i64::read(cell).map(|number| number != 0)
    }
}

impl Field for Timestamp {
    const KIND: Kind = Kind::Time;

    fn cell(&self) -> CellRef<'_> {
        CellRef::Int(self.0)
    }

    fn read(cell: Cell) -> Option<Self> {
        i64::read(cell).map(Self)
    }
}

impl Field for Text {
    const KIND: Kind = Kind::Text;

    fn cell(&self) -> CellRef<'_> {
        CellRef::Text(self)
    }

    fn read(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A text that is a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub Text);

impl Default for Json {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl Field for Json {
    const KIND: Kind = Kind::Json;

    fn cell(&self) -> CellRef<'_> {
        self.0.cell()
    }

    fn read(cell: Cell) -> Option<Self> {
        Text::read(cell).map(Self)
    }
}

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Arc<[u8]>);

impl Field for Bytes {
    const KIND: Kind = Kind::Blob;

    fn cell(&self) -> CellRef<'_> {
        CellRef::Blob(&self.0)
    }

    fn read(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Blob(bytes) => Some(Self(bytes)),
            _ => None,
        }
    }
}

macro_rules! id_field {
    ($($id:ty),*) => {$(
        impl Field for $id {
            const KIND: Kind = Kind::Blob;

            fn cell(&self) -> CellRef<'_> {
                CellRef::Blob(self.0.as_bytes())
            }

            fn read(cell: Cell) -> Option<Self> {
                match cell {
                    Cell::Blob(bytes) => uuid::Uuid::from_slice(&bytes).ok().map(Self),
                    _ => None,
                }
            }
        }
    )*};
}

id_field!(FlowId, HostId);

impl<F: Field> Field for Option<F> {
    const KIND: Kind = F::KIND;

    fn cell(&self) -> CellRef<'_> {
        self.as_ref().map_or(CellRef::Null, Field::cell)
    }

    fn read(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => F::read(cell).map(Some),
        }
    }
}

/// Writes bytes in lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .map(|pair| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_of_a_change_is_read_as_it_was_written() {
        let cells = [
            (Kind::Int, Cell::Int(-7), json!(-7)),
            (Kind::Bool, Cell::Int(1), json!(true)),
            (Kind::Time, Cell::Int(5), json!(5)),
            (Kind::Text, Cell::Text("a".into()), json!("a")),
            (Kind::Json, Cell::Text("{}".into()), json!("{}")),
            (Kind::Blob, Cell::Blob([0, 255].into()), json!("00ff")),
            (Kind::Text, Cell::Null, json!(null)),
        ];
        for (kind, cell, value) in cells {
            assert_eq!(cell.borrow().plain(kind), value);
            assert_eq!(Cell::from_plain(&value, kind), Some(cell));
        }
        for (kind, value) in [
            (Kind::Text, json!([])),
            (Kind::Int, json!(1.5)),
            (Kind::Blob, json!("0")),
            (Kind::Blob, json!("zz")),
            (Kind::Blob, json!("+f")),
        ] {
            assert_eq!(Cell::from_plain(&value, kind), None, "{value}");
        }
    }

    #[test]
    fn a_look_up_shows_times_and_documents() {
        assert_eq!(
            CellRef::Int(0).shown(Kind::Time),
            json!("1970-01-01T00:00:00.000000Z")
        );
        assert_eq!(
            CellRef::Text("{\"a\":1}").shown(Kind::Json),
            json!({"a": 1})
        );
        assert_eq!(CellRef::Int(0).shown(Kind::Bool), json!(false));
    }

    #[test]
    fn a_field_refuses_what_it_cannot_be() {
        assert_eq!(i64::read(Cell::Null), None);
        assert_eq!(Option::<i64>::read(Cell::Null), Some(None));
        assert_eq!(Text::read(Cell::Int(1)), None);
        assert_eq!(FlowId::read(Cell::Blob([1].into())), None);
    }
}
