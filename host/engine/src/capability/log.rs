use super::State;
use crate::event::LogLevel;
use crate::wit::cairn::plugin::log::{Host, Level};

impl Host for State {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.alive()?;
        let level = match level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
        };
        State::log(self, level, message);
        Ok(())
    }
}
