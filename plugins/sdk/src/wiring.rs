//! Derives the wiring of a task from the schemas of its types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// The names of a task's inputs and outputs.
///
/// [`Wiring::of`] derives it from the author's types:
///
/// | field | is |
/// |---|---|
/// | of the inputs, with `#[serde(default)]` | optional: omitted when no earlier task's result contains it |
/// | of the inputs, any other, also `Option<T>` | required: some earlier task must provide it; null when that task omitted it |
/// | of the output | provided, unless `skip_serializing_if` may leave it out |
///
/// The type of an `Option` field with `#[serde(default)]` must implement `Serialize`: the schema contains a default
/// only if it can be serialized, and a field without a default counts as required.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wiring {
    /// Inputs that some earlier task must provide.
    pub requires: Vec<String>,
    /// Inputs that are passed when an earlier task has returned them, and omitted otherwise.
    pub optional: Vec<String>,
    /// Names that the result contains.
    pub provides: Vec<String>,
}

impl Wiring {
    /// Returns the wiring that the types of a task declare, each list sorted by name.
    pub fn of<Inputs: JsonSchema, Output: JsonSchema>() -> Self {
        let inputs = SchemaSettings::draft2020_12()
            .for_deserialize()
            .into_generator()
            .into_root_schema_for::<Inputs>();
        let output = SchemaSettings::draft2020_12()
            .for_serialize()
            .into_generator()
            .into_root_schema_for::<Output>();
        let mut wiring = Self {
            provides: required(&output),
            ..Self::default()
        };
        let required = required(&inputs);
        for (name, property) in properties(&inputs) {
            // schemars marks no `Option` field as required, because serde reads a missing one as `None`. But the host
            // always sends required inputs, so only a default makes a field optional.
            let has_default = property.get("default").is_some();
            let is_option = accepts_null(property);
            if required.contains(name) || (is_option && !has_default) {
                wiring.requires.push(name.clone());
            } else {
                wiring.optional.push(name.clone());
            }
        }
        wiring
    }
}

fn properties(schema: &Schema) -> impl Iterator<Item = (&String, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn required(schema: &Schema) -> Vec<String> {
    let names = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut names: Vec<String> = names.filter_map(Value::as_str).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn accepts_null(schema: &Value) -> bool {
    let is_null = |value: &Value| value == "null";
    match schema.get("type") {
        Some(Value::Array(types)) => types.iter().any(is_null),
        Some(single) => is_null(single),
        None => match schema.get("anyOf").and_then(Value::as_array) {
            Some(choices) => choices.iter().any(accepts_null),
            // A schema without a type accepts anything, unless it is a reference; schemars writes an `Option` of a
            // referenced type as `anyOf`.
            None => schema.get("$ref").is_none(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    struct Reader;

    #[derive(Deserialize, Serialize, JsonSchema, Default)]
    struct Part {
        n: u32,
    }

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct Inputs {
        plain: u32,
        #[serde(rename = "renamed")]
        other: String,
        anything: Value,
        part: Part,
        option: Option<u32>,
        option_of_anything: Option<Value>,
        option_of_part: Option<Part>,
        option_of_reader: Option<Reader>,
        #[serde(default)]
        with_default: u32,
        #[serde(default)]
        option_with_default: Option<u32>,
        #[serde(default)]
        anything_with_default: Value,
        #[serde(default)]
        option_of_anything_with_default: Option<Value>,
        #[serde(default)]
        part_with_default: Part,
        #[serde(default)]
        option_of_part_with_default: Option<Part>,
        #[serde(skip)]
        skipped: u32,
    }

    #[derive(Serialize, JsonSchema)]
    struct Output {
        plain: u32,
        option: Option<u32>,
        anything: Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        perhaps: Option<u32>,
        #[serde(skip)]
        #[allow(dead_code)]
        skipped: u32,
    }

    #[test]
    fn a_field_is_required_unless_it_has_a_default() {
        let wiring = Wiring::of::<Inputs, ()>();
        assert_eq!(
            wiring.requires,
            [
                "anything",
                "option",
                "option_of_anything",
                "option_of_part",
                "option_of_reader",
                "part",
                "plain",
                "renamed"
            ]
        );
        assert_eq!(
            wiring.optional,
            [
                "anything_with_default",
                "option_of_anything_with_default",
                "option_of_part_with_default",
                "option_with_default",
                "part_with_default",
                "with_default"
            ]
        );
    }

    #[test]
    fn a_result_provides_what_it_always_holds() {
        assert_eq!(
            Wiring::of::<crate::NoInputs, Output>().provides,
            ["anything", "option", "plain"]
        );
    }

    #[test]
    fn nothing_is_provided_by_a_result_without_fields() {
        assert_eq!(Wiring::of::<crate::NoInputs, ()>(), Wiring::default());
        assert_eq!(Wiring::of::<crate::NoInputs, Value>(), Wiring::default());
    }
}
