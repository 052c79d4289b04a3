//! The kinds of sessions, and how each is set up.

/// How a session is set up: settings of the server, given as it starts.
#[derive(Debug)]
pub struct Session {
    /// Its name, as `pg_stat_activity` shows it after `cairn`.
    pub name: &'static str,
    /// Settings besides those that all sessions have. Values have no blanks.
    pub settings: &'static [(&'static str, &'static str)],
    /// Its transactions only read, unless one says otherwise.
    pub only_reads: bool,
}

/// Sessions of rules' reads and of batches find rows by their keys: plans are made while tables are empty or without statistics, and
/// would scan a whole table later. A bitmap scan would visit each row that was deleted since the last vacuum, every time; an index scan marks it
/// as dead the first time.
const BY_KEY: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// Writes batches.
pub static WRITER: Session = Session {
    name: "writer",
    settings: &BY_KEY,
    only_reads: false,
};

/// Reads rows for rules.
pub static FETCHER: Session = Session {
    name: "fetcher",
    settings: &BY_KEY,
    only_reads: true,
};

/// Reads for operators.
pub static READER: Session = Session {
    name: "reader",
    settings: &[],
    only_reads: true,
};

/// Reads what other hosts ask of this one, and what became of flows, many times a second.
pub static WATCHER: Session = Session {
    name: "watcher",
    settings: &BY_KEY,
    only_reads: true,
};

/// Writes requests for flows of projects that another host owns, and reads those that others have written.
pub static INBOX: Session = Session {
    name: "inbox",
    settings: &BY_KEY,
    only_reads: false,
};

/// Listens for what other hosts ask of this one.
pub static HINTS: Session = Session {
    name: "hints",
    settings: &[],
    only_reads: true,
};

/// Checks the server and migrates the schema.
pub static ADMIN: Session = Session {
    name: "admin",
    settings: &[],
    only_reads: false,
};
