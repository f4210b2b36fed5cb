//! Boots machines, reads their records, and shows how far they are.

use std::io::{IsTerminal as _, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tocsin_tools::{Outcome, Session, SessionError};

use crate::error::BenchError;
use crate::plan::Leg;
use crate::record::{self, Boot, Record};
use crate::table;

/// Far more than any figure takes: how long a machine may say nothing.
pub const PATIENCE: Duration = Duration::from_secs(180);

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

/// What a machine said last.
struct Said {
    when: Instant,
    group: String,
    figure: String,
}

/// Takes COM1 as it comes, and shows which benchmark runs and what it found.
struct Listener {
    line: Vec<u8>,
    label: String,
    ticker: Ticker,
    /// Whether each figure is shown.
    shows: bool,
    machine: String,
    said: Arc<Mutex<Said>>,
}

impl Listener {
    fn take(&mut self, record: Record) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.when = Instant::now();
        match record {
            Record::Run(run) => self.machine = format!("{}, {} CPUs", run.apic, run.cpus),
            Record::Progress(at) => {
                let (label, name) = (&self.label, &at.name);
                self.ticker
                    .tell(&format!("{label}, {} of {}: {name}", at.step, at.of));
                said.group = at.name;
            }
            Record::Figure(figure) => {
                let name = record::label(&figure.name, &figure.variant, &figure.param);
                if self.shows {
                    let name = format!("{name} ({})", self.machine);
                    self.ticker.leave(&table::brief(&name, &figure));
                }
                said.figure = name;
            }
            _ => {}
        }
    }
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
            if let Ok(Some(record)) = record::in_line(&String::from_utf8_lossy(&line)) {
                self.take(record);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A machine's records, or why there are none, and the machine's label.
pub type Booted = (String, Result<Boot, BenchError>);

/// Boots one machine and gives its records. `turn` is told with its label; in the `first` round
/// figures are shown as they come.
///
/// # Errors
///
/// The machine does not end well, says nothing for too long, or its records cannot be used.
pub fn boot(leg: &Leg, turn: &str, first: bool, ticker: &Ticker) -> Result<Boot, BenchError> {
    let label = format!("{turn}{} in {}", leg.label, leg.clock);
    ticker.tell(&label);
    let began = Instant::now();
    let said = Arc::new(Mutex::new(Said {
        when: began,
        group: String::new(),
        figure: String::new(),
    }));
    let listener = Listener {
        line: Vec::new(),
        label: label.clone(),
        ticker: ticker.clone(),
        shows: first,
        machine: String::new(),
        said: Arc::clone(&said),
    };
    let mut session = Session::start_copied(&leg.machine, Box::new(listener))?;
    end(&mut session, &said)?;
    let boot = Boot::parse(&session.transcript().text_from(0))?;
    let (figures, time) = (boot.figures.len(), began.elapsed().as_secs());
    ticker.leave(&format!("{label}: {figures} figures in {time} s"));
    Ok(boot)
}

/// Waits for the end for as long as the machine says something now and then.
fn end(session: &mut Session, said: &Mutex<Said>) -> Result<(), BenchError> {
    loop {
        let ended = session.expect_exit(Outcome::Kernel(0), PATIENCE);
        let Err(why) = ended else { return Ok(()) };
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = matches!(why, SessionError::TimedOut { .. });
        if is_late && said.when.elapsed() < PATIENCE {
            continue;
        }
        let doing = match (said.group.as_str(), said.figure.as_str()) {
            ("", _) => "before the first group of figures".to_owned(),
            (group, "") => format!("in the group {group}, the first"),
            (group, figure) => format!("in the group {group}; the last figure was {figure}"),
        };
        return Err(BenchError::Boot {
            doing,
            why: Box::new(why),
        });
    }
}

/// All machines, one after the other; `round` is the number of this round and of all.
pub fn in_turn(legs: &[Leg], round: (u32, u32), ticker: &Ticker) -> Vec<Booted> {
    let (number, of) = round;
    let turn = format!("round {number} of {of}, ");
    let legs = legs.iter().filter(|leg| number == 1 || !leg.once);
    let boots = legs.map(|leg| {
        let boot = boot(leg, &turn, number == 1, ticker);
        (format!("{turn}{}", leg.label), boot)
    });
    boots.collect()
}

/// All machines once, several at a time: what is counted in instructions does not depend on
/// what else the host does.
pub fn at_once(legs: &[Leg], shows: bool, ticker: &Ticker) -> Vec<Booted> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Booted)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(legs.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(leg) = legs.get(index) else { break };
                    let booted = (leg.label.clone(), boot(leg, "", shows, ticker));
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((index, booted));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, booted)| booted).collect()
}
