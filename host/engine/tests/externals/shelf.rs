//! A provider whose objects are in memory, and which tells a test when it is asked something.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cairn::external::{ActError, ActLog, External, ExternalObject, Presence};
use cairn::{TaskError, Value};
use serde_json::json;

/// Runs when the provider is asked something, at that point of a scan or a removal.
pub type Meanwhile = Box<dyn FnMut(&Shelf, Point) + Send>;

/// What a provider was asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Point {
    Listed,
    Looks,
    Removes(u64),
}

/// Objects, and how their provider goes wrong.
#[derive(Default)]
pub struct Shelf {
    pub there: Mutex<BTreeMap<String, Presence>>,
    pub meanwhile: Mutex<Option<Meanwhile>>,
    /// How long a page is.
    pub page: usize,
    pub is_blind: bool,
    pub removal: Option<ActError>,
    /// Lists ids without end, in the order of this step: none is there.
    pub endless: Option<i64>,
}

impl Shelf {
    fn tell(&self, point: Point) {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(mut meanwhile) = meanwhile {
            meanwhile(self, point);
            *self.meanwhile.lock().unwrap() = Some(meanwhile);
        }
    }

    pub fn put(&self, number: u32) {
        let whole = Presence::Whole(json!(number));
        self.there.lock().unwrap().insert(id(number), whole);
    }

    pub fn take(&self, number: u32) {
        self.there.lock().unwrap().remove(&id(number));
    }

    pub fn meanwhile(&self, work: impl FnMut(&Self, Point) + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(work));
    }
}

impl External for Shelf {
    fn look(&self, object: &ExternalObject, _: &ActLog) -> Result<Presence, TaskError> {
        self.tell(Point::Looks);
        if self.is_blind {
            return Err(TaskError::new("NoAnswer", "the shelf does not answer"));
        }
        let there = self.there.lock().unwrap();
        Ok(there.get(&object.id).cloned().unwrap_or(Presence::Absent))
    }

    fn make(&self, object: &ExternalObject, spec: &Value, _: &ActLog) -> Result<Value, ActError> {
        let whole = Presence::Whole(spec.clone());
        self.there.lock().unwrap().insert(object.id.clone(), whole);
        Ok(spec.clone())
    }

    fn remove(&self, object: &ExternalObject, _: &ActLog) -> Result<(), ActError> {
        self.tell(Point::Removes(object.token));
        match &self.removal {
            Some(error) => Err(error.clone()),
            None => {
                self.there.lock().unwrap().remove(&object.id);
                Ok(())
            }
        }
    }

    fn list(&self, _kind: &str, after: Option<&str>, _: &ActLog) -> Result<Vec<String>, TaskError> {
        if let Some(step) = self.endless {
            let last = after.map_or(1_000_000, |after| after[24..].parse::<i64>().unwrap());
            return Ok((1..=1_000).map(|n| id_of(last + n * step)).collect());
        }
        let page = {
            let there = self.there.lock().unwrap();
            let ids = there
                .keys()
                .filter(|id| after.is_none_or(|after| id.as_str() > after));
            ids.take(self.page.max(1)).cloned().collect()
        };
        self.tell(Point::Listed);
        Ok(page)
    }
}

fn id_of(number: i64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

pub fn id(number: u32) -> String {
    id_of(i64::from(number))
}
