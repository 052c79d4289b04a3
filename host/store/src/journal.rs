//! Packs rows of the journal, each with the entries of one flow in one batch. Entries repeat the same names and ids: packed, a row takes a
//! third of the pages, and so a third of the time to write it.

use cairn_effects::event::Entry;

/// The highest ratio of an LZ4 block's unpacked length to its own length.
const MOST: usize = 255;

/// Why a row of the journal cannot be read.
pub type Damage = Box<dyn std::error::Error + Send + Sync>;

/// Packs a JSON array of entries.
pub fn pack(entries: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress_prepend_size(entries)
}

/// Returns the length of a packed row's JSON text, as the row says it.
pub fn length(block: &[u8]) -> Option<usize> {
    Some(lz4_flex::block::uncompressed_size(block).ok()?.0)
}

/// Reads the entries of a packed row.
///
/// # Errors
/// The problem with the row.
pub fn unpack(block: &[u8]) -> Result<Vec<Entry>, Damage> {
    read(&inflate(block)?)
}

/// Reads the entries of a row as JSON text, the format of the first schema.
///
/// # Errors
/// The problem with the row.
pub fn read(text: &[u8]) -> Result<Vec<Entry>, Damage> {
    Ok(serde_json::from_slice(text)?)
}

/// Returns the JSON text of a packed row.
///
/// # Errors
/// The problem with the row.
pub fn inflate(block: &[u8]) -> Result<Vec<u8>, Damage> {
    let (length, _) = lz4_flex::block::uncompressed_size(block)?;
    // Checked before memory is allocated.
    if length > block.len().saturating_mul(MOST) {
        return Err(format!("{} bytes cannot unpack to {length}", block.len()).into());
    }
    Ok(lz4_flex::block::decompress_size_prepended(block)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_effects::event::Event;
    use cairn_model::clock::Timestamp;

    fn entries() -> (String, Vec<Entry>) {
        let entry = Entry {
            at: Timestamp(7),
            event: Event::Reset,
        };
        let entries = vec![entry.clone(), entry];
        (serde_json::to_string(&entries).unwrap(), entries)
    }

    #[test]
    fn a_row_is_read_packed_or_as_text() {
        let (text, entries) = entries();
        assert_eq!(unpack(&pack(text.as_bytes())).unwrap(), entries);
        assert_eq!(read(text.as_bytes()).unwrap(), entries);
    }

    #[test]
    fn a_row_of_repetitions_unpacks() {
        let blanks = format!("[{}]", " ".repeat(1 << 20));
        let packed = pack(blanks.as_bytes());
        assert!(packed.len() < blanks.len() / 200);
        assert!(unpack(&packed).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_row_is_an_error_and_asks_for_no_memory() {
        let (text, _) = entries();
        let packed = pack(text.as_bytes());
        let mut huge = packed.clone();
        huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = unpack(&huge).unwrap_err().to_string();
        assert!(error.contains("cannot unpack to 4294967295"), "{error}");
        for damaged in [&packed[..packed.len() - 1], &packed[..3], &[]] {
            assert!(unpack(damaged).is_err());
        }
        assert!(unpack(&pack(b"[")).is_err());
    }
}
