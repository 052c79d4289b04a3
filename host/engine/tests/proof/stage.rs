//! Turns: each flow runs on its own thread, one at a time, in an order that a plan gives.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Schedules the turns of flows.
pub struct Stage {
    state: Mutex<State>,
    /// One for each actor, and the last one for the director.
    wake: Vec<Condvar>,
}

struct State {
    /// The actor whose turn it is; the number after the last means the director.
    turn: usize,
    /// Actors that have not left.
    here: Vec<usize>,
}

/// An actor's presence on the stage, until it is dropped.
pub struct Presence<'a>(&'a Stage, usize);

impl Stage {
    pub fn new(actors: usize) -> Self {
        Self {
            state: Mutex::new(State {
                turn: actors,
                here: (0..actors).collect(),
            }),
            wake: (0..=actors).map(|_| Condvar::new()).collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn director(&self) -> usize {
        self.wake.len() - 1
    }

    fn give<'a>(&self, mut state: MutexGuard<'a, State>, next: usize) -> MutexGuard<'a, State> {
        state.turn = next;
        self.wake[next].notify_one();
        state
    }

    fn await_turn<'a>(&'a self, state: MutexGuard<'a, State>, who: usize) -> MutexGuard<'a, State> {
        self.wake[who]
            .wait_while(state, |state| state.turn != who)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the actor's first turn.
    pub fn enter(&self, actor: usize) -> Presence<'_> {
        drop(self.await_turn(self.state(), actor));
        Presence(self, actor)
    }

    /// Lets others run until it is this actor's turn again.
    pub fn pause(&self, actor: usize) {
        let state = self.give(self.state(), self.director());
        drop(self.await_turn(state, actor));
    }

    /// Gives turns as `turns` says, then in order, until all actors have left.
    pub fn direct(&self, turns: &[u8]) {
        let mut turns = turns.iter().copied().map(usize::from);
        let mut state = self.state();
        while !state.here.is_empty() {
            let next = state.here[turns.next().unwrap_or(0) % state.here.len()];
            state = self.give(state, next);
            state = self.await_turn(state, self.director());
        }
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.here.retain(|actor| *actor != self.1);
        drop(self.0.give(state, self.0.director()));
    }
}
