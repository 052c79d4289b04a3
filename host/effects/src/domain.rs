//! Domains, which define the changes that a program's flows may make. A domain brings tables, facts and services for its rules; the
//! host has no other tables for flows than those and its own: the outbox, and objects outside the database.

use std::sync::Arc;

use crate::effect::Applied;
use crate::external;
use crate::outbox;
use crate::rows::{Registered, SecondTable, Services, Table, Tables};

/// A domain, such as block storage: its tables, facts and services.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// Its unique name; the database stores it with the version of the domain's tables.
    pub name: &'static str,
    /// Its tables.
    pub tables: Vec<Registered>,
    /// Facts about a flow's history that its tasks may query.
    pub facts: Vec<Fact>,
    /// Its migrations, in order: SQL that changes its tables from the state of the previous one. A released migration never changes.
    pub migrations: &'static [&'static str],
    /// Its migrations on PostgreSQL; the first one creates the current tables. A domain without any is refused there. A table with rows that
    /// belong to no project needs a statement trigger that executes `cairn.raise_catalogue()`: other hosts keep such rows in memory, and
    /// drop them when the catalogue's version has grown.
    pub postgres: &'static [&'static str],
    /// Services that its rules use besides rows.
    pub services: Services,
}

/// A condition on a flow that holds once one of its calls applied a certain effect, until that is undone.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Its name, such as `quota-committed`.
    pub name: &'static str,
    /// Returns whether an effect makes it hold.
    pub holds: fn(&Applied) -> bool,
}

/// Why domains cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// Two have the same name, or one is called [`CORE`].
    #[error("two domains are called `{0}`")]
    Name(&'static str),
    /// Two tables have the same name.
    #[error(transparent)]
    Table(#[from] SecondTable),
}

/// The domains of a host, with its own tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Domains(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    domains: Vec<Domain>,
    tables: Tables,
    services: Services,
}

impl Domains {
    /// Combines domains.
    ///
    /// # Errors
    /// [`DomainError`] when two of them, or two of their tables, have the same name.
    pub fn new(domains: impl IntoIterator<Item = Domain>) -> Result<Self, DomainError> {
        let domains: Vec<Domain> = domains.into_iter().collect();
        for (at, domain) in domains.iter().enumerate() {
            let mut others = domains[..at].iter();
            if domain.name == CORE || others.any(|other| other.name == domain.name) {
                return Err(DomainError::Name(domain.name));
            }
        }
        let tables = domains.iter().flat_map(|domain| &domain.tables).copied();
        let tables = Tables::new(tables.chain([outbox::REGISTERED, external::REGISTERED]))?;
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

    /// Returns the domains, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Domain> {
        self.0.domains.iter()
    }

    /// Returns their tables, with the host's own: the outbox, and that of objects outside the database.
    pub fn tables(&self) -> &Tables {
        &self.0.tables
    }

    /// Returns their tables in the order in which they were given, and the host's own last.
    pub fn each_table(&self) -> impl Iterator<Item = &'static Table> {
        let tables = self.iter().flat_map(|domain| &domain.tables);
        tables
            .map(|registered| registered.table)
            .chain([outbox::TABLE, external::TABLE])
    }

    /// Returns the services for their rules.
    pub fn services(&self) -> &Services {
        &self.0.services
    }

    /// Returns the fact of this name.
    pub fn fact(&self, name: &str) -> Option<Fact> {
        let mut facts = self.iter().flat_map(|domain| &domain.facts);
        facts.find(|fact| fact.name == name).copied()
    }
}

/// The name of the host's own tables, which no domain may have.
pub const CORE: &str = "core";

impl Default for Domains {
    /// Returns a set without domains, which has only the host's own tables.
    fn default() -> Self {
        Self(Arc::new(Inner {
            domains: Vec::new(),
            tables: Tables::new([outbox::REGISTERED, external::REGISTERED])
                .expect("they have different names"),
            services: Services::default(),
        }))
    }
}
