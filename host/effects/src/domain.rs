//! Domains: what a program's flows may change. A domain brings tables, facts and what its rules work with; the host knows no other.

use std::sync::Arc;

use crate::effect::Applied;
use crate::outbox;
use crate::rows::{Registered, SecondTable, Services, Table, Tables};

/// What one field of work brings along, such as block storage.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// Its name: unique, and kept in the database with the version of its tables.
    pub name: &'static str,
    /// Its tables.
    pub tables: Vec<Registered>,
    /// Facts of a flow's history that its tasks may ask for.
    pub facts: Vec<Fact>,
    /// Its migrations, the first one first: SQL that makes its tables what the one before left them. One that has landed never changes.
    pub migrations: &'static [&'static str],
    /// What its rules work with besides rows.
    pub services: Services,
}

/// Something that holds of a flow since one of its calls did something, and that was not undone.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Its name, such as `quota-committed`.
    pub name: &'static str,
    /// Whether an effect makes it hold.
    pub holds: fn(&Applied) -> bool,
}

/// Why domains do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// Two have one name.
    #[error("two domains are called `{0}`")]
    Name(&'static str),
    /// Two tables have one name.
    #[error(transparent)]
    Table(#[from] SecondTable),
}

/// The domains of a host. Cheap to copy. The outbox belongs to each.
#[derive(Clone, Debug)]
pub struct Domains(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    domains: Vec<Domain>,
    tables: Tables,
    services: Services,
}

impl Domains {
    /// These domains.
    ///
    /// # Errors
    /// [`DomainError`] when two of them have the same name, or tables of the same name.
    pub fn new(domains: impl IntoIterator<Item = Domain>) -> Result<Self, DomainError> {
        let domains: Vec<Domain> = domains.into_iter().collect();
        for (at, domain) in domains.iter().enumerate() {
            let mut others = domains[..at].iter();
            if domain.name == CORE || others.any(|other| other.name == domain.name) {
                return Err(DomainError::Name(domain.name));
            }
        }
        let tables = domains.iter().flat_map(|domain| &domain.tables).copied();
        let tables = Tables::new(tables.chain([outbox::REGISTERED]))?;
        let mut services = Services::default();
        for domain in &domains {
            services.extend(domain.services.clone());
        }
        Ok(Self(Arc::new(Inner {
            domains,
            tables,
            services,
        })))
    }

    /// The same domains, with a service that belongs to none of them, such as [`Outgoing`](outbox::Outgoing).
    #[must_use]
    pub fn with<T: std::any::Any + Send + Sync>(self, service: T) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.services = inner.services.with(service);
        Self(Arc::new(inner))
    }

    /// The domains, in the order in which they were named.
    pub fn iter(&self) -> impl Iterator<Item = &Domain> {
        self.0.domains.iter()
    }

    /// Their tables, and the outbox.
    pub fn tables(&self) -> &Tables {
        &self.0.tables
    }

    /// Their tables in the order in which they were named, and the outbox last.
    pub fn each_table(&self) -> impl Iterator<Item = &'static Table> {
        let tables = self.iter().flat_map(|domain| &domain.tables);
        tables
            .map(|registered| registered.table)
            .chain([outbox::TABLE])
    }

    /// What their rules work with.
    pub fn services(&self) -> &Services {
        &self.0.services
    }

    /// The fact of this name.
    pub fn fact(&self, name: &str) -> Option<Fact> {
        let mut facts = self.iter().flat_map(|domain| &domain.facts);
        facts.find(|fact| fact.name == name).copied()
    }
}

/// The name that the host's own tables go by, and no domain.
pub const CORE: &str = "core";

impl Default for Domains {
    /// No domain: there is the outbox alone.
    fn default() -> Self {
        Self(Arc::new(Inner {
            domains: Vec::new(),
            tables: Tables::only(outbox::REGISTERED),
            services: Services::default(),
        }))
    }
}
