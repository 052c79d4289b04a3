//! Converts errors of wasmtime into the host's.

use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};

use cairn_manifest::manifest::{LimitKey, Limits};
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::value::Value;

use crate::capability::State;

/// Returns the error that ended a call.
pub(super) fn why(error: &wasmtime::Error, state: &mut State, limits: &Limits) -> TaskError {
    if let Some(ended) = state.ended.take() {
        return ended;
    }
    if state.refused == Some(LimitKey::HostCalls) {
        return exceeded(LimitKey::HostCalls, limits);
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return exceeded(LimitKey::Deadline, limits);
    }
    if let Some(key) = over(error).or(state.refused) {
        return traced(exceeded(key, limits), error);
    }
    let message = match trap {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    traced(TaskError::host(HostErrorKind::Trap, message), error)
}

/// Creates the error of a call that exceeded this limit, with the key that raises it.
pub(super) fn exceeded(key: LimitKey, limits: &Limits) -> TaskError {
    let amount = limits.show(key);
    let message = match key {
        LimitKey::Deadline => format!("the call did not end within {amount}"),
        LimitKey::Act => format!("the act did not end within {amount}"),
        LimitKey::Memory => format!("the plugin wanted more memory than the {amount} it may have"),
        LimitKey::Memories => {
            format!("the plugin has more than the {amount} linear memories it may have")
        }
        LimitKey::Tables => format!("the plugin has more than the {amount} tables it may have"),
        LimitKey::TableEntries => {
            format!("the plugin wanted a table of more than the {amount} entries it may have")
        }
        LimitKey::Instances => {
            format!("the plugin is made of more than the {amount} instances it may have")
        }
        LimitKey::BorderBytes => {
            format!("the plugin handed more than {amount} to the host at once")
        }
        LimitKey::ResultBytes => format!("the result is longer than {amount}"),
        LimitKey::ResultDepth => format!("the result nests deeper than {amount}"),
        LimitKey::HostCalls => format!("the plugin called the host more than {amount} times"),
        LimitKey::Resources => {
            format!("the plugin holds more than the {amount} resources it may have")
        }
        LimitKey::HttpRequests => format!("the plugin made more than {amount} HTTP requests"),
        LimitKey::LogBytes => format!("the plugin logged more than {amount}"),
        LimitKey::ComponentBytes => format!("the component is larger than {amount}"),
        other => format!("the plugin went beyond the limit `{other}`, which is {amount}"),
    };
    let kind = key.error_kind().unwrap_or(HostErrorKind::Trap);
    TaskError::host(kind, format!("{message} (the limit `{key}`)")).with("limit", key.as_str())
}

/// Returns the wasmtime limit that was reached. Some limits appear only in the error's text.
fn over(error: &wasmtime::Error) -> Option<LimitKey> {
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(LimitKey::Resources);
    }
    error.chain().find_map(|cause| {
        let text = cause.to_string();
        let has = |part| text.contains(part);
        if has("fuel allocated for hostcalls has been exhausted") {
            Some(LimitKey::BorderBytes)
        } else if has("store handle limit exceeded") {
            Some(LimitKey::Resources)
        } else if has("resource limit exceeded: memory count") {
            Some(LimitKey::Memories)
        } else if has("resource limit exceeded: table count") {
            Some(LimitKey::Tables)
        } else if has("resource limit exceeded: instance count") {
            Some(LimitKey::Instances)
        } else if has("memory minimum size") && has("exceeds memory limits") {
            Some(LimitKey::Memory)
        } else if has("table minimum size") && has("exceeds table limits") {
            Some(LimitKey::TableEntries)
        } else {
            None
        }
    })
}

/// Adds the plugin's backtrace, innermost frame first, with function names if the component has them.
fn traced(error: TaskError, cause: &wasmtime::Error) -> TaskError {
    let Some(backtrace) = cause.downcast_ref::<WasmBacktrace>() else {
        return error;
    };
    let frames = backtrace.frames().iter().map(|frame| {
        let function = match frame.func_name() {
            Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
            None => format!("function {}", frame.func_index()),
        };
        let place = frame
            .module_offset()
            .map_or_else(String::new, |offset| format!(" at {offset:#x}"));
        Value::String(match frame.module().name() {
            Some(module) => format!("{module}!{function}{place}"),
            None => format!("{function}{place}"),
        })
    });
    error.with("backtrace", frames.collect::<Vec<_>>())
}

/// Formats an error with all its causes.
pub(super) fn describe_error(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}
