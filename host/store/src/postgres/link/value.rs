//! Cells on the wire: parameters are encoded by the type that the prepared statement gives them, and columns are read into cells.

use std::error::Error;
use std::fmt;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type};

use cairn_effects::rows::{Cell, CellRef};

/// The server takes no larger message; the rest of a message is small.
const MOST_BYTES: usize = (1 << 30) - (1 << 20);

/// Microseconds from 1970-01-01 to 2000-01-01, which PostgreSQL counts from.
const EPOCH: i64 = 946_684_800_000_000;

/// A parameter of a statement.
#[derive(Clone)]
pub enum Parameter<'a> {
    /// One value.
    Cell(CellRef<'a>),
    /// An array with one element a row, for `unnest`.
    Array(Vec<CellRef<'a>>),
}

impl<'a> From<&'a Cell> for Parameter<'a> {
    fn from(cell: &'a Cell) -> Self {
        Self::Cell(cell.borrow())
    }
}

/// Prints no values: the database's library logs parameters at the level `debug`.
impl fmt::Debug for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cell(_) => "a value",
            Self::Array(_) => "an array",
        })
    }
}

/// Checks the parameters of a statement before anything of it is sent.
///
/// # Errors
/// The first parameter that the statement cannot take, by its number.
pub(super) fn check(parameters: &[Parameter<'_>], types: &[Type]) -> Result<(), String> {
    if parameters.len() != types.len() {
        return Err(format!(
            "the statement has {} parameters, and {} were given",
            types.len(),
            parameters.len()
        ));
    }
    let mut bytes = 0_usize;
    for (at, (parameter, wanted)) in parameters.iter().zip(types).enumerate() {
        let wrong = |problem: String| format!("parameter ${}: {problem}", at + 1);
        match (parameter, wanted.kind()) {
            (Parameter::Cell(cell), _) => bytes += fits(*cell, wanted).map_err(wrong)?,
            (Parameter::Array(cells), Kind::Array(element)) => {
                for cell in cells {
                    bytes += 4 + fits(*cell, element).map_err(wrong)?;
                }
            }
            (Parameter::Array(_), _) => {
                return Err(wrong(format!("an array in place of the type {wanted}")));
            }
        }
    }
    if bytes > MOST_BYTES {
        return Err(format!(
            "the parameters have {bytes} bytes; PostgreSQL takes at most {MOST_BYTES} in one statement"
        ));
    }
    Ok(())
}

/// The number of bytes of a cell as a value of a type.
fn fits(cell: CellRef<'_>, wanted: &Type) -> Result<usize, String> {
    let is_text = |wanted: &Type| {
        matches!(
            *wanted,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN
        )
    };
    let range = |number: i64| format!("{number} is out of the range of the type {wanted}");
    match cell {
        CellRef::Null => Ok(0),
        CellRef::Int(number) => match *wanted {
            Type::INT8 | Type::TIMESTAMPTZ => Ok(8),
            Type::INT4 if i32::try_from(number).is_ok() => Ok(4),
            Type::OID if u32::try_from(number).is_ok() => Ok(4),
            Type::INT2 if i16::try_from(number).is_ok() => Ok(2),
            Type::BOOL if matches!(number, 0 | 1) => Ok(1),
            Type::INT4 | Type::OID | Type::INT2 | Type::BOOL => Err(range(number)),
            _ => Err(format!("a number in place of the type {wanted}")),
        },
        CellRef::Text(text) if is_text(wanted) => match text.bytes().position(|byte| byte == 0) {
            None => Ok(text.len()),
            Some(at) => Err(format!(
                "a text has the character NUL after {at} bytes, which PostgreSQL cannot store"
            )),
        },
        CellRef::Text(_) => Err(format!("a text in place of the type {wanted}")),
        CellRef::Blob(bytes) if *wanted == Type::BYTEA => Ok(bytes.len()),
        CellRef::Blob(bytes) if *wanted == Type::UUID && bytes.len() == 16 => Ok(16),
        CellRef::Blob(_) => Err(format!("bytes in place of the type {wanted}")),
    }
}

/// Writes a cell that [`check`] let through.
fn write(cell: CellRef<'_>, wanted: &Type, out: &mut BytesMut) -> IsNull {
    match cell {
        CellRef::Null => return IsNull::Yes,
        CellRef::Int(number) => match *wanted {
            Type::TIMESTAMPTZ => out.put_i64(number.saturating_sub(EPOCH)),
            // The low bytes of a number in the range of the type.
            Type::INT4 | Type::OID => out.put_i32(number as i32),
            Type::INT2 => out.put_i16(number as i16),
            Type::BOOL => out.put_u8(u8::from(number != 0)),
            _ => out.put_i64(number),
        },
        CellRef::Text(text) => out.put_slice(text.as_bytes()),
        CellRef::Blob(bytes) => out.put_slice(bytes),
    }
    IsNull::No
}

impl ToSql for Parameter<'_> {
    fn to_sql(
        &self,
        wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let cells = match self {
            Self::Cell(cell) => return Ok(write(*cell, wanted, out)),
            Self::Array(cells) => cells,
        };
        let Kind::Array(element) = wanted.kind() else {
            return Err("an array in place of one value".into());
        };
        out.reserve(20 + cells.len() * 12);
        out.put_i32(i32::from(!cells.is_empty()));
        out.put_i32(i32::from(cells.contains(&CellRef::Null)));
        out.put_u32(element.oid());
        if !cells.is_empty() {
            out.put_i32(i32::try_from(cells.len())?);
            out.put_i32(1);
        }
        for cell in cells {
            let at = out.len();
            out.put_i32(-1);
            if let IsNull::No = write(*cell, element, out) {
                let length = i32::try_from(out.len() - at - 4)?;
                out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(wanted, out)
    }
}

/// A column of a row, as it is read.
pub(super) struct Read(pub(super) Cell);

impl<'a> FromSql<'a> for Read {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let cell = match *kind {
            Type::INT8 => Cell::Int(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => Cell::Int(i32::from_be_bytes(raw.try_into()?).into()),
            Type::OID => Cell::Int(u32::from_be_bytes(raw.try_into()?).into()),
            Type::INT2 => Cell::Int(i16::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => Cell::Int(i64::from(<[u8; 1]>::try_from(raw)?[0] != 0)),
            Type::TIMESTAMPTZ => {
                let since = i64::from_be_bytes(raw.try_into()?);
                Cell::Int(since.saturating_add(EPOCH))
            }
            Type::NUMERIC => Cell::Int(whole(raw).ok_or("a number with a fraction, or too large")?),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                Cell::Text(std::str::from_utf8(raw)?.into())
            }
            Type::BYTEA | Type::UUID => Cell::Blob(raw.into()),
            Type::VOID => Cell::Null,
            _ => return Err(format!("no cell holds the type {kind}").into()),
        };
        Ok(Self(cell))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Cell::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A `numeric`, which is what `SUM` of `bigint` answers, when it is a whole number of 64 bits. Its digits are to the base 10,000.
fn whole(raw: &[u8]) -> Option<i64> {
    let (header, digits) = raw.split_at_checked(8)?;
    let field = |at: usize| i16::from_be_bytes([header[at], header[at + 1]]);
    let (weight, sign) = (field(2), field(4));
    let mut number = 0_i128;
    for (at, digit) in digits.chunks_exact(2).enumerate() {
        let digit = i128::from(i16::from_be_bytes([digit[0], digit[1]]));
        match i32::from(weight) - i32::try_from(at).ok()? {
            power @ 0..=4 => number += digit * 10_000_i128.pow(power.unsigned_abs()),
            _ if digit == 0 => {}
            _ => return None,
        }
    }
    match sign {
        0 => i64::try_from(number).ok(),
        0x4000 => i64::try_from(-number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_nul_is_refused_by_its_place() {
        let parameters = [
            Parameter::Cell(CellRef::Int(1)),
            Parameter::Array(vec![CellRef::Text("fine"), CellRef::Text("ä\0b")]),
        ];
        let found = check(&parameters, &[Type::INT4, Type::TEXT_ARRAY]).unwrap_err();
        assert_eq!(
            found,
            "parameter $2: a text has the character NUL after 2 bytes, which PostgreSQL cannot store"
        );
    }

    #[test]
    fn a_parameter_of_another_kind_is_refused() {
        for (cell, wanted, expected) in [
            (
                CellRef::Int(1),
                Type::TEXT,
                "a number in place of the type text",
            ),
            (
                CellRef::Int(2),
                Type::BOOL,
                "2 is out of the range of the type bool",
            ),
            (
                CellRef::Int(1 << 31),
                Type::INT4,
                "2147483648 is out of the range of the type int4",
            ),
            (
                CellRef::Text("1"),
                Type::INT8,
                "a text in place of the type int8",
            ),
            (
                CellRef::Blob(&[1]),
                Type::UUID,
                "bytes in place of the type uuid",
            ),
        ] {
            let found = check(&[Parameter::Cell(cell)], &[wanted]).unwrap_err();
            assert_eq!(found, format!("parameter $1: {expected}"));
        }
        let array = Parameter::Array(Vec::new());
        let found = check(&[array], &[Type::INT8]).unwrap_err();
        assert_eq!(found, "parameter $1: an array in place of the type int8");
        let found = check(&[], &[Type::INT8]).unwrap_err();
        assert_eq!(found, "the statement has 1 parameters, and 0 were given");
    }

    #[test]
    fn values_are_kept_from_the_log() {
        let parameter = Parameter::Cell(CellRef::Text("secret"));
        assert!(!format!("{parameter:?}").contains("secret"));
    }
}
