//! The database, as the system page shows it.

use cairn::store::view::{Extent, Status};
use maud::{Markup, html};

use super::plan::bytes;
use super::text::{self, Text};

/// Shows how large the database is, and what `cairn status` says of it to those who may read that.
pub(super) fn section(extent: Option<&Extent>, status: Option<&Status>) -> Markup {
    html! {
        section aria-labelledby="database-title" {
            h2 #database-title { "Database" }
            dl.facts {
                @match extent { Some(extent) => (size(extent)), None => div { dt { "Size" } dd { "not known now" } } }
                @if let Some(status) = status { (facts(status)) }
            }
        }
    }
}

fn size(extent: &Extent) -> Markup {
    let (version, newest) = (extent.schema_version, extent.newest_version);
    html! {
        div { dt { "Database" } dd { (Text(&extent.engine)) } }
        div { dt { "Size" } dd { (bytes(extent.bytes)) } }
        div { dt { "Write-ahead log" } dd { @match extent.log_bytes { Some(log) => (bytes(log)), None => "the server's" } } }
        div { dt { "Schema" } dd { "version " (version)
            @if version < newest { " " strong.bad { "! older than " (newest) ", which this program writes" } } } }
    }
}

fn facts(status: &Status) -> Markup {
    let messages = &status.messages;
    html! {
        div { dt { "Held" } dd { @match &status.held { Some(since) => strong.bad { "! since " (Text(since)) }, None => "no" } } }
        div { dt { "Last backup" } dd { @match status.backup { Some(at) => { (text::time(at)) " (" (text::ago(at, status.at)) ")" }, None => "none was noted" } } }
        div { dt { "Messages on their way" } dd { (text::grouped(messages.sending)) @if let Some(since) = messages.sending_since { ", the oldest " (text::ago(since, status.at)) } } }
        div { dt { "Messages that failed" } dd { @if messages.failed > 0 { strong.bad { "! " (text::grouped(messages.failed)) } } @else { "0" } } }
        @for check in &status.checks {
            div { dt { (check.name) " check" } dd { (check.differences) " differ (" (text::ago(check.at, status.at)) ")" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_a_size_a_log_and_a_schema() {
        let mut extent = Extent {
            engine: "SQLite 3.50<b>".to_owned(),
            bytes: 3 << 20,
            log_bytes: Some(1 << 10),
            schema_version: 12,
            newest_version: 12,
        };
        let shown = section(Some(&extent), None).into_string();
        for part in ["3.0 MiB", "1.0 KiB", "version 12", "3.50&lt;b&gt;"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("older than"), "{shown}");
        (extent.schema_version, extent.log_bytes) = (11, None);
        let shown = section(Some(&extent), None).into_string();
        assert!(shown.contains("older than 12") && shown.contains("the server's"));
        assert!(section(None, None).into_string().contains("not known now"));
    }
}
