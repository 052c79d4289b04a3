//! Implements the functions of the interface: each checks the grant, delegates, and translates the answer.

use cairn_model::error::TaskError;
use cairn_model::value::text;
use cairn_sandbox::capability::{Capability, State, json, to_wit};
use cairn_sandbox::wasmtime;
use cairn_sandbox::wasmtime::component::{HasSelf, Linker};
use cairn_sandbox::wit::cairn::plugin::types;

use super::grant::{Access, Records};
use super::wit::cairn::plugin::records::{self, Entry, Expect, Host, Page};
use crate::rules::{
    self, CounterAdd, CounterValue, RecordGet, RecordList, RecordPut, RecordRemove, SequenceNext,
};

impl Capability for Records {
    fn link(&self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        records::add_to_linker::<State, HasSelf<State>>(linker, State::enter)
    }
}

type Reply<T> = wasmtime::Result<Result<T, types::Error>>;

/// Refuses a collection that the grant does not include, and changes if the grant only allows reading.
fn granted(state: &mut State, collection: &str, access: Access) -> Reply<()> {
    let grant = state.grant("records")?;
    let message = if !Records::reaches(grant, collection) {
        format!("the grant of `records` does not reach the collection `{collection}`")
    } else if access > Records::access(grant) {
        format!(
            "the grant of `records` lets the collection `{collection}` be read, and not changed"
        )
    } else {
        return Ok(Ok(()));
    };
    Ok(Err(to_wit(
        TaskError::new("NotGranted", message).with("collection", collection),
    )))
}

fn to_rule(expect: Expect) -> rules::Expect {
    match expect {
        Expect::Any => rules::Expect::Any,
        Expect::Absent => rules::Expect::Absent,
        Expect::Version(version) => rules::Expect::Version(version),
    }
}

fn entry(entry: rules::Entry) -> Entry {
    Entry {
        key: entry.key,
        value: text(&entry.value),
        version: entry.version,
    }
}

impl Host for State {
    fn get(&mut self, collection: String, key: String) -> Reply<Option<Entry>> {
        if let Err(refused) = granted(self, &collection, Access::Read)? {
            return Ok(Err(refused));
        }
        let found = self.look_up(&RecordGet { collection, key })?;
        Ok(found.map(|found| found.map(entry)).map_err(to_wit))
    }

    fn list(
        &mut self,
        collection: String,
        prefix: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Reply<Page> {
        if let Err(refused) = granted(self, &collection, Access::Read)? {
            return Ok(Err(refused));
        }
        let page = self.look_up(&RecordList {
            collection,
            prefix,
            cursor,
            limit,
        })?;
        let page = page.map(|page| Page {
            entries: page.entries.into_iter().map(entry).collect(),
            next: page.next,
        });
        Ok(page.map_err(to_wit))
    }

    fn put(
        &mut self,
        collection: String,
        key: String,
        value: String,
        expect: Expect,
    ) -> Reply<u64> {
        if let Err(refused) = granted(self, &collection, Access::Write)? {
            return Ok(Err(refused));
        }
        let value = match json(&value, "the value") {
            Ok(value) => value,
            Err(error) => return Ok(Err(to_wit(error))),
        };
        let expect = to_rule(expect);
        let put = RecordPut {
            collection,
            key,
            value,
            expect,
        };
        Ok(self.apply(&put)?.map_err(to_wit))
    }

    fn remove(&mut self, collection: String, key: String, expect: Expect) -> Reply<()> {
        if let Err(refused) = granted(self, &collection, Access::Write)? {
            return Ok(Err(refused));
        }
        let expect = to_rule(expect);
        let remove = RecordRemove {
            collection,
            key,
            expect,
        };
        Ok(self.apply(&remove)?.map_err(to_wit))
    }

    fn add(&mut self, collection: String, counter: String, delta: i64) -> Reply<()> {
        if let Err(refused) = granted(self, &collection, Access::Write)? {
            return Ok(Err(refused));
        }
        let add = CounterAdd {
            collection,
            counter,
            delta,
        };
        Ok(self.apply(&add)?.map_err(to_wit))
    }

    fn count(&mut self, collection: String, counter: String) -> Reply<i64> {
        if let Err(refused) = granted(self, &collection, Access::Read)? {
            return Ok(Err(refused));
        }
        let value = self.look_up(&CounterValue {
            collection,
            counter,
        })?;
        Ok(value.map_err(to_wit))
    }

    fn next(&mut self, collection: String, sequence: String) -> Reply<u64> {
        if let Err(refused) = granted(self, &collection, Access::Write)? {
            return Ok(Err(refused));
        }
        let next = SequenceNext {
            collection,
            sequence,
        };
        Ok(self.apply(&next)?.map_err(to_wit))
    }
}
