use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Values that domains register besides tables, by type: an operator's settings, a keyring, resolvers of requests.
#[derive(Clone, Default)]
pub struct Services(HashMap<TypeId, Vec<Arc<dyn Any + Send + Sync>>>);

impl Services {
    /// Adds a service.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, service: T) -> Self {
        let same = self.0.entry(TypeId::of::<T>()).or_default();
        same.push(Arc::new(service));
        self
    }

    /// Adds the services of another set.
    pub fn extend(&mut self, others: Self) {
        for (of, services) in others.0 {
            self.0.entry(of).or_default().extend(services);
        }
    }

    /// Returns the services of a type, in the order in which they were added.
    pub fn all<T: Any + Send + Sync>(&self) -> impl Iterator<Item = &T> {
        let same = self.0.get(&TypeId::of::<T>()).into_iter().flatten();
        same.filter_map(|service| service.downcast_ref())
    }

    /// Returns the last service of a type; `None` when no domain registered one.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.last()?.downcast_ref()
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Services({})", self.0.len())
    }
}
