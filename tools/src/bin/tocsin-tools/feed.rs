//! A run without a terminal: lines of standard input are typed at the prompt.
//!
//! A UART holds 16 bytes and the kernel empties it when it starts, so input is sent only when it is
//! read: each line waits for a prompt, and the first one for the end of the commands of `run=`,
//! which input would disturb. The end of the input at a prompt powers the machine off, as it exits
//! a shell. `make run </dev/null` therefore boots, executes `run=`, and ends.

use std::collections::VecDeque;
use std::io::{BufRead as _, stdin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tocsin_tools::{Outcome, READY, Session, Waker};

/// The line typed when the input has ended.
const LEAVE: &str = "poweroff";

#[derive(Default)]
struct Input {
    lines: VecDeque<String>,
    ended: bool,
}

impl Input {
    /// The next line to type; `None` while more input may arrive.
    fn next(&mut self) -> Option<String> {
        let line = self.lines.pop_front();
        line.or_else(|| self.ended.then(|| LEAVE.to_owned()))
    }
}

type SharedInput = Arc<Mutex<Input>>;

fn lock(input: &SharedInput) -> MutexGuard<'_, Input> {
    input.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `session` to its end, typing the lines of standard input.
pub fn run(session: &mut Session) -> Outcome {
    let input = SharedInput::default();
    let (reader, waker) = (Arc::clone(&input), session.waker());
    // Not joined if the machine ends first: a read of standard input cannot be cancelled.
    thread::spawn(move || read(&reader, &waker));
    // A wait fails only when the machine has ended, and `run_to_end` reports how.
    if session.expect(READY, Duration::MAX).is_err() {
        return session.run_to_end();
    }
    while session.wait_prompt(Duration::MAX).is_ok() {
        let next = session.wait_unless_ended(|| lock(&input).next());
        if next.is_none_or(|line| session.send_line(&line).is_err()) {
            break;
        }
    }
    session.run_to_end()
}

fn read(input: &SharedInput, waker: &Waker) {
    for line in stdin().lock().split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        lock(input)
            .lines
            .push_back(line.trim_end_matches('\r').to_owned());
        waker.wake();
    }
    lock(input).ended = true;
    waker.wake();
}
