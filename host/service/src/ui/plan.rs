//! Parts of plans, as several pages show them.

use cairn::manifest::{LimitKey, Limits, Until, Wait};
use maud::{Markup, html};

use crate::ui::text::{self, Text};

/// Formats a number of bytes.
pub(super) fn bytes(bytes: u64) -> String {
    let (amount, unit) = match bytes {
        0..1_024 => return format!("{bytes} B"),
        1_024..1_048_576 => (bytes as f64 / 1_024.0, "KiB"),
        1_048_576..1_073_741_824 => (bytes as f64 / 1_048_576.0, "MiB"),
        _ => (bytes as f64 / 1_073_741_824.0, "GiB"),
    };
    format!("{amount:.1} {unit}")
}

/// Formats what a flow waits for.
pub(super) fn waits(wait: &Wait) -> String {
    let mut ends = Vec::new();
    if let Some(signal) = &wait.signal {
        ends.push(format!("for the signal {signal}"));
    }
    match &wait.until {
        Some(Until::At(at)) => ends.push(format!("until {at}")),
        Some(Until::After(after)) => ends.push(format!("for {}", text::duration(*after))),
        Some(Until::Input(name)) => ends.push(format!("until {name}")),
        None => {}
    }
    if let Some(timeout) = &wait.timeout {
        ends.push(format!("at most {}", text::duration(*timeout)));
    }
    format!("It waits {}.", ends.join(", "))
}

/// Shows all limits of a call; those that differ from the default are bold.
pub(super) fn limits(limits: &Limits) -> Markup {
    let changed: Vec<LimitKey> = limits.changed().map(|(key, _)| key).collect();
    html! {
        table {
            thead { tr { th scope="col" { "Limit" } th scope="col" { "Value" } th scope="col" { "Default" } } }
            tbody {
                @for key in LimitKey::ALL {
                    tr {
                        th scope="row" { (key.as_str().replace('_', " ")) }
                        td { @if changed.contains(key) { strong { (Text(&limits.show(*key))) } } @else { (Text(&limits.show(*key))) } }
                        td.quiet { (Limits::default().show(*key)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (number, shown) in [
            (0, "0 B"),
            (1_536, "1.5 KiB"),
            (1_047_552, "1023.0 KiB"),
            (67_108_864, "64.0 MiB"),
            (1 << 40, "1024.0 GiB"),
        ] {
            assert_eq!(bytes(number), shown);
        }
    }

    #[test]
    fn a_wait_says_what_ends_it() {
        let wait = Wait {
            signal: Some("approve".to_owned()),
            timeout: Some(std::time::Duration::from_secs(7_200)),
            ..Wait::default()
        };
        assert_eq!(
            waits(&wait),
            "It waits for the signal approve, at most 2 h."
        );
    }
}
