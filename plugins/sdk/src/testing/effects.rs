//! Inspects the effects that a task requested.

use serde_json::Value;

use super::FakeHost;

/// The functions that are effects.
const EFFECTS: [&str; 16] = [
    "keys.create",
    "keys.copy",
    "keys.delete",
    "quota.reserve",
    "quota.commit",
    "quota.rollback",
    "volumes.create",
    "volumes.update",
    "volumes.destroy",
    "records.put",
    "records.remove",
    "records.add",
    "records.next",
    "externals.make",
    "externals.remove",
    "rpc.cast",
];

impl FakeHost {
    /// Returns name and arguments of each effect called so far, in order, including those that failed.
    pub fn effects(&self) -> Vec<(String, Value)> {
        let mut calls = self.all_calls();
        calls.retain(|(function, _)| EFFECTS.contains(&function.as_str()));
        calls
    }

    /// Asserts that exactly these effects were called so far, in this order.
    ///
    /// ```
    /// use cairn_plugin::testing::FakeHost;
    /// use cairn_plugin::{quota, volumes};
    /// use serde_json::json;
    ///
    /// let host = FakeHost::new().answer("volumes.update", json!({}));
    /// host.run(|| {
    ///     quota::commit(&["r1".to_owned()]).unwrap();
    ///     volumes::update("v1", &json!({"status": "error"})).unwrap();
    /// });
    /// host.assert_effects(&[
    ///     ("quota.commit", json!({"reservations": ["r1"]})),
    ///     ("volumes.update", json!({"id": "v1", "changes": {"status": "error"}})),
    /// ]);
    /// ```
    ///
    /// # Panics
    /// At the first effect that differs, is missing or is superfluous. The message shows both lists.
    #[track_caller]
    pub fn assert_effects(&self, expected: &[(&str, Value)]) {
        let found = self.effects();
        let same = found
            .iter()
            .zip(expected)
            .take_while(|((function, arguments), (name, wanted))| {
                function == name && arguments == wanted
            })
            .count();
        if same == found.len() && same == expected.len() {
            return;
        }
        let lines = |calls: Vec<(&str, &Value)>| -> String {
            let lines = calls.iter().enumerate();
            lines
                .map(|(index, (function, arguments))| {
                    format!("\n  {}. {function} {arguments}", index + 1)
                })
                .collect()
        };
        let found = found
            .iter()
            .map(|(function, arguments)| (function.as_str(), arguments));
        let expected = expected
            .iter()
            .map(|(function, arguments)| (*function, arguments));
        panic!(
            "effect {} is not what it should be\nfound:{}\nexpected:{}",
            same + 1,
            lines(found.collect()),
            lines(expected.collect())
        );
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use serde_json::json;

    use super::*;
    use crate::{log, quota, zones};

    fn host() -> FakeHost {
        let host = FakeHost::new();
        host.run(|| {
            log::info("this is none");
            assert!(zones::valid("nor is this").is_ok());
            assert!(quota::commit(&["a".to_owned()]).is_ok());
            assert!(quota::rollback(&["b".to_owned()]).is_ok());
        });
        host
    }

    #[test]
    fn effects_are_what_changes_something_in_order() {
        host().assert_effects(&[
            ("quota.commit", json!({"reservations": ["a"]})),
            ("quota.rollback", json!({"reservations": ["b"]})),
        ]);
    }

    #[test]
    fn another_order_a_missing_one_and_one_too_many_are_each_told() {
        let commit = ("quota.commit", json!({"reservations": ["a"]}));
        let rollback = ("quota.rollback", json!({"reservations": ["b"]}));
        for (expected, number) in [
            (vec![rollback.clone(), commit.clone()], 1),
            (vec![commit.clone()], 2),
            (vec![commit, rollback.clone(), rollback], 3),
        ] {
            let host = host();
            let told = catch_unwind(AssertUnwindSafe(|| host.assert_effects(&expected)));
            let told = told.unwrap_err().downcast::<String>().unwrap();
            assert!(told.starts_with(&format!("effect {number} is")), "{told}");
        }
    }
}
