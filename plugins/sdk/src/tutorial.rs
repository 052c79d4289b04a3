//! From nothing to a tested plugin. Every example on this page is compiled and run.
//!
//! The plugin of the first six chapters is a task: it holds quota for a backup of a volume. The examples build on each other; in a
//! plugin all of them stand in one `src/lib.rs`. Chapters [7](#7-a-policy) and [8](#8-a-validator) are for those who write a policy
//! or a validator.
//!
//! # 1. A crate
//!
//! `cairn plugin new backup-quota --lang rust --with quota` makes this folder. By hand it is:
//!
//! ```toml
//! [package]
//! name = "backup-quota" # what the plugin is called
//! version = "1.0.0"     # of which the first two parts are the plugin's
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib", "lib"]
//!
//! [dependencies]
//! cairn-plugin = "0.1"
//! schemars = "1"
//! serde = { version = "1", features = ["derive"] }
//! serde_json = "1"
//! ```
//!
//! # 2. A task
//!
//! A task is a type. Its fields are the settings, the fields of [`Task::Inputs`](crate::Task::Inputs) are what earlier tasks
//! must provide, and those of [`Task::Output`](crate::Task::Output) are what it provides to later ones:
//!
//! ```
//! use cairn_plugin::quota::{self, Delta};
//! use cairn_plugin::{Error, Task, ensure};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// Holds quota for a backup.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct BackupQuota {
//!     /// The largest backup, in GiB.
//!     #[serde(default = "no_limit")]
//!     largest: i64,
//! }
//!
//! fn no_limit() -> i64 {
//!     i64::MAX
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Inputs {
//!     /// In GiB.
//!     size: i64,
//! }
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Output {
//!     backup_reservations: Vec<String>,
//! }
//!
//! impl Task for BackupQuota {
//!     type Inputs = Inputs;
//!     type Output = Output;
//!
//!     fn call(&self, inputs: Inputs) -> Result<Output, Error> {
//!         ensure!(
//!             inputs.size <= self.largest,
//!             "BackupTooLarge",
//!             "{} GiB are more than the {} GiB that a backup may have",
//!             inputs.size,
//!             self.largest
//!         );
//!         let backup_reservations = quota::reserve(&[Delta::new("gigabytes", inputs.size)])?;
//!         Ok(Output { backup_reservations })
//!     }
//! }
//!
//! cairn_plugin::export!(BackupQuota);
//! ```
//!
//! [`ensure!`](crate::ensure), [`bail!`](crate::bail) and [`error!`](crate::error) make errors. A kind is one word in UpperCamelCase,
//! which the compiler checks. The functions of the host are modules of this crate: [`quota`](crate::quota),
//! [`volumes`](crate::volumes), [`catalog`](crate::catalog) and so on. What is not called is not imported, and need not be granted.
//!
//! # 3. The way back
//!
//! When the call fails, the host undoes what it changed. When a *later* task fails, the host asks `revert`, and by its answer
//! undoes what the call changed, or keeps it. There is a default, [`Undo`](crate::Disposition::Undo), and it is right for the task above. Write a
//! `revert` of your own where what is to be done depends on more than that:
//!
//! ```
//! # use cairn_plugin::{Disposition, Error, Failure, NoInputs, Outcome, Task, context, volumes};
//! # use schemars::JsonSchema;
//! # use serde::{Deserialize, Serialize};
//! # use serde_json::json;
//! # #[derive(Deserialize, JsonSchema)]
//! # struct Mark {}
//! # #[derive(Deserialize, JsonSchema)]
//! # struct Inputs { volume_id: String }
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Output {
//!     volume_id: String,
//! }
//!
//! # impl Task for Mark {
//! #     type Inputs = Inputs;
//! #     type Output = Output;
//! fn call(&self, inputs: Inputs) -> Result<Output, Error> {
//!     volumes::update(&inputs.volume_id, &json!({"status": "backing-up"}))?;
//!     Ok(Output { volume_id: inputs.volume_id })
//! }
//!
//! fn revert(&self, outcome: Outcome, _cause: &Failure) -> Result<Disposition, Error> {
//!     // The result of a call that completed; none of one that failed or was cut off, which the host has undone already.
//!     let Some(output) = outcome.result::<Output>()? else {
//!         return Ok(Disposition::Undo);
//!     };
//!     // For people to see: the volume does not become available again.
//!     volumes::update(&output.volume_id, &json!({"status": "error_backing-up"}))?;
//!     Ok(Disposition::Keep)
//! }
//! # }
//! # use cairn_plugin::testing::FakeHost;
//! # let host = FakeHost::new().answer("volumes.update", json!({}));
//! # let outcome = Outcome::Completed(json!({"volume_id": "v1"}));
//! # assert_eq!(host.revert::<Mark>(outcome), Ok(Disposition::Keep));
//! # host.assert_effects(&[("volumes.update", json!({"id": "v1", "changes": {"status": "error_backing-up"}}))]);
//! ```
//!
//! A revert may be tried again, and may come when nobody knows how the call ended. So it must do no harm when it is repeated, and must take
//! every [`Outcome`](crate::Outcome).
//!
//! # 4. Tests on your machine
//!
//! [`FakeHost`](crate::testing::FakeHost) answers what it is told, and remembers what it was asked. `cargo test` needs no host and no WebAssembly:
//!
//! ```
//! # use cairn_plugin::quota::{self, Delta};
//! # use cairn_plugin::{Error, Task, ensure};
//! # use schemars::JsonSchema;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Deserialize, JsonSchema)]
//! # struct BackupQuota { largest: i64 }
//! # #[derive(Deserialize, JsonSchema)]
//! # struct Inputs { size: i64 }
//! # #[derive(Serialize, JsonSchema)]
//! # struct Output { backup_reservations: Vec<String> }
//! # impl Task for BackupQuota {
//! #     type Inputs = Inputs;
//! #     type Output = Output;
//! #     fn call(&self, inputs: Inputs) -> Result<Output, Error> {
//! #         ensure!(inputs.size <= self.largest, "BackupTooLarge", "too large");
//! #         let backup_reservations = quota::reserve(&[Delta::new("gigabytes", inputs.size)])?;
//! #         Ok(Output { backup_reservations })
//! #     }
//! # }
//! use cairn_plugin::testing::FakeHost;
//! use serde_json::json;
//!
//! let host = FakeHost::new()
//!     .settings(json!({"largest": 100}))
//!     .answer("quota.reserve", json!(["r1"]));
//!
//! let result = host.call::<BackupQuota>(json!({"size": 10}));
//! assert_eq!(result.unwrap(), json!({"backup_reservations": ["r1"]}));
//! host.assert_effects(&[("quota.reserve", json!({"deltas": {"gigabytes": 10}}))]);
//!
//! let error = host.call::<BackupQuota>(json!({"size": 101})).unwrap_err();
//! assert!(error.is("BackupTooLarge"));
//! ```
//!
//! A task that needs the time or a random number asks [`time::now`](crate::time::now) and
//! [`random::number`](crate::random::number), which a test sets with
//! [`FakeHost::now`](crate::testing::FakeHost::now) and [`FakeHost::seed`](crate::testing::FakeHost::seed).
//!
//! # 5. The component, on the real host
//!
//! `cairn plugin build` makes `backup-quota.wasm`. `cairn plugin call` calls it once, and shows what it asks of the host:
//!
//! ```sh
//! cairn plugin call backup-quota.wasm --inputs '{"size": 10}' --revert
//! ```
//!
//! Cases in `cases/*.toml` say what should come of a call, and in which state of the database:
//!
//! ```toml
//! [[case]]
//! name   = "a backup of 10 GiB"
//! inputs = { size = 10 }          # what the task requires and is not here is null
//!
//! [[case]]
//! name     = "too large"
//! settings = { largest = 5 }
//! inputs   = { size = 10 }
//! expect   = { error = "BackupTooLarge" }   # or { result = { … } }: what the result should hold
//!
//! [[case]]
//! name   = "over quota"
//! inputs = { size = 10 }
//! state  = { volumes = [{ id = "v1", size = 95 }], quotas = { gigabytes = 100 } }
//! expect = { error = "OverQuota" }
//! ```
//!
//! | key | says |
//! |---|---|
//! | `inputs`, `settings` | what the task is called with and set to; TOML has no null, so a string with the text of a JSON object is taken too |
//! | `grants` | as in a manifest; whatever the plugin imports unless it is given |
//! | `requester` | who asks: `user`, `project` (both `demo`), `roles`, `admin`, `quota_class` |
//! | `host` | what the operator has set up: `default_zone`, `default_volume_type`, `policy` (rules by name), `records` (collections by name, as in `cairn.toml`) |
//! | `state` | rows that are there: `volumes`, `snapshots`, `types`, `qos`, `encryptions`, `images`, `zones`, `quotas`, `usages`, `records` (collection -> key -> value) |
//! | `before` | tasks that ran before in the same flow: `[{ plugin = "builtin:quota-reserve" }]`, with `settings` and `grants` |
//! | `keep` | what a revert leaves on purpose: `TABLE/ROW` or `TABLE/ROW.COLUMN`, such as `volumes/*.status`; `new` is every new row |
//! | `varies_with` | what the task's requests may depend on: `clock`, `randomness` |
//! | `expect` | `{ result = … }` or `{ error = "KIND" }`; success unless it is given |
//!
//! `settings`, `grants`, `requester`, `host`, `state` and `before` may stand above the first `[[case]]`, for all of them.
//!
//! `cairn plugin test` runs the cases. `cairn plugin test --laws` also holds the task to what it promised: that a call and its revert
//! leave everything as it was except what `keep` names, also when the revert is repeated, when the call fails or is cut off at any of its
//! host calls, and when the host dies at any of them; and that the same inputs give the same requests. What breaks is shown with
//! the shortest sequence of host calls that breaks it.
//!
//! # 6. A place in a flow
//!
//! An operator names the component in a manifest, and grants what it imports:
//!
//! ```toml
//! [plugins.backup-quota]
//! path     = "backup-quota.wasm"
//! settings = { largest = 100 }
//! grants   = { quota = { resources = ["gigabytes"] } }
//!
//! [[task]]
//! plugin = "backup-quota"
//! ```
//!
//! # 7. A policy
//!
//! A policy says whether a caller may do something. `cairn plugin new small-ones --lang rust --world policy` makes the folder. The
//! type's fields are the settings, as a task's are; [`Policy::Target`](crate::Policy::Target) has the fields of what is acted upon that
//! count, and who asks is told by [`context::requester`](crate::context::requester):
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//!
//! use cairn_plugin::{Decision, Error, Policy, context, time};
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! /// Until some day, backups are for a few.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Trial {
//!     /// The role of those few.
//!     role: String,
//!     /// The first second that is for everybody, since 1970.
//!     until: u64,
//! }
//!
//! #[derive(Deserialize)]
//! struct Target {
//!     #[serde(default)]
//!     project_id: String,
//! }
//!
//! impl Policy for Trial {
//!     type Target = Target;
//!
//!     fn check(&self, action: &str, target: Target) -> Result<Decision, Error> {
//!         let is_over = time::now() >= UNIX_EPOCH + Duration::from_secs(self.until);
//!         if is_over || context::requester().roles.contains(&self.role) {
//!             return Ok(Decision::Allow);
//!         }
//!         Ok(Decision::deny(format!("{action} is not yet for all of {}", target.project_id)))
//!     }
//! }
//!
//! cairn_plugin::export_policy!(Trial);
//! ```
//!
//! The reason of a denial is for the caller: one sentence. An error denies too, as a panic and a missed deadline do, so there is no
//! need to turn what goes wrong into a denial by hand. A policy changes nothing and is granted nothing; what it must know of a
//! request, such as the whole volume type, is in the target already.
//!
//! [`FakeHost::check`](crate::testing::FakeHost::check) asks it on your machine:
//!
//! ```
//! # use std::time::{Duration, UNIX_EPOCH};
//! # use cairn_plugin::{Decision, Error, Policy, context, time};
//! # use schemars::JsonSchema;
//! # use serde::Deserialize;
//! # #[derive(Deserialize, JsonSchema)]
//! # struct Trial { role: String, until: u64 }
//! # #[derive(Deserialize)]
//! # struct Target { #[serde(default)] project_id: String }
//! # impl Policy for Trial {
//! #     type Target = Target;
//! #     fn check(&self, action: &str, target: Target) -> Result<Decision, Error> {
//! #         let is_over = time::now() >= UNIX_EPOCH + Duration::from_secs(self.until);
//! #         if is_over || context::requester().roles.contains(&self.role) {
//! #             return Ok(Decision::Allow);
//! #         }
//! #         Ok(Decision::deny(format!("{action} is not yet for all of {}", target.project_id)))
//! #     }
//! # }
//! use cairn_plugin::testing::FakeHost;
//! use serde_json::json;
//!
//! let ask_at = |second| {
//!     let host = FakeHost::new()
//!         .settings(json!({"role": "tester", "until": 1000}))
//!         .now(UNIX_EPOCH + Duration::from_secs(second));
//!     host.check::<Trial>("backup:create", json!({"project_id": "blue"})).unwrap()
//! };
//! assert_eq!(ask_at(999), Decision::deny("backup:create is not yet for all of blue"));
//! assert_eq!(ask_at(1000), Decision::Allow);
//! ```
//!
//! And a case in `cases/*.toml` asks the component, in the real sandbox:
//!
//! ```toml
//! settings = { role = "tester", until = 1767225600 }   # 2026-01-01
//! action   = "backup:create"
//!
//! [[case]]
//! name   = "the day before"
//! now    = 2025-12-31T12:00:00Z
//! expect = { deny = "not yet for all of demo" }        # part of the reason
//! varies_with = ["clock"]                              # a day later the answer is another
//!
//! [[case]]
//! name      = "for a tester"
//! now       = 2025-12-31T12:00:00Z
//! requester = { roles = ["tester"] }
//! ```
//!
//! | key | says |
//! |---|---|
//! | `settings` | what the policy is set to |
//! | `requester` | who asks: `user`, `project` (both `demo`), `roles`, `admin`, `quota_class` |
//! | `action` | what is to be done |
//! | `target` | to what; `project_id` and `user_id` are the requester's unless they are given |
//! | `now` | what the clock says; 2025-06-18T08:00:00Z unless it is given |
//! | `varies_with` | what the answer may depend on: `clock`, `randomness` |
//! | `expect` | `"allow"`, `"deny"`, `{ deny = "PART OF THE REASON" }` or `{ error = "KIND" }`; `"allow"` unless it is given |
//!
//! `settings`, `requester`, `action` and `now` may stand above the first `[[case]]`. With `--laws`, `cairn plugin test` asks each question
//! again, at another time and with other randomness: the answer must be the same, unless `varies_with` says otherwise.
//!
//! A manifest asks the policy before the first task, or a rule of the operator's policy file asks it, as in
//! `"backup:create": "rule:admin_or_owner and wasm:trial"`:
//!
//! ```toml
//! [flow]
//! name   = "backup"
//! action = "backup:create"   # what it is asked about
//!
//! [plugins.trial]
//! path     = "trial.wasm"
//! settings = { role = "tester", until = 1767225600 }
//!
//! [[policy]]
//! plugin = "trial"
//! mode   = "monitor"         # records what it would have denied; without it, a denial is one
//! ```
//!
//! # 8. A validator
//!
//! A validator says what is wrong with a request, all of it. `cairn plugin new backup-names --lang rust --world validator` makes the
//! folder. [`Validator::Inputs`](crate::Validator::Inputs) has the fields that count; a request that does not fit them is a violation
//! that names its place by itself:
//!
//! ```
//! use cairn_plugin::{Error, Validator, Violation};
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! /// Backups have names that sort by their dates.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct BackupNames {
//!     /// The most characters.
//!     most: usize,
//! }
//!
//! #[derive(Deserialize)]
//! struct Inputs {
//!     name: String,
//! }
//!
//! impl Validator for BackupNames {
//!     type Inputs = Inputs;
//!
//!     fn validate(&self, inputs: Inputs) -> Result<Vec<Violation>, Error> {
//!         let mut violations = Vec::new();
//!         if !inputs.name.starts_with("20") {
//!             violations.push(Violation::new("/name", "does not begin with a year").kind("NameUndated"));
//!         }
//!         if inputs.name.len() > self.most {
//!             violations.push(Violation::new("/name", format!("the most are {} characters", self.most)));
//!         }
//!         Ok(violations)
//!     }
//! }
//!
//! cairn_plugin::export_validator!(BackupNames);
//!
//! // In a test:
//! use cairn_plugin::testing::FakeHost;
//! use serde_json::json;
//!
//! let host = FakeHost::new().settings(json!({"most": 10}));
//! let found = host.validate::<BackupNames>(json!({"name": "last backup"})).unwrap();
//! let kinds: Vec<&str> = found.iter().map(|violation| violation.kind.as_str()).collect();
//! assert_eq!(kinds, ["NameUndated", "InvalidInput"]);
//! assert_eq!(host.validate::<BackupNames>(json!({"name": "2026-01-05"})).unwrap(), []);
//! ```
//!
//! Its cases:
//!
//! ```toml
//! settings = { most = 10 }
//!
//! [[case]]
//! name   = "a date"
//! inputs = { name = "2026-01-05" }
//!
//! [[case]]
//! name   = "no date, and too long"
//! inputs = { name = "last backup" }
//! expect = { violations = [
//!     { pointer = "/name", kind = "NameUndated" },
//!     { pointer = "/name", kind = "InvalidInput", message = "10 characters" },   # part of the message
//! ] }
//! ```
//!
//! | key | says |
//! |---|---|
//! | `settings` | what the validator is set to; may stand above the first `[[case]]`, for all of them |
//! | `inputs` | the request |
//! | `expect` | `{ violations = [{ pointer, kind, message }] }`, all of them in order, or `{ error = "KIND" }`; no violation unless it is given |
//!
//! With `--laws` the answer must be the same when it is asked for again, at another time, with other randomness and by somebody else: a
//! validator leans on the inputs and the settings alone.
//!
//! A manifest names it in `[[validator]]`. All validators are asked, after the policies, and every violation is in the report.
//!
//! A component that is more than one of these things has a file of cases for each, with `world = "task"`, `"policy"` or
//! `"validator"` above its first `[[case]]`.
