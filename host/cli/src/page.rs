//! Lists a page at a time. The cursor of a page is the id of the last row of the page before, so that it stays right while rows come
//! and go.

use std::ops::Bound;

use cairn::error::Diagnostic;
use cairn::value::{Object, Value};
use clap::Args;
use serde::Serialize;

use crate::args::{Format, LogFormat};
use crate::exit::Failure;
use crate::output;
use crate::session::Session;

/// Which part of a list is shown, and how.
#[derive(Args, Clone, Debug)]
pub struct Page {
    /// No more than this many rows [default: 100 flows; all rows of any other list]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only what comes after this: the id of the last row of the page before
    #[arg(long, value_name = "CURSOR", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    cursor: Option<String>,
    /// With JSON: print one document with `rows`, and in `next` the cursor of the next page, or null
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
    /// How many rows are to be read: one more than are shown tells that there are more.
    pub fn to_read(&self, default: Option<usize>) -> usize {
        self.limit(default).saturating_add(1)
    }

    /// After which id the rows are to be read.
    pub fn after(&self) -> Bound<&str> {
        self.cursor
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded)
    }

    /// The cursor, where there is one.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    fn limit(&self, default: Option<usize>) -> usize {
        let given = self.limit.and_then(|limit| usize::try_from(limit).ok());
        given.or(default).unwrap_or(usize::MAX)
    }

    /// Shows rows of which up to [`to_read`](Self::to_read) were read, and says how to see those that are left.
    ///
    /// # Errors
    /// When a page is asked for that is not for programs, and when stdout cannot be written.
    pub fn show<T: Serialize>(
        &self,
        session: &Session,
        mut rows: Vec<T>,
        default: Option<usize>,
        id: impl Fn(&T) -> String,
        text: impl FnOnce(&[T]) -> String,
    ) -> Result<(), Failure> {
        if self.page && !self.format.is_json() {
            return Err(Diagnostic::new("`--page` is of JSON documents")
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

    /// [`show`](Self::show), of rows with their ids in `id`: some of their columns, or all as JSON.
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

/// Says that a list goes on.
fn tell(session: &Session, shown: usize, next: &str) {
    let message = format!(
        "there are more than these {shown}: `--cursor {next}` shows the next ones, and `--limit` takes another number"
    );
    match session.settings.global.log_format {
        LogFormat::Text => session.note(&message),
        // A note is not logged by default; that rows are left out must be.
        LogFormat::Json => tracing::warn!(next, "{message}"),
    }
}
