//! The interfaces of one component, as WIT.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cairn::value::Digest;
use maud::{Markup, html};
use parking_lot::Mutex;

use crate::app::App;
use crate::readers::blocking;
use crate::ui::text::{Lines, Text};

/// How many texts are remembered; each has 64 KiB at most.
const MOST: usize = 100;

/// Texts that were written. A digest has one for ever.
static KNOWN: LazyLock<Mutex<BTreeMap<Digest, Arc<str>>>> = LazyLock::new(Mutex::default);

/// Returns the WIT of a component of a stored plan; `None` if it cannot be loaded now.
pub(super) async fn read(app: &Arc<App>, digest: Digest) -> Option<Arc<str>> {
    if let Some(known) = KNOWN.lock().get(&digest) {
        return Some(Arc::clone(known));
    }
    let host = app.host().cloned().ok()?;
    match blocking(move || Ok(host.wit(digest)?)).await {
        Ok(wit) => {
            let wit: Arc<str> = wit.into();
            let mut known = KNOWN.lock();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(digest, Arc::clone(&wit));
            Some(wit)
        }
        Err(error) => {
            tracing::debug!(%digest, detail = error.problem.detail, "the interfaces of a component are not known");
            None
        }
    }
}

/// Shows the interfaces of a component, which serves these steps.
pub(super) fn section(steps: &[&str], digest: Digest, wit: Option<&str>, path: &str) -> Markup {
    html! {
        section #wit aria-labelledby="wit-title" {
            h2 #wit-title { "Interfaces of " (Text(&steps.join(", "))) }
            p { code.digest { (digest) } " " a href=(path) { "Close" } }
            @match wit {
                Some(wit) => pre.json tabindex="0" { (Lines(wit)) },
                None => p { "They are not known: the component cannot be loaded by this server now." },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_is_text() {
        let digest = Digest::of(b"x");
        let shown = section(&["<b>"], digest, Some("import <script>\u{202e}"), "/x").into_string();
        assert!(
            !shown.contains("<b>") && !shown.contains("<script") && !shown.contains('\u{202e}'),
            "{shown}"
        );
    }
}
