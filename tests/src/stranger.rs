//! A third-party plugin as component text, whose versions a test can vary.

use std::fmt::Write as _;

/// One version of the plugin.
#[derive(Clone, Copy, Debug)]
pub struct Stranger {
    /// Its name.
    pub name: &'static str,
    /// Its minor version; the major one is 1.
    pub minor: u32,
    /// Interfaces of `cairn:plugin` that it imports besides `log`, such as `quota`. It calls none of them.
    pub imports: &'static [&'static str],
    /// Required inputs.
    pub requires: &'static [&'static str],
    /// Provided names.
    pub provides: &'static [&'static str],
    /// The JSON schema of its settings.
    pub schema: &'static str,
    /// The message that it logs in its revert.
    pub says: &'static str,
}

impl Default for Stranger {
    fn default() -> Self {
        Self {
            name: "stranger",
            minor: 0,
            imports: &[],
            requires: &[],
            provides: &[],
            schema: "{}",
            says: "reverted",
        }
    }
}

/// The address of the first text in its memory; the return values of its functions are below.
const TEXT: usize = 4096;

/// The contents of its memory.
struct Data {
    at: usize,
    segments: String,
}

impl Data {
    /// Appends bytes to the memory; returns address and length.
    fn put(&mut self, bytes: &[u8]) -> (usize, usize) {
        let place = (self.at, bytes.len());
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.segments,
            "    (data (i32.const {}) \"{escaped}\")",
            self.at
        );
        self.at = (self.at + bytes.len()).next_multiple_of(8);
        place
    }

    /// Appends a list of strings to the memory; returns address and length.
    fn put_list(&mut self, names: &[&str]) -> (usize, usize) {
        let places: Vec<_> = names.iter().map(|name| self.put(name.as_bytes())).collect();
        let pairs = places.iter().flat_map(|(at, length)| [*at, *length]);
        let words = pairs.map(|word| u32::try_from(word).expect("the memory is small"));
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        (self.put(&bytes).0, names.len())
    }
}

impl Stranger {
    /// Returns the component, as text.
    pub fn component(&self) -> String {
        let mut data = Data {
            at: TEXT,
            segments: String::new(),
        };
        let result: Vec<String> = self
            .provides
            .iter()
            .map(|name| format!("\"{name}\":\"here\""))
            .collect();
        let result = data.put(format!("{{{}}}", result.join(",")).as_bytes());
        let (schema, says) = (
            data.put(self.schema.as_bytes()),
            data.put(self.says.as_bytes()),
        );
        let name = data.put(self.name.as_bytes());
        let lists = [self.requires, &[], self.provides].map(|names| data.put_list(names));
        let pair = |at: usize, (address, length): (usize, usize)| {
            format!("(call $pair (i32.const {at}) (i32.const {address}) (i32.const {length}))")
        };
        let descriptor = [
            pair(1028, name),
            pair(1036, (1, self.minor as usize)),
            pair(1044, lists[0]),
            pair(1052, lists[1]),
            pair(1060, lists[2]),
        ]
        .join("\n      ");
        let imports: String = self
            .imports
            .iter()
            .map(|import| format!("  (import \"cairn:plugin/{import}@0.1.0\" (instance))\n"))
            .collect();
        include_str!("stranger.wat")
            .replace(";; <imports>", &imports)
            .replace(";; <data>", &data.segments)
            .replace(";; <schema>", &pair(1024, schema))
            .replace(";; <descriptor>", &descriptor)
            .replace(";; <result>", &pair(1028, result))
            .replace(
                ";; <says>",
                &format!(
                    "(call $log (i32.const 2) (i32.const {}) (i32.const {}))",
                    says.0, says.1
                ),
            )
    }
}
