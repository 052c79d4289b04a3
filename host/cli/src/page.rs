//! Shows lists a page at a time. A cursor is the id of the last row of the previous page, so it stays valid while rows are added and
//! removed.

use std::ops::Bound;

use cairn::{Diagnostic, Object, Value};
use clap::Args;
use serde::Serialize;

use crate::args::{Format, LogFormat};
use crate::exit::Failure;
use crate::output;
use crate::session::Session;

/// Part of a list to show, and its format.
#[derive(Args, Clone, Debug)]
pub struct Page {
    /// Show at most N rows [default: 100 flows, versions, tokens or changes; all rows of any other list]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Continue after this row: the id of the last row of the previous page
    #[arg(long, value_name = "CURSOR", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    cursor: Option<String>,
    /// With JSON: print one document with `rows` and `next`, the cursor of the next page or null
    #[arg(long)]
    page: bool,
    #[command(flatten)]
    pub format: Format,
}

/// A page, as `--json --page` prints it.
#[derive(Serialize)]
struct Document<T> {
    rows: Vec<T>,
    next: Option<String>,
}

impl Page {
    /// Returns how many rows to read: one more than is shown, which tells whether more follow.
    pub fn to_read(&self, default: Option<usize>) -> usize {
        self.limit(default).saturating_add(1)
    }

    /// Returns after which id to read.
    pub fn after(&self) -> Bound<&str> {
        self.cursor
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded)
    }

    /// Returns the cursor, if one is given.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    fn limit(&self, default: Option<usize>) -> usize {
        let given = self.limit.and_then(|limit| usize::try_from(limit).ok());
        given.or(default).unwrap_or(usize::MAX)
    }

    /// Prints rows, of which up to [`to_read`](Self::to_read) were read, and how to see the rest.
    ///
    /// # Errors
    /// When `--page` is given without JSON, and when stdout cannot be written.
    pub fn show<T: Serialize>(
        &self,
        session: &Session,
        mut rows: Vec<T>,
        default: Option<usize>,
        id: impl Fn(&T) -> String,
        text: impl FnOnce(&[T]) -> String,
    ) -> Result<(), Failure> {
        if self.page && !self.format.is_json() {
            return Err(Diagnostic::new("`--page` needs JSON output")
                .help("add --json, or `-o json`")
                .into());
        }
        let limit = self.limit(default);
        let next = (rows.len() > limit).then(|| {
            rows.truncate(limit);
            rows.last().map(id).unwrap_or_default()
        });
        if self.page {
            return output::document(self.format, &Document { rows, next });
        }
        if self.format.is_json() {
            output::document(self.format, &rows)?;
        } else {
            output::print(&text(&rows))?;
        }
        if let Some(next) = next {
            tell(session, limit, &next);
        }
        Ok(())
    }

    /// Prints rows with their ids in `id` as [`show`](Self::show) does: the named columns, or all as JSON.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn objects(
        &self,
        session: &Session,
        columns: &[&str],
        rows: Vec<Object>,
    ) -> Result<(), Failure> {
        let id = |row: &Object| match row.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(id) => id.to_string(),
            None => String::new(),
        };
        self.show(session, rows, None, id, |rows| {
            output::columns(columns, rows)
        })
    }
}

/// Prints that more rows follow.
fn tell(session: &Session, shown: usize, next: &str) {
    let message = format!(
        "there are more rows than these {shown}: `--cursor {next}` shows the next ones, `--limit N` shows more at a time"
    );
    match session.settings.global.log_format {
        LogFormat::Text => session.note(&message),
        // A warning, because notes are not logged by default, and the reader must learn that rows are missing.
        LogFormat::Json => tracing::warn!(next, "{message}"),
    }
}
