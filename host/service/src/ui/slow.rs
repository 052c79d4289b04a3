//! The plugins whose calls take longest, and the memory that they use.

use maud::{Markup, html};

use super::plan::bytes;
use super::text::{self, Text};
use crate::calls::Called;

/// How many plugins are shown.
const MOST: usize = 20;

/// Shows how long calls of plugins take and how much memory they use, of those that this server has called, the slowest first.
pub(super) fn section(called: &[Called]) -> Markup {
    html! {
        section aria-labelledby="calls-title" {
            h2 #calls-title { "Calls of plugins" }
            @if called.is_empty() { p { "This server has called no plugin since it started." } }
            @else {
                div.wide tabindex="0" role="region" aria-label="Times of calls" { table.short {
                    caption.quiet { "By this server since it started, the slowest first; times are at most an eighth too long" }
                    thead { tr {
                        th scope="col" { "Plugin" } th.num scope="col" { "Calls" }
                        th.num scope="col" { abbr title="Half of the calls took at most this" { "p50" } }
                        th.num scope="col" { abbr title="99 of 100 calls took at most this" { "p99" } }
                        th.num scope="col" { abbr title="The most that one call has used, and its limit" { "Memory" } }
                    } }
                    tbody { @for one in called.iter().take(MOST) {
                        tr data-row {
                            th scope="row" { (Text(&one.plugin)) }
                            td.num { (text::grouped(one.calls)) }
                            td.num { (text::duration(one.p50)) }
                            td.num { (text::duration(one.p99)) }
                            td.num { @if let Some(memory) = one.memory { (bytes(memory.most)) " of " (bytes(memory.limit)) } }
                        }
                    } }
                } }
                @if called.len() > MOST { p.quiet { "and " (text::count(called.len() - MOST, "faster plugin")) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn::task::MemoryUse;
    use std::time::Duration;

    #[test]
    fn the_slowest_are_shown_and_names_are_text() {
        let called = |at: u64| Called {
            plugin: format!("<b>{at}"),
            calls: 1_234,
            p50: Duration::from_millis(3),
            p99: Duration::from_millis(100 - at),
            memory: Some(MemoryUse {
                most: 3 << 20,
                limit: 64 << 20,
            }),
        };
        let all: Vec<Called> = (0..25).map(called).collect();
        let shown = section(&all).into_string();
        assert!(
            shown.contains("100 ms")
                && shown.contains("3.0 ms")
                && shown.contains("3.0 MiB of 64.0 MiB")
                && shown.contains("5 faster plugins")
        );
        assert!(!shown.contains("<b>"), "{shown}");
        assert!(section(&[]).into_string().contains("no plugin"));
    }
}
