//! What a server must be before anything is written to it: it keeps what it commits, and holds text as Cairn does.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use cairn_effects::rows::Cell;

use super::config::PostgresConfig;
use super::link::{Link, LinkError};
use super::url::PostgresUrl;
use crate::StoreError;

/// Older servers lack what the statements need.
const OLDEST: i64 = 140_000;

const QUESTIONS: &str = "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
     current_setting('server_encoding'), current_setting('transaction_read_only'), current_setting('fsync'), \
     current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), current_setting('full_page_writes'), \
     EXISTS (SELECT FROM pg_replication_slots WHERE xmin IS NOT NULL)";

/// What a server answers.
#[derive(Clone, Debug)]
struct Server {
    version: i64,
    version_text: String,
    encoding: String,
    read_only: String,
    fsync: String,
    synchronous_commit: String,
    standby_names: String,
    full_page_writes: String,
    /// A standby keeps the primary from cleaning rows up.
    has_feedback: bool,
}

/// What is wrong with a server.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Why nothing may be written there.
    refused: Option<String>,
    /// Why it may lose what it commits, which an operator can accept.
    loses: Option<String>,
    /// What is not as it should be.
    warnings: Vec<&'static str>,
}

/// Checks a server. Nothing is written.
///
/// # Errors
/// [`StoreError::Database`].
pub(super) fn check(link: &mut Link, config: &PostgresConfig) -> Result<(), StoreError> {
    let failed = |problem: &dyn std::fmt::Display| {
        StoreError::Database(format!("{}: {problem}", config.url))
    };
    let server = ask(link).map_err(|error| failed(&error))?;
    let verdict = server.judge();
    if let Some(refused) = verdict.refused {
        return Err(failed(&refused));
    }
    for warning in verdict.warnings {
        warn_once(&config.url, warning);
    }
    match verdict.loses {
        Some(loses) if config.unsafe_server => {
            let warning = format!("{loses}; [postgres] unsafe_server accepts that");
            warn_once(&config.url, &warning);
            Ok(())
        }
        Some(loses) => Err(failed(&format!(
            "{loses}; set it on the server, or accept that with `unsafe_server = true` in [postgres] of cairn.toml"
        ))),
        None => Ok(()),
    }
}

/// Warns of a server, once in this process: it may open a database several times.
fn warn_once(url: &PostgresUrl, warning: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if WARNED.lock().insert(format!("{url} {warning}")) {
        tracing::warn!(database = %url, "{warning}");
    }
}

fn ask(link: &mut Link) -> Result<Server, LinkError> {
    let answer = link.run(QUESTIONS, &[])?;
    let mut cells = answer.rows.into_iter().flatten();
    let mut number = || match cells.next() {
        Some(Cell::Int(number)) => (number, String::new()),
        Some(Cell::Text(text)) => (0, text.to_string()),
        _ => (0, String::new()),
    };
    Ok(Server {
        version: number().0,
        version_text: number().1,
        encoding: number().1,
        read_only: number().1,
        fsync: number().1,
        synchronous_commit: number().1,
        standby_names: number().1,
        full_page_writes: number().1,
        has_feedback: number().0 != 0,
    })
}

impl Server {
    fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let has_standby = !self.standby_names.is_empty();
        verdict.refused = if self.version < OLDEST {
            Some(format!(
                "the server is PostgreSQL {}; Cairn needs 14 or newer",
                self.version_text
            ))
        } else if self.encoding != "UTF8" {
            Some(format!(
                "the database has the encoding {}, not UTF8; make one with `createdb --encoding=UTF8 --template=template0`",
                self.encoding
            ))
        } else if self.read_only != "off" {
            Some(
                "the database is read-only; name the primary in the URL of the database".to_owned(),
            )
        } else {
            None
        };
        let off = |setting: &str, value: &str| {
            format!("the server may lose what it has committed: `{setting}` is `{value}`")
        };
        verdict.loses = match &*self.synchronous_commit {
            _ if self.fsync != "on" => Some(off("fsync", &self.fsync)),
            "off" => Some(off("synchronous_commit", "off")),
            "local" if has_standby => Some(off("synchronous_commit", "local")),
            _ => None,
        };
        if !has_standby {
            verdict.warnings.push(
                "the server has no synchronous standby (`synchronous_standby_names`): what it committed last is lost with its disk",
            );
        }
        if self.full_page_writes != "on" {
            verdict.warnings.push(
                "`full_page_writes` is off on the server: a power failure can damage the database",
            );
        }
        if self.has_feedback {
            verdict.warnings.push(
                "a standby holds back the cleaning of rows (`hot_standby_feedback`): the server slows down while a long query runs there",
            );
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Server {
        let text = str::to_owned;
        Server {
            version: 150_018,
            version_text: text("15.18"),
            encoding: text("UTF8"),
            read_only: text("off"),
            fsync: text("on"),
            synchronous_commit: text("on"),
            standby_names: text("b"),
            full_page_writes: text("on"),
            has_feedback: false,
        }
    }

    #[test]
    fn a_good_server_is_taken_without_a_word() {
        assert_eq!(good().judge(), Verdict::default());
    }

    #[test]
    fn a_server_that_is_too_old_is_refused() {
        let old = Server {
            version: 130_021,
            version_text: "13.21".to_owned(),
            ..good()
        };
        let refused = old.judge().refused.unwrap();
        assert_eq!(
            refused,
            "the server is PostgreSQL 13.21; Cairn needs 14 or newer"
        );
    }

    #[test]
    fn a_server_that_loses_commits_is_told_from_one_that_does_not() {
        let with = |fsync: &str, commit: &str, standbys: &str| {
            let server = Server {
                fsync: fsync.to_owned(),
                synchronous_commit: commit.to_owned(),
                standby_names: standbys.to_owned(),
                ..good()
            };
            server.judge().loses
        };
        assert!(with("off", "on", "b").unwrap().contains("`fsync`"));
        for (commit, standbys, loses) in [
            ("on", "", false),
            ("local", "", false),
            ("local", "b", true),
            ("remote_apply", "b", false),
            ("off", "", true),
        ] {
            let found = with("on", commit, standbys);
            assert_eq!(found.is_some(), loses, "{commit} {standbys}");
        }
    }

    #[test]
    fn each_warning_has_its_setting() {
        let poor = Server {
            standby_names: String::new(),
            full_page_writes: "off".to_owned(),
            has_feedback: true,
            ..good()
        };
        let warnings = poor.judge().warnings;
        for (warning, setting) in warnings.iter().zip([
            "synchronous_standby_names",
            "full_page_writes",
            "hot_standby_feedback",
        ]) {
            assert!(warning.contains(setting), "{warning}");
        }
        assert_eq!(warnings.len(), 3);
    }
}
