//! A step-by-step introduction, from an empty folder to a tested plugin. Every example on this page is compiled and run.
//!
//! The plugin of the first six chapters is a task that reserves quota for a backup of a volume. The examples build on each other; in a
//! plugin they all belong in one `src/lib.rs`. Chapter [7](#7-a-policy) is about policies, chapter [8](#8-a-validator) about validators, chapter
//! [9](#9-an-external) about externals.
//!
//! # 1. A crate
//!
//! `cairn plugin new backup-quota --lang rust --with quota` creates this folder. To create it by hand:
//!
//! ```toml
//! [package]
//! name = "backup-quota" # the plugin's name
//! version = "1.0.0"     # its first two parts are the plugin's version
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
//! A task is a type. Its fields are the settings, the fields of [`Task::Inputs`](crate::Task::Inputs) are provided by earlier tasks, and
//! those of [`Task::Output`](crate::Task::Output) are provided to later ones:
//!
//! ```
//! use cairn_plugin::quota::{self, Delta};
//! use cairn_plugin::{Error, Task, ensure};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// Reserves quota for a backup.
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
//! [`ensure!`](crate::ensure), [`bail!`](crate::bail) and [`error!`](crate::error) create errors. A kind is one word in UpperCamelCase,
//! which the compiler checks. The functions of the host are modules of this crate: [`quota`](crate::quota), [`volumes`](crate::volumes),
//! [`catalog`](crate::catalog) and so on. Interfaces that are not called are not imported, and need no grant.
//!
//! # 3. The revert
//!
//! When the call fails, the host undoes its effects. When a *later* task fails, the host calls `revert`, the compensating action; depending
//! on its result, the host undoes the effects of the call or keeps them. The default, [`Undo`](crate::Disposition::Undo), is right for the
//! task above. Implement `revert` yourself when that does not suffice:
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
//!     // The result of a completed call. `None` if the call failed or did not finish: then the host has already undone it.
//!     let Some(output) = outcome.result::<Output>()? else {
//!         return Ok(Disposition::Undo);
//!     };
//!     // Visible to people: the volume does not become available again.
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
//! A revert may be retried, and may be called when the end of the call is unknown. So it must be safe to repeat, and must handle every
//! [`Outcome`](crate::Outcome).
//!
//! # 4. Native tests
//!
//! [`FakeHost`](crate::testing::FakeHost) returns scripted answers and records the calls. `cargo test` needs no host and no WebAssembly:
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
//! A task that needs the time or a random number calls [`time::now`](crate::time::now) and [`random::number`](crate::random::number). A
//! test sets them with [`FakeHost::now`](crate::testing::FakeHost::now) and [`FakeHost::seed`](crate::testing::FakeHost::seed).
//!
//! # 5. The component, on the real host
//!
//! `cairn plugin build` builds `backup-quota.wasm`. `cairn plugin call` calls it once, and shows its calls of the host:
//!
//! ```sh
//! cairn plugin call backup-quota.wasm --inputs '{"size": 10}' --revert
//! ```
//!
//! Cases in `cases/*.toml` state the expected result of a call, and the state of the database before it:
//!
//! ```toml
//! [[case]]
//! name   = "a backup of 10 GiB"
//! inputs = { size = 10 }          # a required input that is not listed is null
//!
//! [[case]]
//! name     = "too large"
//! settings = { largest = 5 }
//! inputs   = { size = 10 }
//! expect   = { error = "BackupTooLarge" }   # or { result = { … } }: what the result must contain
//!
//! [[case]]
//! name   = "over quota"
//! inputs = { size = 10 }
//! state  = { volumes = [{ id = "v1", size = 95 }], quotas = { gigabytes = 100 } }
//! expect = { error = "OverQuota" }
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `inputs`, `settings` | the inputs and settings of the call; TOML has no null, so a string with the text of a JSON object is accepted too |
//! | `grants` | as in a manifest; by default everything that the plugin imports |
//! | `requester` | the caller: `user`, `project` (both `demo`), `roles`, `admin`, `quota_class` |
//! | `host` | the operator's configuration: `default_zone`, `default_volume_type`, `policy` (rules by name), `records` (collections by name, as in `cairn.toml`), `secrets` (values by name) |
//! | `state` | existing rows: `volumes`, `snapshots`, `types`, `qos`, `encryptions`, `images`, `zones`, `quotas`, `usages`, `records` (collection -> key -> value) |
//! | `before` | tasks that ran before in the same flow: `[{ plugin = "builtin:quota-reserve" }]`, with `settings` and `grants` |
//! | `keep` | changes that a revert keeps on purpose: `TABLE/ROW` or `TABLE/ROW.COLUMN`, such as `volumes/*.status`; `new` is every new row |
//! | `varies_with` | inputs on which the task's host calls may depend: `clock`, `randomness` |
//! | `expect` | `{ result = … }` or `{ error = "KIND" }`; by default success |
//!
//! `settings`, `grants`, `requester`, `host`, `state` and `before` may be given above the first `[[case]]`; they then apply to all cases.
//!
//! `cairn plugin test` runs the cases. `cairn plugin test --laws` also verifies the guarantees of a task: a call and its revert leave
//! everything as before, except what `keep` names, also when the revert is repeated, when the call fails or is cut off at any of its host
//! calls, and when the host crashes at any of them; and equal inputs cause equal host calls. A violation is reported with the shortest
//! sequence of host calls that causes it.
//!
//! # 6. Adding it to a flow
//!
//! An operator names the component in a manifest, and grants its imports:
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
//! A policy decides whether a caller may perform an action. `cairn plugin new small-ones --lang rust --world policy` creates the folder. As
//! with a task, the type's fields are the settings. [`Policy::Target`](crate::Policy::Target) has those fields of the target that the
//! policy reads; [`context::requester`](crate::context::requester) returns the caller:
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//!
//! use cairn_plugin::{Decision, Error, Policy, context, time};
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! /// Allows backups only to callers with a role until a date, and to everyone afterwards.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Trial {
//!     /// The role that is needed before the date.
//!     role: String,
//!     /// The date, in seconds since 1970.
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
//! The reason of a denial is one sentence for the caller. An error denies too, as a panic and a missed deadline do, so errors need not be
//! converted to denials. A policy has no effects and no grants; the facts that it needs about a request, such as the whole volume type, are
//! in the target.
//!
//! [`FakeHost::check`](crate::testing::FakeHost::check) asks it in a native test:
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
//! A case in `cases/*.toml` asks the component, in the real sandbox:
//!
//! ```toml
//! settings = { role = "tester", until = 1767225600 }   # 2026-01-01
//! action   = "backup:create"
//!
//! [[case]]
//! name   = "the day before"
//! now    = 2025-12-31T12:00:00Z
//! expect = { deny = "not yet for all of demo" }        # a part of the reason
//! varies_with = ["clock"]                              # a day later the answer differs
//!
//! [[case]]
//! name      = "for a tester"
//! now       = 2025-12-31T12:00:00Z
//! requester = { roles = ["tester"] }
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `settings` | the settings of the policy |
//! | `requester` | the caller: `user`, `project` (both `demo`), `roles`, `admin`, `quota_class` |
//! | `action` | the action |
//! | `target` | the target; `project_id` and `user_id` default to the requester's |
//! | `now` | the time; by default 2025-06-18T08:00:00Z |
//! | `varies_with` | inputs on which the answer may depend: `clock`, `randomness` |
//! | `expect` | `"allow"`, `"deny"`, `{ deny = "PART OF THE REASON" }` or `{ error = "KIND" }`; by default `"allow"` |
//!
//! `settings`, `requester`, `action` and `now` may be given above the first `[[case]]`. With `--laws`, `cairn plugin test` asks each
//! question again, at another time and with other randomness: the answer must be the same, unless `varies_with` says otherwise.
//!
//! A manifest can name the policy, to be asked before the first task; or a rule of the operator's policy file can, as in
//! `"backup:create": "rule:admin_or_owner and wasm:trial"`:
//!
//! ```toml
//! [flow]
//! name   = "backup"
//! action = "backup:create"   # the action that the policy is asked about
//!
//! [plugins.trial]
//! path     = "trial.wasm"
//! settings = { role = "tester", until = 1767225600 }
//!
//! [[policy]]
//! plugin = "trial"
//! mode   = "monitor"         # only records denials; without this line they are enforced
//! ```
//!
//! # 8. A validator
//!
//! A validator lists everything that is wrong with a request. `cairn plugin new backup-names --lang rust --world validator` creates the
//! folder. [`Validator::Inputs`](crate::Validator::Inputs) has the fields that it reads; a request that does not deserialize is reported as
//! a violation with its place:
//!
//! ```
//! use cairn_plugin::{Error, Validator, Violation};
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! /// Requires names of backups that sort by date.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct BackupNames {
//!     /// The maximal length.
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
//! | key | meaning |
//! |---|---|
//! | `settings` | the settings of the validator; may be given above the first `[[case]]`, for all cases |
//! | `inputs` | the request |
//! | `expect` | `{ violations = [{ pointer, kind, message }] }`, all of them in order, or `{ error = "KIND" }`; by default no violation |
//!
//! With `--laws` the answer must be the same when the question is repeated, at another time, with other randomness and for another caller:
//! it must depend only on the inputs and the settings.
//!
//! A manifest names it in `[[validator]]`. All validators are asked, after the policies, and the report contains every violation.
//!
//! A component that is more than one kind of plugin has one file of cases per kind, with `world = "task"`, `"policy"` or `"validator"`
//! above its first `[[case]]`.
//!
//! # 9. An external
//!
//! An external makes and removes objects outside the database, such as DNS records. `cairn plugin new cards --lang rust --world external`
//! creates one, with a server to try it with. Its trait is [`External`](crate::External), whose page has an example and lists six promises.
//!
//! A case of an external is an object that it makes at its backend, which must be there:
//!
//! ```toml
//! settings = { url = "http://127.0.0.1:8765" }
//! grants   = { http = { allow = ["http://127.0.0.1:8765/cards*"] } }
//! kind     = "card"
//!
//! [[case]]
//! name   = "a card is made"
//! spec   = { name = "Ada" }
//! expect = { result = { text = "Hello, Ada!" } }
//!
//! [[case]]
//! name   = "a card without a name is refused"
//! spec   = { name = "" }
//! expect = { error = "InvalidInput" }
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `settings`, `grants` | those of the external, as in a manifest; may be given above the first `[[case]]`, for all cases, as may `kind`. Without `grants` it is granted all of its imports |
//! | `kind`, `spec` | what it is asked for; a text is JSON |
//! | `expect` | `{ result = … }`, which may have more keys, or `{ error = "KIND" }` if it must refuse; by default it must make the object |
//!
//! With `--laws` more such objects are made, looked at, listed and removed, while requests fail, answers are lost and calls are cut off. So the
//! backend should be one that may lose what it holds.
