//! Adapts a [`Task`] to the functions that a component exports, and implements the self-description of every kind of
//! plugin.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::exports::cairn::plugin::plugin;
use crate::bindings::task::exports::cairn::plugin::task;
use crate::host::{context, types};
use crate::{Disposition, Error, Failure, Outcome, Task, Wiring, json};

/// The facts about a crate that [`export!`](crate::export), `export_policy!` and `export_validator!` generate.
#[doc(hidden)]
pub trait Package {
    /// The task, policy or validator.
    type Plugin: DeserializeOwned + JsonSchema;
    const NAME: &'static str;
    const VERSION: (u32, u32);

    /// Returns the plugin's wiring, which only tasks have.
    fn wiring(_plugin: &Self::Plugin) -> Wiring {
        Wiring::default()
    }
}

/// Parses a part of the crate's version at compile time.
#[doc(hidden)]
pub const fn version_part(digits: &str) -> u32 {
    match u32::from_str_radix(digits, 10) {
        Ok(part) => part,
        Err(_) => panic!("a part of the crate's version is no number"),
    }
}

impl<P: Package> plugin::Guest for P {
    fn settings_schema() -> String {
        schemars::schema_for!(P::Plugin).to_value().to_string()
    }

    fn describe(settings: String) -> Result<plugin::Descriptor, types::Error> {
        let wiring = P::wiring(&configured(&settings)?);
        Ok(plugin::Descriptor {
            name: P::NAME.to_owned(),
            version: P::VERSION,
            requires: wiring.requires,
            optional: wiring.optional,
            provides: wiring.provides,
        })
    }
}

impl<P: Package> task::Guest for P
where
    P::Plugin: Task,
{
    fn call(inputs: String) -> Result<String, types::Error> {
        Ok(call::<P::Plugin>(&context::settings(), &inputs)?)
    }

    fn revert(
        outcome: task::Outcome,
        cause: task::Failure,
    ) -> Result<task::Disposition, types::Error> {
        let outcome = match outcome {
            task::Outcome::Completed(result) => Outcome::Completed(json::from_text::<Value>(
                "ResultInvalid",
                "the result to revert",
                &result,
            )?),
            task::Outcome::Failed(error) => Outcome::Failed(error.into()),
            task::Outcome::Interrupted => Outcome::Interrupted,
        };
        let cause = Failure {
            task: cause.task,
            error: cause.error.into(),
        };
        Ok(
            match configured::<P::Plugin>(&context::settings())?.revert(outcome, &cause)? {
                Disposition::Undo => task::Disposition::Undo,
                Disposition::Keep => task::Disposition::Keep,
            },
        )
    }
}

/// Deserializes a task, policy or validator from its settings.
pub(crate) fn configured<T: DeserializeOwned>(settings: &str) -> Result<T, Error> {
    json::from_text("InvalidSettings", "the settings", settings)
}

/// A function that calls a task, given its settings and inputs.
#[doc(hidden)]
pub type Call = fn(&str, &str) -> Result<String, Error>;

/// Calls a task, given the JSON texts that cross the component boundary.
#[doc(hidden)]
pub fn call<T: Task>(settings: &str, inputs: &str) -> Result<String, Error> {
    let task = configured::<T>(settings)?;
    let output = task.call(json::from_text("InvalidInput", "the inputs", inputs)?)?;
    serde_json::to_string(&output)
        .map_err(|error| Error::new("ResultInvalid", format!("the result: {error}")))
}

/// Exports a type that implements [`Task`](crate::Task) as a component. The plugin has the crate's name and the first
/// two parts of its version.
///
/// Use it once per crate, at its top level. It exports nothing on targets other than `wasm32`, so that the crate can be
/// tested natively.
#[macro_export]
macro_rules! export {
    ($task:ty) => {
        // Type-checked on every target, which also avoids an unused-code warning for the task.
        const _: $crate::guest::Call = $crate::guest::call::<$task>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Plugin;

            impl $crate::guest::Package for Plugin {
                type Plugin = $task;
                const NAME: &'static str = env!("CARGO_PKG_NAME");
                const VERSION: (u32, u32) = (
                    $crate::guest::version_part(env!("CARGO_PKG_VERSION_MAJOR")),
                    $crate::guest::version_part(env!("CARGO_PKG_VERSION_MINOR")),
                );

                fn wiring(task: &$task) -> $crate::Wiring {
                    $crate::Task::wiring(task)
                }
            }

    $crate::bindings::export!(Plugin with_types_in $crate::bindings);
    $crate::bindings::task::export!(Plugin with_types_in $crate::bindings::task);
        };
    };
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;
    use crate::testing::FakeHost;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Repeat {
        times: usize,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Inputs {
        word: String,
    }

    #[derive(Serialize, JsonSchema)]
    struct Output {
        text: String,
    }

    impl Task for Repeat {
        type Inputs = Inputs;
        type Output = Output;

        fn call(&self, inputs: Inputs) -> Result<Output, Error> {
            Ok(Output {
                text: inputs.word.repeat(self.times),
            })
        }
    }

    struct Plugin;

    impl Package for Plugin {
        type Plugin = Repeat;
        const NAME: &'static str = "repeat";
        const VERSION: (u32, u32) = (version_part("2"), version_part("13"));

        fn wiring(task: &Repeat) -> Wiring {
            task.wiring()
        }
    }

    #[test]
    fn a_plugin_describes_itself_by_its_crate_and_its_types() {
        let descriptor = <Plugin as plugin::Guest>::describe(r#"{"times": 2}"#.into()).unwrap();
        assert_eq!(
            (descriptor.name.as_str(), descriptor.version),
            ("repeat", (2, 13))
        );
        assert_eq!(
            (descriptor.requires, descriptor.provides),
            (vec!["word".to_owned()], vec!["text".to_owned()])
        );
    }

    #[test]
    fn the_schema_of_the_settings_is_that_of_the_task() {
        let schema: Value =
            serde_json::from_str(&<Plugin as plugin::Guest>::settings_schema()).unwrap();
        assert_eq!(schema["required"], json!(["times"]));
        assert_eq!(schema["additionalProperties"], json!(false));
    }

    #[test]
    fn a_setting_that_does_not_fit_is_named() {
        let error = <Plugin as plugin::Guest>::describe(r#"{"times": "two"}"#.into()).unwrap_err();
        assert_eq!(error.kind, "InvalidSettings");
        assert!(error.message.contains("`times`"), "{}", error.message);
    }

    #[test]
    fn a_call_reads_the_settings_from_the_context() {
        let host = FakeHost::new().settings(json!({"times": 3}));
        let result = host.run(|| <Plugin as task::Guest>::call(r#"{"word": "ab"}"#.into()));
        assert_eq!(result.unwrap(), r#"{"text":"ababab"}"#);
    }

    #[test]
    fn an_input_that_does_not_fit_is_named() {
        let host = FakeHost::new().settings(json!({"times": 3}));
        let error = host
            .run(|| <Plugin as task::Guest>::call(r#"{"word": 7}"#.into()))
            .unwrap_err();
        assert_eq!(error.kind, "InvalidInput");
        assert_eq!(error.details.as_deref(), Some(r#"{"field":"word"}"#));
    }

    #[test]
    fn without_a_revert_of_its_own_a_task_lets_the_host_undo() {
        let cause = task::Failure {
            task: "other".into(),
            error: types::Error {
                kind: "Busy".into(),
                message: "no".into(),
                details: None,
            },
        };
        let host = FakeHost::new().settings(json!({"times": 3}));
        // This result does not deserialize as `Output`; the default revert does not read it.
        let outcome = task::Outcome::Completed("null".into());
        let disposition = host.run(|| <Plugin as task::Guest>::revert(outcome, cause));
        assert_eq!(disposition, Ok(task::Disposition::Undo));
    }
}
