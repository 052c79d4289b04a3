//! Tables of rows of any kind.

use cairn::{Object, Value};
use maud::{Markup, html};

use super::text::{self, Text};

/// A column: its name in the row, and its head.
pub(super) type Column = (&'static str, &'static str);

/// Shows what can be done with a row.
pub(super) type RowActions<'a> = &'a dyn Fn(&Object) -> Markup;

/// Shows rows, with the chosen columns; the first one names the row.
pub(super) fn table(caption: &str, columns: &[Column], rows: &[Object]) -> Markup {
    table_with(caption, columns, rows, None)
}

/// Shows rows like [`table`], with a further column of what can be done with each.
pub(super) fn table_with(
    caption: &str,
    columns: &[Column],
    rows: &[Object],
    actions: Option<RowActions<'_>>,
) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label=(caption) {
            table {
                caption.quiet { (caption) }
                thead { tr {
                    @for (_, head) in columns { th scope="col" { (head) } }
                    @if actions.is_some() { th scope="col" { "Actions" } }
                } }
                tbody {
                    @for row in rows {
                        tr data-row {
                            @for (at, (name, _)) in columns.iter().enumerate() {
                                @let value = row.get(*name).unwrap_or(&Value::Null);
                                @if at == 0 { th scope="row" { (cell(name, value)) } }
                                @else { td { (cell(name, value)) } }
                            }
                            @if let Some(actions) = actions { td { div.actions { (actions(row)) } } }
                        }
                    }
                }
            }
        }
    }
}

/// Shows a cell. The id of a flow leads to its page.
fn cell(name: &str, value: &Value) -> Markup {
    let text = text::cell(value);
    let is_id = name == "id" || name.ends_with("_id") || name == "digest";
    html! {
        @match (name, value) {
            ("flow", Value::String(id)) => a.id href={ "/ui/flows/" (text::encoded(id)) } { (Text(id)) },
            _ if is_id => span.id { (Text(&text::brief(&text))) },
            _ => (Text(&text::brief(&text))),
        }
    }
}

/// Shows links to the first page of a list, and to the one after this one.
pub(super) fn pages(path: &str, is_first: bool, next: Option<&str>) -> Markup {
    html! {
        div.pages {
            @if !is_first { a href=(path) { "First" } }
            @if let Some(next) = next {
                @let joint = if path.contains('?') { '&' } else { '?' };
                a href={ (path) (joint) "after=" (text::encoded(next)) } { "Next" }
            }
        }
    }
}

/// A tab of a part with several pages.
pub(super) type Tab = (&'static str, &'static str);

/// Shows the tabs of a part; `here` is the path of this page.
pub(super) fn tabs(label: &str, tabs: &[Tab], here: &str) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (name, path) in tabs {
                a href=(path) aria-current=[(*path == here).then_some("page")] { (name) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn untrusted_values_are_text_and_flows_are_links() {
        let row = json!({"id": "<b>", "flow": "01980000-0000-7000-8000-0000000000aa", "spec": {"a": "<script>"}});
        let rows = [row.as_object().cloned().unwrap()];
        let shown = table(
            "Things",
            &[
                ("id", "Id"),
                ("flow", "Flow"),
                ("spec", "Spec"),
                ("gone", "Gone"),
            ],
            &rows,
        );
        let shown = shown.into_string();
        assert!(
            !shown.contains("<b>") && !shown.contains("<script>"),
            "{shown}"
        );
        assert!(
            shown.contains("href=\"/ui/flows/01980000-0000-7000-8000-0000000000aa\""),
            "{shown}"
        );
        assert!(shown.contains("<bdi>-</bdi>"), "{shown}");
    }

    #[test]
    fn the_next_page_begins_after_the_last_row() {
        let shown = |path| pages(path, true, Some("a&b")).into_string();
        assert!(shown("/ui/volumes").contains("/ui/volumes?after=a%26b"));
        assert!(shown("/ui/records?collection=c").contains("collection=c&amp;after=a%26b"));
    }
}
