//! Measures the engine's overhead per call: makes the flow's seven calls by the engine and by a bare loop, in turns, in one thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::plugin::Plugins;
use cairn::{Object, Task};

use crate::bare::Bare;
use crate::canned::{Canned, Tape, record};
use crate::stage::Stage;
use crate::{BenchError, Case, meter};

/// A number of rounds that gives a stable median.
pub const ROUNDS: usize = 200;

/// The number of calls of one task in one turn.
const TURN: usize = 4;

/// Time of one instance and its call: the mean over the flow's seven tasks of the median over the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// Made by a bare loop.
    pub bare: Duration,
    /// Made by the engine.
    pub engine: Duration,
}

/// The flow's seven tasks, each with a recorded call that can be replayed.
pub struct Both {
    engine: Vec<(Arc<dyn Task>, Arc<Tape>)>,
    bare: Bare,
}

impl Both {
    /// Records the calls of one successful flow.
    ///
    /// # Errors
    /// [`BenchError`] when the flow does not succeed, or one of the sandboxes cannot be set up.
    pub fn new(plugins: &Arc<Plugins>) -> Result<Self, BenchError> {
        let stage = Stage::in_memory(Case::Success, plugins)?;
        let tapes: Vec<Arc<Tape>> = record(&stage)?.into_iter().map(Arc::new).collect();
        let bare = Bare::new(&stage.plan, &tapes)?;
        let tasks = stage.ready.tasks().iter().cloned();
        let engine = tasks.map(|(_, task)| task).zip(tapes).collect();
        Ok(Self { engine, bare })
    }

    /// Returns the number of tasks.
    #[expect(clippy::len_without_is_empty, reason = "there are always seven")]
    pub fn len(&self) -> usize {
        self.engine.len()
    }

    /// Returns a copy of the inputs of a task, because the engine's call consumes them.
    pub fn inputs(&self, task: usize) -> Object {
        self.engine[task].1.inputs.clone()
    }

    /// Calls a task by the engine.
    ///
    /// # Errors
    /// Those of the call.
    pub fn call_engine(&self, task: usize, inputs: Object) -> Result<(), BenchError> {
        let (task, tape) = &self.engine[task];
        task.call(&Canned::context(tape), inputs)?;
        Ok(())
    }

    /// Calls a task by the bare loop.
    ///
    /// # Errors
    /// Those of the call.
    pub fn call_bare(&self, task: usize) -> Result<(), BenchError> {
        self.bare.call(task)
    }

    fn turn(&self, task: usize, by_engine: bool) -> Result<Duration, BenchError> {
        if by_engine {
            let inputs: Vec<Object> = (0..TURN).map(|_| self.inputs(task)).collect();
            let begin = Instant::now();
            for inputs in inputs {
                self.call_engine(task, inputs)?;
            }
            return Ok(begin.elapsed());
        }
        let begin = Instant::now();
        for _ in 0..TURN {
            self.call_bare(task)?;
        }
        Ok(begin.elapsed())
    }
}

/// Makes the calls in short turns, so that other load on the machine affects both sides equally. Uses the median of each task's turns,
/// which ignores interrupted ones.
///
/// # Errors
/// [`BenchError`] of a call.
pub fn compare(plugins: &Arc<Plugins>, rounds: usize) -> Result<Calls, BenchError> {
    let both = Both::new(plugins)?;
    let mut bare = vec![Vec::with_capacity(rounds); both.len()];
    let mut engine = bare.clone();
    for round in 0..rounds {
        for task in 0..both.len() {
            let engine_first = (round + task) % 2 == 0;
            for by_engine in [engine_first, !engine_first] {
                let took = both.turn(task, by_engine)?;
                let turns = if by_engine { &mut engine } else { &mut bare };
                turns[task].push(took);
            }
        }
    }
    Ok(Calls {
        bare: mean_call(bare),
        engine: mean_call(engine),
    })
}

/// Returns the mean time of a call over the tasks, from the turns of each task.
fn mean_call(turns: Vec<Vec<Duration>>) -> Duration {
    let calls = u32::try_from(turns.len() * TURN).unwrap_or(u32::MAX);
    turns.into_iter().map(meter::median).sum::<Duration>() / calls.max(1)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn both_get_the_same_results() {
        let plugins = Plugins::new(&cairn::plugin_config()).unwrap();
        let both = Both::new(&plugins).unwrap();
        assert_eq!(both.len(), 7);
        for (task, (engine, tape)) in both.engine.iter().enumerate() {
            let context = Canned::context(tape);
            let made = engine.call(&context, tape.inputs.clone()).unwrap();
            let bare = both.bare.result(task).unwrap();
            let bare: cairn::Value = serde_json::from_str(&bare).unwrap();
            assert_eq!(made, bare, "{}", engine.spec().name);
        }
    }
}
