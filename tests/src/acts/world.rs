//! A provider whose objects are files: whole under their names, or parts under names of their own.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cairn::external::{ActError, ActLog, External, ExternalObject, Presence};
use cairn::{TaskError, Value};

use super::points::visit;
use super::{
    DATABASE, Fault, Life, MAKE_BEGUN, Mistake, OBJECT_REMOVED, OBJECT_WHOLE, PART, PART_WRITTEN,
    REMOVAL_BEGUN, ROW_REMOVED, TOKENS, WORLD,
};

/// The objects of a folder, and what goes wrong with them next.
pub(super) struct World {
    folder: PathBuf,
    mistake: Option<Mistake>,
    fences: bool,
    next: Mutex<Next>,
}

struct Next {
    makes: VecDeque<Fault>,
    removes: VecDeque<Fault>,
    blind: usize,
}

impl World {
    pub(super) fn new(life: &Life) -> Self {
        Self {
            folder: life.folder.clone(),
            mistake: life.mistake,
            fences: life.host.fences,
            next: Mutex::new(Next {
                makes: life.faults.makes.iter().copied().collect(),
                removes: life.faults.removes.iter().copied().collect(),
                blind: life.faults.blind,
            }),
        }
    }

    fn next<T>(&self, take: impl FnOnce(&mut Next) -> T) -> T {
        take(&mut self.next.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn whole(&self, object: &ExternalObject) -> PathBuf {
        self.folder.join(WORLD).join(&object.id)
    }

    fn part(&self, object: &ExternalObject) -> PathBuf {
        let name = format!("{PART}{}", object.id);
        self.folder.join(WORLD).join(name)
    }

    /// Refuses an act with an older token than that of another act on the object, if the provider fences.
    fn admit(&self, object: &ExternalObject) -> Result<(), ActError> {
        if !self.fences {
            return Ok(());
        }
        let folder = self.folder.join(TOKENS);
        fs::create_dir_all(&folder).expect("the folder is ours");
        let path = folder.join(&object.id);
        let newest = fs::read_to_string(&path).ok();
        let newest = newest.map_or(0, |token| token.parse().expect("a token of ours"));
        if object.token < newest {
            let message = format!("the token {} is older than {newest}", object.token);
            return Err(ActError::Refused(TaskError::new("Stale", message)));
        }
        put(&path, &object.token.to_string());
        Ok(())
    }

    /// Makes an object whole or not at all; `within`: stops at the part.
    fn write(&self, object: &ExternalObject, spec: &Value, within: bool) {
        let (whole, part) = (self.whole(object), self.part(object));
        let text = spec.to_string();
        let half = &text[..text.len() / 2];
        if self.mistake == Some(Mistake::InPlace) {
            if !whole.exists() {
                put(&whole, half);
                visit(PART_WRITTEN);
                if !within {
                    put(&whole, &text);
                }
            }
            return;
        }
        put(&part, half);
        visit(PART_WRITTEN);
        if within {
            return;
        }
        put(&part, &text);
        fs::rename(&part, &whole).expect("the folder is ours");
    }

    /// Removes the row of an object, which only the host may do.
    fn remove_row(&self, object: &ExternalObject) {
        let db = rusqlite::Connection::open(self.folder.join(DATABASE)).expect("it opens");
        let statement = "DELETE FROM externals WHERE id = ?1";
        db.execute(statement, [&object.id]).expect("it is removed");
    }
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).expect("the folder is ours");
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}: {path:?}"),
        _ => {}
    }
}

fn broken() -> TaskError {
    TaskError::new("Broken", "the world is broken")
}

impl External for World {
    fn look(&self, object: &ExternalObject, _: &ActLog) -> Result<Presence, TaskError> {
        let is_blind = self.next(|next| {
            let is_blind = next.blind > 0;
            next.blind -= usize::from(is_blind);
            is_blind
        });
        if is_blind {
            return Err(broken());
        }
        if self.mistake == Some(Mistake::ObjectLeft) {
            return Ok(Presence::Absent);
        }
        match fs::read_to_string(self.whole(object)) {
            // Who makes objects in place cannot tell.
            Ok(text) => Ok(Presence::Whole(
                serde_json::from_str(&text).unwrap_or_default(),
            )),
            Err(_) if self.part(object).exists() => Ok(Presence::Partial),
            Err(_) => Ok(Presence::Absent),
        }
    }

    fn make(&self, object: &ExternalObject, spec: &Value, _: &ActLog) -> Result<Value, ActError> {
        let fault = self.next(|next| next.makes.pop_front());
        let fault = fault.unwrap_or(Fault::Works);
        visit(MAKE_BEGUN);
        self.admit(object)?;
        let unsure = || match self.mistake {
            Some(Mistake::UnsureIsRefused) => ActError::Refused(broken()),
            _ => ActError::Unsure(broken()),
        };
        match fault {
            Fault::Refuses => return Err(ActError::Refused(broken())),
            Fault::UnsureBefore => return Err(unsure()),
            _ => self.write(object, spec, fault == Fault::UnsureWithin),
        }
        if fault != Fault::UnsureWithin {
            visit(OBJECT_WHOLE);
        }
        match fault {
            Fault::UnsureWithin | Fault::UnsureAfter => Err(unsure()),
            Fault::Panics => panic!("the provider panics"),
            _ => Ok(spec.clone()),
        }
    }

    fn remove(&self, object: &ExternalObject, _: &ActLog) -> Result<(), ActError> {
        let fault = self.next(|next| next.removes.pop_front());
        visit(REMOVAL_BEGUN);
        self.admit(object)?;
        match fault {
            Some(Fault::Refuses) => return Err(ActError::Refused(broken())),
            Some(Fault::UnsureBefore) => return Err(ActError::Unsure(broken())),
            _ => {}
        }
        match self.mistake {
            Some(Mistake::ObjectLeft) => return Ok(()),
            Some(Mistake::RowFirst) => {
                self.remove_row(object);
                visit(ROW_REMOVED);
            }
            _ => {}
        }
        remove(&self.whole(object));
        if fault == Some(Fault::UnsureWithin) {
            return Err(ActError::Unsure(broken()));
        }
        remove(&self.part(object));
        visit(OBJECT_REMOVED);
        match fault {
            Some(Fault::UnsureAfter) => Err(ActError::Unsure(broken())),
            Some(Fault::Panics) => panic!("the provider panics"),
            _ => Ok(()),
        }
    }

    fn list(&self, _kind: &str, after: Option<&str>, _: &ActLog) -> Result<Vec<String>, TaskError> {
        let files = fs::read_dir(self.folder.join(WORLD)).map_err(|_| broken())?;
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let mut ids: Vec<String> = names
            .map(|name| name.trim_start_matches(PART).to_owned())
            .filter(|id| after.is_none_or(|after| id.as_str() > after))
            .collect();
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    fn fences(&self) -> bool {
        self.fences
    }
}
