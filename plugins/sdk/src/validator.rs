//! The trait of a validator, and its adapter to the functions that a component exports.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::Error;
use crate::bindings::validator::exports::cairn::plugin::validator as wit;
use crate::guest::{Package, configured};
use crate::host::{context, types};

/// Checks a request before any task runs: a plugin of the world `validator-plugin`, which a manifest names in
/// `[[validator]]`.
///
/// A validator has no effects, and its answer depends only on the inputs and the settings. As with a
/// [`Task`](crate::Task), the fields of the type are the settings.
///
/// ```
/// use cairn_plugin::{Error, Validator, Violation};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// /// Bounds for the size of a volume.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Sizes {
///     /// In GiB. In the manifest: `settings = { least = 1, step = 10 }`.
///     least: u64,
///     step: u64,
/// }
///
/// #[derive(Deserialize)]
/// struct Inputs {
///     size: u64,
/// }
///
/// impl Validator for Sizes {
///     type Inputs = Inputs;
///
///     fn validate(&self, inputs: Inputs) -> Result<Vec<Violation>, Error> {
///         let mut violations = Vec::new(); // all of them, not only the first
///         if inputs.size < self.least {
///             violations.push(Violation::new("/size", format!("the least is {} GiB", self.least)));
///         }
///         if inputs.size % self.step != 0 {
///             violations.push(Violation::new("/size", format!("must be a multiple of {} GiB", self.step)));
///         }
///         Ok(violations)
///     }
/// }
///
/// cairn_plugin::export_validator!(Sizes);
///
/// // In a test:
/// use cairn_plugin::testing::FakeHost;
/// use serde_json::json;
///
/// let host = FakeHost::new().settings(json!({"least": 10, "step": 10}));
/// assert_eq!(host.validate::<Sizes>(json!({"size": 20})).unwrap(), []);
/// assert_eq!(host.validate::<Sizes>(json!({"size": 5})).unwrap().len(), 2);
/// // Inputs that do not deserialize are a violation too.
/// assert_eq!(host.validate::<Sizes>(json!({"size": "big"})).unwrap()[0].pointer, "/size");
/// ```
pub trait Validator: DeserializeOwned + JsonSchema {
    /// The inputs that the validator reads: a type with their fields, or [`serde_json::Value`]. Inputs that do not
    /// deserialize are a violation of the kind `InvalidInput`, which names the place.
    type Inputs: DeserializeOwned;

    /// Returns every violation, not only the first; an empty list accepts the request.
    ///
    /// # Errors
    /// An error rejects the request, as a panic and a missed deadline do.
    fn validate(&self, inputs: Self::Inputs) -> Result<Vec<Violation>, Error>;
}

/// One defect of the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The place: an RFC 6901 JSON pointer into the inputs, such as `/metadata/a~1b`; the empty pointer is the whole
    /// document.
    pub pointer: String,
    /// One word in UpperCamelCase for code to compare, such as `InvalidInput`.
    pub kind: String,
    /// One sentence for a person.
    pub message: String,
}

impl Violation {
    /// Creates a violation of the kind `InvalidInput`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            kind: "InvalidInput".to_owned(),
            message: message.into(),
        }
    }

    /// Changes the kind of the violation.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }
}

impl<P: Package> wit::Guest for P
where
    P::Plugin: Validator,
{
    fn validate(inputs: String) -> Result<Vec<wit::Violation>, types::Error> {
        let violations = validate::<P::Plugin>(&context::settings(), &inputs)?;
        let violations = violations.into_iter().map(|violation| wit::Violation {
            pointer: violation.pointer,
            kind: violation.kind,
            message: violation.message,
        });
        Ok(violations.collect())
    }
}

/// A function that asks a validator, given its settings and the inputs.
#[doc(hidden)]
pub type Validate = fn(&str, &str) -> Result<Vec<Violation>, Error>;

/// Asks a validator, given the texts that cross the component boundary.
#[doc(hidden)]
pub fn validate<V: Validator>(settings: &str, inputs: &str) -> Result<Vec<Violation>, Error> {
    let validator = configured::<V>(settings)?;
    if let Ok(inputs) = serde_json::from_str(inputs) {
        return validator.validate(inputs);
    }
    let inputs: Value = serde_json::from_str(inputs)
        .map_err(|error| Error::new("InvalidInput", format!("the inputs: {error}")))?;
    match serde_path_to_error::deserialize(&inputs) {
        Ok(inputs) => validator.validate(inputs),
        Err(error) => {
            let pointer = pointer(error.path());
            Ok(vec![Violation::new(
                pointer,
                error.into_inner().to_string(),
            )])
        }
    }
}

/// Converts a path to a JSON pointer.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            // Not a step in the JSON document, or an unknown one.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Exports a type that implements [`Validator`](crate::Validator) as a component. The plugin has the crate's name and
/// the first two parts of its version.
///
/// Use it once per crate, at its top level, and without any other export. It exports nothing on targets other than
/// `wasm32`, so that the crate can be tested natively.
#[macro_export]
macro_rules! export_validator {
    ($validator:ty) => {
        // Type-checked on every target, which also avoids an unused-code warning for the validator.
        const _: $crate::validator::Validate = $crate::validator::validate::<$validator>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Plugin;

            impl $crate::guest::Package for Plugin {
                type Plugin = $validator;
                const NAME: &'static str = env!("CARGO_PKG_NAME");
                const VERSION: (u32, u32) = (
                    $crate::guest::version_part(env!("CARGO_PKG_VERSION_MAJOR")),
                    $crate::guest::version_part(env!("CARGO_PKG_VERSION_MINOR")),
                );
            }

    $crate::bindings::export!(Plugin with_types_in $crate::bindings);
    $crate::bindings::validator::export!(Plugin with_types_in $crate::bindings::validator);
        };
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::bindings::exports::cairn::plugin::plugin;
    use crate::testing::FakeHost;

    /// Refuses words that are listed.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Words {
        refused: Vec<String>,
    }

    #[derive(Deserialize)]
    struct Inputs {
        words: BTreeMap<String, Vec<String>>,
    }

    impl Validator for Words {
        type Inputs = Inputs;

        fn validate(&self, inputs: Inputs) -> Result<Vec<Violation>, Error> {
            let mut violations = Vec::new();
            for (name, words) in &inputs.words {
                for (index, word) in words.iter().enumerate() {
                    if self.refused.contains(word) {
                        violations.push(
                            Violation::new(format!("/words/{name}/{index}"), "is refused")
                                .kind("WordRefused"),
                        );
                    }
                }
            }
            Ok(violations)
        }
    }

    struct Plugin;

    impl Package for Plugin {
        type Plugin = Words;
        const NAME: &'static str = "words";
        const VERSION: (u32, u32) = (1, 0);
    }

    fn validate(inputs: Value) -> Result<Vec<(String, String)>, types::Error> {
        let host = FakeHost::new().settings(json!({"refused": ["a", "b"]}));
        let violations = host.run(|| <Plugin as wit::Guest>::validate(inputs.to_string()))?;
        let violations = violations.into_iter();
        Ok(violations
            .map(|violation| (violation.pointer, violation.kind))
            .collect())
    }

    #[test]
    fn every_violation_is_named() {
        let found = validate(json!({"words": {"x": ["a", "c", "b"]}})).unwrap();
        let expected = ["/words/x/0", "/words/x/2"];
        let expected = expected.map(|pointer| (pointer.to_owned(), "WordRefused".to_owned()));
        assert_eq!(found, expected);
        assert_eq!(validate(json!({"words": {}})), Ok(Vec::new()));
    }

    #[test]
    fn inputs_that_do_not_fit_are_a_violation_at_their_place() {
        let found = validate(json!({"words": {"a/b~": ["c", 7]}})).unwrap();
        assert_eq!(
            found,
            [("/words/a~1b~0/1".to_owned(), "InvalidInput".to_owned())]
        );
        let found = validate(json!({})).unwrap();
        assert_eq!(found, [(String::new(), "InvalidInput".to_owned())]);
    }

    #[test]
    fn a_validator_describes_itself_by_its_crate() {
        let descriptor = <Plugin as plugin::Guest>::describe(r#"{"refused": []}"#.into()).unwrap();
        assert_eq!(descriptor.name, "words");
    }
}
