//! Waits in WASI. Epochs do not interrupt a guest that sleeps in a poll, so the host's own `wasi:io/poll` ends every wait at
//! the call's deadline. So does its `wasi:io/streams`.

mod streams;

use std::future::Future;
use std::time::Instant;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime::{Result, Trap};
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::runtime::in_tokio;
use wasmtime_wasi_io::bindings::wasi::io::poll as unbounded;
use wasmtime_wasi_io::poll::DynPollable;

use crate::capability::State;

/// A guest's pollables, and the deadline for waiting on them.
struct Waits<'a> {
    table: &'a mut ResourceTable,
    deadline: Instant,
}

impl HasData for Waits<'static> {
    type Data<'a> = Waits<'a>;
}

/// Replaces the linked `wasi:io/poll` and `wasi:io/streams` by ours.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.allow_shadowing(true);
    poll::add_to_linker::<State, Waits<'static>>(linker, |state| {
        let (table, deadline) = state.waits();
        Waits { table, deadline }
    })?;
    streams::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Runs a wait until its end or the deadline, which ends the call as if its time had run out in the guest's own code.
fn until<T>(deadline: Instant, wait: impl Future<Output = Result<T>>) -> Result<T> {
    in_tokio(async {
        match tokio::time::timeout_at(deadline.into(), wait).await {
            Ok(result) => result,
            Err(_) => Err(Trap::Interrupt.into()),
        }
    })
}

impl poll::Host for Waits<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        until(self.deadline, unbounded::Host::poll(self.table, pollables))
    }
}

impl poll::HostPollable for Waits<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        until(
            self.deadline,
            unbounded::HostPollable::ready(self.table, pollable),
        )
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        until(
            self.deadline,
            unbounded::HostPollable::block(self.table, pollable),
        )
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        unbounded::HostPollable::drop(self.table, pollable)
    }
}
