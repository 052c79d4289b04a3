//! The part of an identity that a message to another service carries.

use serde_json::json;

use super::Identity;
use crate::clock::Timestamp;
use crate::value::{Object, Value};

/// One part of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContextPart {
    /// [`Identity::request_id`].
    RequestId,
    /// [`Identity::project_id`].
    ProjectId,
    /// [`Identity::user_id`].
    UserId,
    /// [`Identity::roles`].
    Roles,
    /// [`Identity::is_admin`].
    IsAdmin,
    /// [`Identity::quota_class`].
    QuotaClass,
    /// [`Identity::read_deleted`], as Cinder writes it: `yes` or `no`.
    ReadDeleted,
    /// When the message was made, without a zone: UTC.
    Timestamp,
    /// The user under the name that older receivers read.
    User,
    /// The project under the name that older receivers read.
    Tenant,
}

impl ContextPart {
    /// All parts: the context of Cinder.
    pub const CINDER: &[Self] = &[
        Self::RequestId,
        Self::ProjectId,
        Self::UserId,
        Self::Roles,
        Self::IsAdmin,
        Self::QuotaClass,
        Self::ReadDeleted,
        Self::Timestamp,
        Self::User,
        Self::Tenant,
    ];

    /// The parts that a message carries unless others are configured.
    pub const DEFAULT: &[Self] = &[Self::RequestId, Self::ProjectId];

    /// Its name in settings and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestId => "request_id",
            Self::ProjectId => "project_id",
            Self::UserId => "user_id",
            Self::Roles => "roles",
            Self::IsAdmin => "is_admin",
            Self::QuotaClass => "quota_class",
            Self::ReadDeleted => "read_deleted",
            Self::Timestamp => "timestamp",
            Self::User => "user",
            Self::Tenant => "tenant",
        }
    }

    /// The part of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut parts = Self::CINDER.iter();
        parts.find(|part| part.as_str() == name).copied()
    }

    fn of(self, identity: &Identity, now: Timestamp) -> Value {
        match self {
            Self::RequestId => json!(identity.request_id),
            Self::ProjectId | Self::Tenant => json!(identity.project_id),
            Self::UserId | Self::User => json!(identity.user_id),
            Self::Roles => json!(identity.roles),
            Self::IsAdmin => json!(identity.is_admin),
            Self::QuotaClass => json!(identity.quota_class),
            Self::ReadDeleted => json!(if identity.read_deleted { "yes" } else { "no" }),
            Self::Timestamp => json!(now.to_string().trim_end_matches('Z')),
        }
    }
}

impl Identity {
    /// Returns these parts of the identity, by name, for a message that is made at `now`.
    pub fn context(&self, parts: &[ContextPart], now: Timestamp) -> Object {
        let parts = parts.iter();
        parts
            .map(|part| (part.as_str().to_owned(), part.of(self, now)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_holds_the_parts_that_are_asked_for_and_no_other() {
        let ann = Identity::new("ann", "acme").with_roles(["member"]);
        let now = Timestamp(1_000_000);
        let own = ann.context(ContextPart::DEFAULT, now);
        assert_eq!(
            Value::Object(own),
            json!({"request_id": ann.request_id, "project_id": "acme"})
        );
        let whole = ann.context(ContextPart::CINDER, now);
        let expected = json!({
            "request_id": ann.request_id, "project_id": "acme", "tenant": "acme", "user_id": "ann", "user": "ann",
            "roles": ["member"], "is_admin": false, "quota_class": null, "read_deleted": "no",
            "timestamp": "1970-01-01T00:00:01.000000",
        });
        assert_eq!(Value::Object(whole), expected);
    }

    #[test]
    fn a_part_is_found_by_its_name() {
        for part in ContextPart::CINDER {
            assert_eq!(ContextPart::named(part.as_str()), Some(*part));
        }
        assert_eq!(ContextPart::named("password"), None);
    }
}
