use std::collections::BTreeMap;
use std::time::Duration;

use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};

use super::QuotaConfig;

/// A limit as a row or the configuration states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A number; -1 is unlimited.
    Of(i64),
    /// A row without a number: unlimited.
    None,
}

impl From<Option<i64>> for Limit {
    fn from(limit: Option<i64>) -> Self {
        limit.map_or(Self::None, Self::Of)
    }
}

impl From<Limit> for Option<i64> {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Of(limit) => Some(limit),
            Limit::None => None,
        }
    }
}

/// A project's usage of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Committed.
    pub in_use: i64,
    /// Held by open reservations.
    pub reserved: i64,
    /// Reservations until it is recounted; `None` is never.
    pub until_refresh: Option<i64>,
    /// Time of the last change of one of the above.
    pub updated_at: Option<Timestamp>,
}

/// Returns whether a usage must be recounted before a reservation; counts [`Usage::until_refresh`] down. Reasons, in this order: a
/// negative usage, a countdown that reaches zero, an age of `max_age` or more. The age of a usage with a countdown is ignored.
pub fn refresh_is_due(usage: &mut Usage, config: &QuotaConfig, now: Timestamp) -> bool {
    if usage.in_use < 0 {
        return true;
    }
    if let Some(left) = &mut usage.until_refresh {
        *left -= 1;
        return *left <= 0;
    }
    let max_age = Duration::from_secs(config.max_age);
    !max_age.is_zero()
        && usage
            .updated_at
            .is_some_and(|updated| now.since(updated) >= max_age)
}

/// Returns whether reserving `delta` exceeds the limit or, without a limit, the range of a counter. A negative delta never does.
pub fn is_over(limit: Limit, delta: i64, usage: &Usage) -> bool {
    if delta < 0 {
        return false;
    }
    let most = match limit {
        Limit::Of(limit) if limit >= 0 => limit,
        Limit::Of(_) | Limit::None => i64::MAX,
    };
    let held = i128::from(delta) + i128::from(usage.reserved);
    let wanted = held + i128::from(usage.in_use);
    // `in_use` may be negative, so `held` is checked alone too.
    i128::from(most) < wanted || i128::from(i64::MAX) < held
}

/// A refused request for more than the limits allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// The resources that are over.
    pub overs: Vec<String>,
    /// The limit of each requested resource.
    pub quotas: BTreeMap<String, Limit>,
    /// All usages of the project.
    pub usages: BTreeMap<String, Usage>,
}

impl From<Over> for TaskError {
    fn from(over: Over) -> Self {
        let quotas: Object = over
            .quotas
            .into_iter()
            .map(|(name, limit)| (name, Option::<i64>::from(limit).into()))
            .collect();
        let usages: Object = over
            .usages
            .into_iter()
            .map(|(name, usage)| {
                let usage = serde_json::json!({"in_use": usage.in_use, "reserved": usage.reserved});
                (name, usage)
            })
            .collect();
        let message = format!("quota exceeded for {}", over.overs.join(", "));
        Self::new("OverQuota", message)
            .with("overs", over.overs)
            .with("quotas", Value::Object(quotas))
            .with("usages", Value::Object(usages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(in_use: i64, until_refresh: Option<i64>, updated_at: Option<i64>) -> Usage {
        Usage {
            in_use,
            until_refresh,
            updated_at: updated_at.map(Timestamp),
            ..Usage::default()
        }
    }

    #[test]
    fn a_usage_is_recounted_for_the_first_reason_that_applies() {
        let config = QuotaConfig {
            max_age: 10,
            ..QuotaConfig::default()
        };
        let now = Timestamp(20_000_000);
        let check = |mut usage: Usage, due: bool, left: Option<i64>| {
            assert_eq!(refresh_is_due(&mut usage, &config, now), due, "{usage:?}");
            assert_eq!(usage.until_refresh, left);
        };
        check(usage(-1, Some(5), None), true, Some(5));
        check(usage(0, Some(2), Some(0)), false, Some(1));
        check(usage(0, Some(1), None), true, Some(0));
        check(usage(0, None, Some(10_000_000)), true, None);
        check(usage(0, None, Some(10_000_001)), false, None);
        check(usage(0, None, None), false, None);
    }

    #[test]
    fn a_limit_is_exceeded_by_what_is_asked_used_and_held() {
        let usage = Usage {
            in_use: 3,
            reserved: 2,
            ..Usage::default()
        };
        assert!(!is_over(Limit::Of(6), 1, &usage));
        assert!(is_over(Limit::Of(6), 2, &usage));
        assert!(is_over(Limit::Of(4), 0, &usage));
        assert!(!is_over(Limit::Of(0), -1, &usage));
        for limit in [Limit::Of(-1), Limit::None, Limit::Of(i64::MAX)] {
            assert!(is_over(limit, i64::MAX, &usage), "{limit:?}");
            assert!(is_over(limit, i64::MAX - 4, &usage), "{limit:?}");
            assert!(!is_over(limit, i64::MAX - 5, &usage), "{limit:?}");
        }
        let negative = Usage {
            in_use: i64::MIN,
            ..usage
        };
        assert!(is_over(Limit::None, i64::MAX, &negative));
        assert!(!is_over(Limit::None, i64::MAX - 2, &negative));
    }
}
