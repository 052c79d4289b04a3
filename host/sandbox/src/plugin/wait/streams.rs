//! `wasi:io/streams`, whose blocking functions end at the call's deadline: a response's body may take longer.

use std::future::Future;
use std::time::Instant;

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, Trap};
use wasmtime_wasi::p2::bindings::sync::io::streams;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::streams as unbounded;
use wasmtime_wasi_io::bindings::wasi::io::streams::{
    HostInputStream as Input, HostOutputStream as Output,
};

use super::{Waits, until};
use crate::capability::State;

/// Replaces the linked `wasi:io/streams`.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    streams::add_to_linker::<State, Waits<'static>>(linker, |state| {
        let (table, deadline) = state.waits();
        Waits { table, deadline }
    })
}

/// Runs a wait, as [`until`].
fn wait<T>(deadline: Instant, wait: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    let ended = until(deadline, async { Ok(wait.await) });
    ended.unwrap_or_else(|_| Err(StreamError::Trap(Trap::Interrupt.into())))
}

impl streams::Host for Waits<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        Ok(unbounded::Host::convert_stream_error(self.table, error)?.into())
    }
}

impl streams::HostOutputStream for Waits<'_> {
    fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        until(self.deadline, Output::drop(self.table, stream))
    }

    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        Output::check_write(self.table, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        Output::write(self.table, stream, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        wait(
            self.deadline,
            Output::blocking_write_and_flush(self.table, stream, bytes),
        )
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        length: u64,
    ) -> StreamResult<()> {
        wait(
            self.deadline,
            Output::blocking_write_zeroes_and_flush(self.table, stream, length),
        )
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        Output::subscribe(self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, length: u64) -> StreamResult<()> {
        Output::write_zeroes(self.table, stream, length)
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Output::flush(self.table, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        wait(self.deadline, Output::blocking_flush(self.table, stream))
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        Output::splice(self.table, to, from, length)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        wait(
            self.deadline,
            Output::blocking_splice(self.table, to, from, length),
        )
    }
}

impl streams::HostInputStream for Waits<'_> {
    fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        until(self.deadline, Input::drop(self.table, stream))
    }

    fn read(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<Vec<u8>> {
        Input::read(self.table, stream, length)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<Vec<u8>> {
        wait(
            self.deadline,
            Input::blocking_read(self.table, stream, length),
        )
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<u64> {
        Input::skip(self.table, stream, length)
    }

    fn blocking_skip(
        &mut self,
        stream: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        wait(
            self.deadline,
            Input::blocking_skip(self.table, stream, length),
        )
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        Input::subscribe(self.table, stream)
    }
}
