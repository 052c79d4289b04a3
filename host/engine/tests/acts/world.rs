//! A world of objects outside the database, with a provider that fails as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use cairn::external::{ActError, ActLog, External, ExternalObject, Presence};
use cairn::{TaskError, Value};

/// How an act of the provider goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says that nothing has changed, and nothing has.
    Refuses,
    /// It does not know, and nothing has changed.
    UnsureBefore,
    /// It does not know, and leaves a part.
    UnsureWithin,
    /// It does not know, and the work is done.
    UnsureAfter,
    /// It panics after the work is done.
    Panics,
    /// Does nothing wrong.
    Works,
}

/// The world, and what goes wrong next in it.
#[derive(Default)]
pub struct World {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Thing>,
    makes: VecDeque<Fault>,
    removes: VecDeque<Fault>,
    /// How many looks fail.
    blind: usize,
    tokens: BTreeMap<String, u64>,
    acts: usize,
}

/// An object: `None` while it is a part.
type Thing = Option<Value>;

impl World {
    /// Creates an empty world in which acts go wrong in this order.
    pub fn new(makes: &[Fault], removes: &[Fault], blind: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                makes: makes.iter().copied().collect(),
                removes: removes.iter().copied().collect(),
                blind,
                ..State::default()
            }),
        })
    }

    /// Lets removals go wrong in this order from now on, and so many looks fail.
    pub fn goes_wrong(&self, removes: &[Fault], blind: usize) {
        let mut state = self.state.lock().unwrap();
        state.removes = removes.iter().copied().collect();
        state.blind = blind;
    }

    /// Returns how many objects there are, parts included.
    pub fn len(&self) -> usize {
        self.state.lock().unwrap().objects.len()
    }

    /// Returns how many acts the provider was asked for.
    pub fn acts(&self) -> usize {
        self.state.lock().unwrap().acts
    }
}

fn broken() -> TaskError {
    TaskError::new("Broken", "the world is broken")
}

impl State {
    /// Notes an act, whose token must not be less than that of the one before.
    fn act(&mut self, object: &ExternalObject) {
        self.acts += 1;
        let last = self.tokens.insert(object.id.clone(), object.token);
        assert!(last.is_none_or(|last| last <= object.token), "{object:?}");
    }
}

impl External for World {
    fn look(&self, object: &ExternalObject, _: &ActLog) -> Result<Presence, TaskError> {
        let mut state = self.state.lock().unwrap();
        if let Some(blind) = state.blind.checked_sub(1) {
            state.blind = blind;
            return Err(broken());
        }
        Ok(match state.objects.get(&object.id) {
            None => Presence::Absent,
            Some(None) => Presence::Partial,
            Some(Some(made)) => Presence::Whole(made.clone()),
        })
    }

    fn make(&self, object: &ExternalObject, spec: &Value, _: &ActLog) -> Result<Value, ActError> {
        let mut state = self.state.lock().unwrap();
        state.act(object);
        let fault = state.makes.pop_front().unwrap_or(Fault::Works);
        let id = object.id.clone();
        match fault {
            Fault::Refuses => return Err(ActError::Refused(broken())),
            Fault::UnsureBefore => return Err(ActError::Unsure(broken())),
            Fault::UnsureWithin => {
                state.objects.insert(id, None);
                return Err(ActError::Unsure(broken()));
            }
            _ => drop(state.objects.insert(id, Some(spec.clone()))),
        }
        drop(state);
        match fault {
            Fault::UnsureAfter => Err(ActError::Unsure(broken())),
            Fault::Panics => panic!("the provider panics"),
            _ => Ok(spec.clone()),
        }
    }

    fn remove(&self, object: &ExternalObject, _: &ActLog) -> Result<(), ActError> {
        let mut state = self.state.lock().unwrap();
        state.act(object);
        let fault = state.removes.pop_front().unwrap_or(Fault::Works);
        match fault {
            Fault::Refuses => return Err(ActError::Refused(broken())),
            Fault::UnsureBefore | Fault::UnsureWithin => return Err(ActError::Unsure(broken())),
            _ => drop(state.objects.remove(&object.id)),
        }
        drop(state);
        match fault {
            Fault::UnsureAfter => Err(ActError::Unsure(broken())),
            Fault::Panics => panic!("the provider panics"),
            _ => Ok(()),
        }
    }

    fn list(&self, _kind: &str, after: Option<&str>, _: &ActLog) -> Result<Vec<String>, TaskError> {
        let state = self.state.lock().unwrap();
        let ids = state.objects.keys();
        let ids = ids.filter(|id| after.is_none_or(|after| id.as_str() > after));
        Ok(ids.cloned().collect())
    }
}
