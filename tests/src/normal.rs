//! Normalizes reports by replacing the values that differ between runs.

use serde_json::Value;

/// Returns the report with ids as `<id 1>`, `<id 2>`, … in the order of their appearance, times as `<time>`, and no
/// durations.
pub fn normal(report: &Value) -> Value {
    let mut seen = Vec::new();
    normalise(report, &mut seen)
}

fn normalise(value: &Value, seen: &mut Vec<String>) -> Value {
    match value {
        Value::String(text) => Value::from(without_ids(text, seen)),
        Value::Array(items) => items.iter().map(|item| normalise(item, seen)).collect(),
        Value::Object(object) => {
            let fields = object.iter().map(|(name, value)| match name.as_str() {
                "duration_us" => (name.clone(), Value::from(0)),
                _ => (name.clone(), normalise(value, seen)),
            });
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn without_ids(text: &str, seen: &mut Vec<String>) -> String {
    let mut normal = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(id) = rest
            .get(..36)
            .filter(|id| is_like(id, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
        {
            let known = seen.iter().position(|known| known == id);
            let index = known.unwrap_or_else(|| {
                seen.push(id.to_owned());
                seen.len() - 1
            });
            normal += &format!("<id {}>", index + 1);
            rest = &rest[36..];
        } else if rest
            .get(..27)
            .is_some_and(|time| is_like(time, "xxxx-xx-xxTxx:xx:xx.xxxxxxZ"))
        {
            normal += "<time>";
            rest = &rest[27..];
        } else {
            normal.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    normal
}

/// Returns whether `text` matches the pattern, in which `x` is any hexadecimal digit.
fn is_like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern.bytes())
            .all(|(byte, wanted)| match wanted {
                b'x' => byte.is_ascii_hexdigit(),
                wanted => byte == wanted,
            })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_id_has_the_same_number() {
        let (a, b) = (
            "01a20616-1920-776a-9907-780232c46d47",
            "01a20616-1944-7109-86da-90f9ce6a4e23",
        );
        let report = json!([a, {"at": "2026-11-23T01:47:21.250018Z", "duration_us": 7, "text": format!("{b} of {a}")}]);
        let expected =
            json!(["<id 1>", {"at": "<time>", "duration_us": 0, "text": "<id 2> of <id 1>"}]);
        assert_eq!(normal(&report), expected);
    }
}
