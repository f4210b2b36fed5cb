//! Boots machines, reads their records, and shows how far they are.

use std::io::{IsTerminal as _, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tocsin_tools::{Outcome, Session};

use crate::error::BenchError;
use crate::plan::Leg;
use crate::record::{self, Boot, Clock, Record};

/// Far more than any machine takes for its part of the suite.
pub const PATIENCE: Duration = Duration::from_secs(900);

/// One line on the terminal that tells how far the suite is. Not shown to a pipe or a file.
#[derive(Clone)]
pub struct Ticker {
    shown: bool,
    started: Instant,
    /// Length of what is on the line now.
    width: Arc<Mutex<usize>>,
}

impl Ticker {
    pub fn new() -> Self {
        Self {
            shown: stderr().is_terminal(),
            started: Instant::now(),
            width: Arc::default(),
        }
    }

    /// Replaces the line; an empty one clears it.
    pub fn tell(&self, what: &str) {
        if !self.shown {
            return;
        }
        let mut width = self.width.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match what {
            "" => String::new(),
            what => format!("[{:4} s] {what}", self.started.elapsed().as_secs()),
        };
        eprint!("\r{text:width$}\r", width = *width);
        *width = text.len();
    }

    /// Leaves a line for good, which a pipe or a file gets too.
    pub fn leave(&self, what: &str) {
        self.tell("");
        eprintln!("[{:4} s] {what}", self.started.elapsed().as_secs());
    }
}

/// Takes COM1 as it comes, and shows which benchmark runs.
struct Listener {
    line: Vec<u8>,
    label: String,
    ticker: Ticker,
}

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            // What cannot be read is told of when the machine has ended.
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            if let Ok(Some(Record::Progress(at))) = record::in_line(&line) {
                let (label, name) = (&self.label, &at.name);
                self.ticker
                    .tell(&format!("{label}, {} of {}: {name}", at.step, at.of));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Boots one machine and gives its records. `turn` is told with its label.
///
/// # Errors
///
/// The machine does not end well, or its records cannot be used.
pub fn boot(leg: &Leg, turn: &str, ticker: &Ticker) -> Result<Boot, BenchError> {
    let label = format!("{turn}{} in {}", leg.label, leg.clock);
    ticker.tell(&label);
    let listener = Listener {
        line: Vec::new(),
        label,
        ticker: ticker.clone(),
    };
    let mut session = Session::start_copied(&leg.machine, Box::new(listener))?;
    session.expect_exit(Outcome::Kernel(0), PATIENCE)?;
    let text = session.transcript().text_from(0);
    Ok(Boot::parse(&text)?)
}

/// All machines, one after the other; `round` is the number of this round and of all.
///
/// # Errors
///
/// As [`boot`].
pub fn in_turn(legs: &[Leg], round: (u32, u32), ticker: &Ticker) -> Result<Vec<Boot>, BenchError> {
    let (number, of) = round;
    let turn = format!("round {number} of {of}, ");
    let boots = legs.iter().map(|leg| boot(leg, &turn, ticker));
    let boots = boots.collect::<Result<_, _>>()?;
    ticker.leave(&format!("{}: round {number} of {of} done", Clock::Cycles));
    Ok(boots)
}

/// All machines once, several at a time: what is counted in instructions does not depend on
/// what else the host does.
///
/// # Errors
///
/// As [`boot`].
pub fn at_once(legs: &[Leg], ticker: &Ticker) -> Result<Vec<Boot>, BenchError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Boot, BenchError>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(legs.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(leg) = legs.get(index) else { break };
                    let result = boot(leg, "", ticker);
                    if result.is_ok() {
                        ticker.leave(&format!("{}: {} done", leg.clock, leg.label));
                    }
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, result)| result).collect()
}
