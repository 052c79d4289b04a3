//! Records the SQL of one flow in bulk: `cargo run --release --example record-floor -- success`. Its output is a file of
//! `host/bench/recorded/floor/`.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use cairn::plugin::Plugins;
use cairn_bench::recorded::BATCH;
use cairn_bench::recorded::variables::named;
use cairn_bench::stage::Stage;
use cairn_bench::{Case, Folder};
use rusqlite::ffi;
use serde_json::{Value, json};
use uuid::Uuid;

/// The SQL of each statement that was run, without and with the values of its parameters.
static SEEN: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Prefixes of statements that run once per batch or watch for other processes.
const A_BATCH: [&str; 6] = [
    "BEGIN",
    "SELECT 1 FROM hosts",
    "SELECT MAX(rowid) FROM journal",
    "SELECT requests.id",
    "PRAGMA data_version",
    "COMMIT",
];

/// The number of flows, of which the last one is recorded.
const FLOWS: i64 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let case = Case::ALL.into_iter().find(|case| case.as_str() == name);
    let case = case.ok_or("name a case: success, over-quota or cast-fails")?;
    watch()?;
    let folder = Folder::within(&std::env::temp_dir())?;
    let plugins = Plugins::new(&cairn::plugin_config())?;
    let stage = Stage::of_whole_flows(&folder.database("recorded"), case, &plugins)?;
    let run = || -> Result<(), Box<dyn Error>> {
        case.check(&stage.run_tasks(stage.ready.tasks(), stage.ask())?)?;
        Ok(())
    };
    // The first flows create the usages.
    for _ in 1..FLOWS {
        run()?;
    }
    take();
    run()?;
    println!("{}", header(case));
    let mut ids = HashMap::new();
    let (mut of_flow, mut of_batch) = (String::new(), String::new());
    for (sql, expanded) in take() {
        let sql = one_line(&sql);
        if A_BATCH.iter().any(|statement| sql.starts_with(statement)) {
            continue;
        }
        let values =
            values(&sql, &one_line(&expanded)).ok_or_else(|| format!("{sql}\n{expanded}"))?;
        // The rows that all flows of a project write.
        let is_shared = sql.starts_with("UPDATE quota_usages");
        let values = values.into_iter().map(|value| {
            let value = parameter(value, &mut ids);
            match value.as_i64() {
                Some(sum) if is_shared => json!({"each": sum / FLOWS}),
                _ => value,
            }
        });
        let values: Vec<Value> = values.collect();
        let text = match is_shared {
            true => &mut of_batch,
            false => &mut of_flow,
        };
        writeln!(text, "{sql}")?;
        if !values.is_empty() {
            writeln!(text, "    {}", Value::Array(values))?;
        }
    }
    print!("{of_flow}");
    if !of_batch.is_empty() {
        print!("{BATCH}\n{of_batch}");
    }
    Ok(())
}

fn header(case: Case) -> String {
    let case = case.as_str();
    format!(
        "# The SQL of one flow of the case `{case}`, in bulk: the floor of `cairn bench`.\n\
         #\n\
         # Recorded by `cargo run --release --example record-floor -- {case}`, which runs the flow alone and in one batch, on a database on\n\
         # disk that has seen {} flows of the case, and takes down what SQLite says it runs (sqlite3_trace_v2, SQLITE_TRACE_STMT). Left out is\n\
         # what opens and ends a batch. Below each statement stand its parameters as JSON. Ids are ${{id0}}, ${{id1}}, … in order of their\n\
         # appearance, and new for each flow; {{\"id\": …}} is an id as 16 bytes, {{\"time\": …}} the flow's time in microseconds, {{\"packed\": …}}\n\
         # text that is packed as the journal's. Statements below `{BATCH}` run once for all flows of a batch: they write the rows of a\n\
         # project, whose sums grow with each flow by {{\"each\": …}}.\n",
        FLOWS - 1,
    )
}

fn take() -> Vec<(String, String)> {
    std::mem::take(&mut SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the literals that replace the placeholders of `sql` in `expanded`, in order of the placeholders' numbers.
fn values(sql: &str, expanded: &str) -> Option<Vec<String>> {
    let mut found: BTreeMap<usize, String> = BTreeMap::new();
    let (mut sql, mut expanded) = (sql, expanded);
    while let Some(at) = sql.find(['?', '$']) {
        expanded = expanded.get(at..)?;
        sql = &sql[at + 1..];
        let digits = sql.find(|c: char| !c.is_ascii_digit()).unwrap_or(sql.len());
        let number = sql[..digits].parse().unwrap_or(found.len() + 1);
        sql = &sql[digits..];
        let end = literal(expanded)?;
        found.insert(number, expanded[..end].to_owned());
        expanded = &expanded[end..];
    }
    (sql == expanded).then(|| found.into_values().collect())
}

/// Returns the length of the literal at the beginning of `text`.
fn literal(text: &str) -> Option<usize> {
    let quote = match text.as_bytes().first()? {
        b'\'' => 1,
        b'x' => 2,
        _ => {
            let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            return Some(end.unwrap_or(text.len()));
        }
    };
    let mut at = quote;
    loop {
        at += text.get(at..)?.find('\'')? + 1;
        if !text[at..].starts_with('\'') {
            return Some(at);
        }
        at += 1;
    }
}

/// Converts a literal to a parameter of a recording.
fn parameter(literal: String, ids: &mut HashMap<Uuid, usize>) -> Value {
    if let Some(text) = literal.strip_prefix('\'') {
        let text = text.trim_end_matches('\'').replace("''", "'");
        return json!(named(&text, ids));
    }
    if let Some(hex) = literal.strip_prefix("x'")
        && let Ok(id) = hex.trim_end_matches('\'').parse::<Uuid>()
    {
        let named = named(&id.to_string(), ids);
        return json!({"id": named.trim_start_matches("${").trim_end_matches('}')});
    }
    if let Some(text) = packed(&literal) {
        return json!({"packed": named(&text, ids)});
    }
    let now = Uuid::now_v7()
        .get_timestamp()
        .map_or(0, |time| time.to_unix().0.cast_signed());
    match literal.parse::<i64>() {
        Ok(time) if (time / 1_000_000 - now).abs() < 3600 => json!({"time": "now"}),
        Ok(time) if (time / 1_000_000 - now - 86_400).abs() < 3600 => json!({"time": "expiry"}),
        Ok(number) => json!(number),
        Err(_) => Value::Null,
    }
}

/// Unpacks the text of a journal row from its hexadecimal literal.
fn packed(literal: &str) -> Option<String> {
    let hex = literal.strip_prefix("x'")?.strip_suffix('\'')?;
    let bytes: Option<Vec<u8>> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect();
    let text = lz4_flex::block::decompress_size_prepended(&bytes?).ok()?;
    String::from_utf8(text).ok()
}

// ---- SQLite's trace of statements --------------------------------------------------------------------------------------

/// Traces every connection that is opened from now on.
#[expect(unsafe_code, reason = "SQLite's own interface")]
fn watch() -> Result<(), String> {
    // SAFETY: `opened` has the signature that SQLite calls, and lives as long as the program.
    match unsafe { ffi::sqlite3_auto_extension(Some(opened)) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(format!("SQLite cannot be watched: code {code}")),
    }
}

#[expect(unsafe_code, reason = "SQLite's own interface")]
unsafe extern "C" fn opened(
    connection: *mut ffi::sqlite3,
    _message: *mut *mut c_char,
    _api: *const ffi::sqlite3_api_routines,
) -> c_int {
    let mask = ffi::SQLITE_TRACE_STMT;
    // SAFETY: the connection is the one that SQLite has just opened, and `ran` lives as long as the program.
    unsafe { ffi::sqlite3_trace_v2(connection, mask, Some(ran), std::ptr::null_mut()) }
}

#[expect(unsafe_code, reason = "SQLite's own interface")]
unsafe extern "C" fn ran(
    _event: c_uint,
    _context: *mut c_void,
    statement: *mut c_void,
    _text: *mut c_void,
) -> c_int {
    // SAFETY: with SQLITE_TRACE_STMT the third argument is the statement. Both texts end with a zero; the statement keeps
    // the first, and the second is ours to free.
    let seen = unsafe {
        let statement = statement.cast::<ffi::sqlite3_stmt>();
        let expanded = ffi::sqlite3_expanded_sql(statement);
        let text = |sql: *const c_char| CStr::from_ptr(sql).to_string_lossy().into_owned();
        let seen = (text(ffi::sqlite3_sql(statement)), text(expanded));
        ffi::sqlite3_free(expanded.cast());
        seen
    };
    SEEN.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(seen);
    0
}
