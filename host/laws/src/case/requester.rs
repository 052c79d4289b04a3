//! The requester of a case.

use cairn::Identity;
use serde::Deserialize;

/// The requester of the flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requester {
    /// Id of the user; `demo` by default.
    pub user: String,
    /// Id of the project; `demo` by default.
    pub project: String,
    /// Roles.
    pub roles: Vec<String>,
    /// Whether it is an admin.
    pub admin: bool,
    /// The quota class whose limits apply.
    pub quota_class: Option<String>,
}

impl Default for Requester {
    fn default() -> Self {
        Self {
            user: "demo".to_owned(),
            project: "demo".to_owned(),
            roles: Vec::new(),
            admin: false,
            quota_class: None,
        }
    }
}

impl From<&Identity> for Requester {
    fn from(identity: &Identity) -> Self {
        Self {
            user: identity.user_id.clone(),
            project: identity.project_id.clone(),
            roles: identity.roles.clone(),
            admin: identity.is_admin,
            quota_class: identity.quota_class.clone(),
        }
    }
}

impl Requester {
    pub(crate) fn identity(&self) -> Identity {
        let identity = Identity {
            request_id: "req-case".to_owned(),
            roles: self.roles.clone(),
            quota_class: self.quota_class.clone(),
            ..Identity::new(&self.user, &self.project)
        };
        if self.admin {
            identity.into_admin()
        } else {
            identity
        }
    }
}
