use std::fmt;

use lz4_flex::block::compress_prepend_size;
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use super::variables::{Template, Variables};

/// A recorded statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its SQL on one line, with placeholders.
    pub sql: String,
    /// The values of the placeholders.
    pub parameters: Vec<Parameter>,
}

/// The value of a placeholder in one flow.
#[derive(Clone, Debug)]
pub enum Parameter {
    /// The same in every flow.
    Same(Sql),
    /// Text with ids and times in it.
    Text(Template),
    /// Text packed as in the journal, with the ids and times of one flow for all flows: the length is the same, and packing is not
    /// SQLite's work.
    Packed(Template, Vec<u8>),
    /// An id, as 16 bytes.
    Id(usize),
    /// The time of the flow.
    Now,
    /// A day after the time of the flow.
    Expiry,
    /// A sum that grows by this amount with each flow.
    Sum(i64),
}

impl Parameter {
    /// Reads a JSON array of parameters.
    pub(super) fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let values: Vec<Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        values.iter().map(Self::parse).collect()
    }

    fn parse(value: &Value) -> Result<Self, String> {
        let unknown = || format!("`{value}` is no parameter");
        Ok(match value {
            Value::Null => Self::Same(Sql::Null),
            Value::Number(number) => Self::Same(Sql::Integer(number.as_i64().ok_or_else(unknown)?)),
            Value::String(text) => {
                let template = Template::parse(text)?;
                match template.constant() {
                    Some(text) => Self::Same(Sql::Text(text.to_owned())),
                    None => Self::Text(template),
                }
            }
            Value::Object(object) => {
                let named = |name: &str| object.get(name).and_then(Value::as_str);
                match (named("id"), named("time"), named("packed")) {
                    (Some(id), None, None) => {
                        let number = id.strip_prefix("id").and_then(|id| id.parse().ok());
                        Self::Id(number.ok_or_else(unknown)?)
                    }
                    (None, Some("now"), None) => Self::Now,
                    (None, Some("expiry"), None) => Self::Expiry,
                    (None, None, None) => {
                        let each = object.get("each").and_then(Value::as_i64);
                        Self::Sum(each.ok_or_else(unknown)?)
                    }
                    (None, None, Some(text)) => {
                        let template = Template::parse(text)?;
                        let text = template.fill(&Variables::new());
                        let block = compress_prepend_size(text.as_bytes());
                        Self::Packed(template, block)
                    }
                    _ => return Err(unknown()),
                }
            }
            Value::Bool(_) | Value::Array(_) => return Err(unknown()),
        })
    }

    fn value(&self, variables: &Variables) -> Sql {
        match self {
            Self::Same(value) => value.clone(),
            Self::Text(template) => Sql::Text(template.fill(variables)),
            Self::Packed(_, block) => Sql::Blob(block.clone()),
            Self::Id(id) => Sql::Blob(variables.id(*id).as_bytes().to_vec()),
            Self::Now => Sql::Integer(variables.now),
            Self::Expiry => Sql::Integer(variables.now + 86_400_000_000),
            Self::Sum(each) => Sql::Integer(each * variables.flows),
        }
    }

    /// Returns the packed row of the journal, if it is one.
    pub(super) fn packed(&self) -> Option<&[u8]> {
        match self {
            Self::Packed(_, block) => Some(block),
            _ => None,
        }
    }
}

impl Statement {
    pub(super) fn run(
        &self,
        prepared: &mut rusqlite::Statement<'_>,
        variables: &Variables,
    ) -> rusqlite::Result<()> {
        for (index, parameter) in self.parameters.iter().enumerate() {
            prepared.raw_bind_parameter(index + 1, parameter.value(variables))?;
        }
        let mut rows = prepared.raw_query();
        while rows.next()?.is_some() {}
        Ok(())
    }
}

/// Formats it for [`Recording::parse`](super::Recording::parse).
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sql)?;
        if self.parameters.is_empty() {
            return Ok(());
        }
        let parameters: Vec<Value> = self.parameters.iter().map(Parameter::written).collect();
        writeln!(f, "    {}", Value::Array(parameters))
    }
}

impl Parameter {
    fn written(&self) -> Value {
        match self {
            Self::Same(Sql::Integer(number)) => json!(number),
            Self::Same(Sql::Text(text)) => json!(text),
            Self::Same(_) => Value::Null,
            Self::Text(template) => json!(template.to_string()),
            Self::Packed(template, _) => json!({"packed": template.to_string()}),
            Self::Id(id) => json!({"id": format!("id{id}")}),
            Self::Now => json!({"time": "now"}),
            Self::Expiry => json!({"time": "expiry"}),
            Self::Sum(each) => json!({"each": each}),
        }
    }
}
