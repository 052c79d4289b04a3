//! Shows a flow's progress on a terminal.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use cairn::Flow;
use cairn::event::TaskState;
use cairn::flow::TaskNotice;
use indicatif::{ProgressBar, ProgressStyle};

use crate::exit::Failure;
use crate::output;

/// A progress line, below one line per finished task.
pub struct Progress(ProgressBar);

impl Progress {
    /// Shows the tasks of `flow`; `None` if stderr is not a terminal.
    ///
    /// # Errors
    /// None known: the listener is registered once.
    pub fn of(flow: &Flow) -> Result<Option<Self>, Failure> {
        if !io::stderr().is_terminal() {
            return Ok(None);
        }
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {msg}");
        let bar = ProgressBar::new(flow.tasks().len() as u64)
            .with_style(style.map_err(|error| Failure::host(error.to_string()))?);
        bar.enable_steady_tick(Duration::from_millis(100));
        let shown = bar.clone();
        let listener = move |notice: &TaskNotice| {
            show(&shown, notice);
            Ok(())
        };
        flow.task_notifier()
            .register(None, Arc::new(listener))
            .map_err(|error| Failure::host(error.to_string()))?;
        Ok(Some(Self(bar)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn show(bar: &ProgressBar, notice: &TaskNotice) {
    let name = &notice.name;
    let say = |text: String| output::printable(&text).into_owned();
    match notice.state {
        TaskState::Started => bar.set_message(say(name.to_string())),
        TaskState::Success => {
            bar.println(say(format!("  done      {name}")));
            bar.inc(1);
        }
        TaskState::Failure => {
            let why = notice.error.as_ref().map(ToString::to_string);
            let why = why.unwrap_or_default();
            bar.println(say(format!("  failed    {name}: {why}")));
        }
        TaskState::Reverting => bar.set_message(say(format!("reverting {name}"))),
        TaskState::Reverted => bar.println(say(format!("  reverted  {name}"))),
        TaskState::Waiting => bar.set_message(say(format!("waiting   {name}"))),
        TaskState::RevertFailed => bar.println(say(format!("  not reverted  {name}"))),
    }
}
