//! Boots machines, reads their records, and shows the progress.

use std::io::{IsTerminal as _, Write, stderr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tocsin_tools::{Outcome, Session, SessionError};

use crate::error::BenchError;
use crate::plan::PlannedRun;
use crate::record::{self, Boot, Record};
use crate::table;

/// Maximum time without output from a machine, in seconds: far more than any metric takes.
pub const TIMEOUT: u64 = 180;

/// Maximum length of a machine's last output in a message.
const SHOWN_LINES: usize = 10;

/// A progress line on the terminal. Not written to a pipe or a file.
#[derive(Clone)]
pub struct Ticker {
    shown: bool,
    started: Instant,
    line: Arc<Mutex<Line>>,
}

/// The current text of the line.
#[derive(Default)]
struct Line {
    width: usize,
    /// When a signal ends the program, the line belongs to the shell.
    is_closed: bool,
}

impl Line {
    fn replace(&mut self, text: &str) {
        if !self.is_closed {
            tocsin_tools::output::write_error(format_args!(
                "\r{text:width$}\r",
                width = self.width
            ));
            self.width = text.len();
        }
    }
}

impl Ticker {
    pub fn new() -> Self {
        let ticker = Self {
            shown: stderr().is_terminal(),
            started: Instant::now(),
            line: Arc::default(),
        };
        if ticker.shown {
            let ticker = ticker.clone();
            tocsin_tools::before_end(move || {
                let mut line = ticker.line();
                line.replace("");
                line.is_closed = true;
            });
        }
        ticker
    }

    /// Replaces the line; an empty one clears it.
    pub fn status(&self, what: &str) {
        if !self.shown {
            return;
        }
        let text = match what {
            "" => String::new(),
            what => self.timed(what),
        };
        self.line().replace(&text);
    }

    /// Writes a permanent line, also to a pipe or a file.
    pub fn print(&self, what: &str) {
        let mut line = self.line();
        if self.shown {
            line.replace("");
        }
        tocsin_tools::errln!("{}", self.timed(what));
    }

    fn timed(&self, what: &str) -> String {
        format!("[{:4} s] {what}", self.started.elapsed().as_secs())
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last output of a machine.
struct Progress {
    when: Instant,
    group: String,
    metric: String,
}

/// Reads COM1 as it arrives, and shows the current benchmark and its results.
struct Listener {
    line: Vec<u8>,
    label: String,
    ticker: Ticker,
    /// Whether each metric is shown.
    shows: bool,
    machine: String,
    progress: Arc<Mutex<Progress>>,
}

impl Listener {
    fn take(&mut self, record: Record) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.when = Instant::now();
        match record {
            Record::Run(run) => self.machine = format!("{}, {} CPUs", run.apic, run.cpus),
            Record::Progress(at) => {
                let (label, name) = (&self.label, &at.name);
                self.ticker
                    .status(&format!("{label}, {} of {}: {name}", at.step, at.of));
                progress.group = at.name;
            }
            Record::Metric(metric) => {
                let name = record::label(&metric.name, &metric.variant, &metric.param);
                if self.shows {
                    let name = format!("{name} ({})", self.machine);
                    self.ticker.print(&table::brief(&name, &metric));
                }
                progress.metric = name;
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
            // Unreadable records are reported when the machine has exited.
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

/// A machine's records, or the reason why there are none, and the machine's label.
pub type Booted = (String, Result<Boot, BenchError>);

/// Settings for booting machines.
#[derive(Clone, Copy)]
pub struct Runner<'t> {
    pub ticker: &'t Ticker,
    /// Maximum time without output from a machine.
    pub timeout: Duration,
    /// Whether metrics are shown as they arrive.
    pub shows: bool,
}

/// Boots one machine and returns its records. `turn` is shown with its label.
///
/// # Errors
///
/// The machine fails, prints nothing for too long, or its records are invalid.
fn boot(planned: &PlannedRun, turn: &str, runner: Runner<'_>) -> Result<Boot, BenchError> {
    let ticker = runner.ticker;
    let label = format!("{turn}{} in {}", planned.label, planned.clock);
    ticker.status(&label);
    let began = Instant::now();
    let progress = Arc::new(Mutex::new(Progress {
        when: began,
        group: String::new(),
        metric: String::new(),
    }));
    let listener = Listener {
        line: Vec::new(),
        label: label.clone(),
        ticker: ticker.clone(),
        shows: runner.shows,
        machine: String::new(),
        progress: Arc::clone(&progress),
    };
    let mut session = Session::start_copied(&planned.machine, Box::new(listener))?;
    end(&mut session, &progress, runner.timeout)?;
    let boot = records(&session)?;
    let (metrics, time) = (boot.metrics.len(), began.elapsed().as_secs());
    let noun = if metrics == 1 { "metric" } else { "metrics" };
    ticker.print(&format!("{label}: {metrics} {noun} in {time} s"));
    Ok(boot)
}

/// The records of a machine that has exited.
///
/// # Errors
///
/// They are invalid.
pub fn records(session: &Session) -> Result<Boot, BenchError> {
    let transcript = session.transcript();
    let command = session.command_line();
    let mut boot = Boot::parse(&transcript.text_from(0)).map_err(|why| {
        let last = transcript.tail(SHOWN_LINES);
        let scene =
            format!("--- last output of COM1 (seconds | line)\n{last}--- command line\n{command}");
        BenchError::Records { why, scene }
    })?;
    // The log is deleted with the session.
    let log = session.log_path().to_string_lossy();
    boot.command = command.replace(&*log, "qemu.log");
    Ok(boot)
}

/// Waits until the machine exits, as long as it continues to print output.
fn end(
    session: &mut Session,
    progress: &Mutex<Progress>,
    timeout: Duration,
) -> Result<(), BenchError> {
    let lock = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let silence = lock().when.elapsed();
        let ended = session.expect_exit(Outcome::Kernel(0), timeout.saturating_sub(silence));
        let Err(mut why) = ended else { return Ok(()) };
        let progress = lock();
        if let SessionError::TimedOut { limit, .. } = &mut why {
            if progress.when.elapsed() < timeout {
                continue;
            }
            *limit = timeout;
        }
        let (doing, next) = match (progress.group.as_str(), progress.metric.as_str()) {
            ("", _) => (
                "before the first group of metrics".to_owned(),
                "`make run` boots to a prompt, where what `run=` has above can be tried".to_owned(),
            ),
            (group, last) => {
                let last = match last {
                    "" => ", before its first metric".to_owned(),
                    last => format!("; the last metric was {last}"),
                };
                (
                    format!("in the group {group}{last}"),
                    format!("`make bench BENCH={group}` measures that group alone"),
                )
            }
        };
        return Err(BenchError::Boot {
            doing,
            why: Box::new(why),
            next,
        });
    }
}

/// All machines, one after the other; `round` is the number of this round and of all.
pub fn in_turn(plan: &[PlannedRun], round: (u32, u32), runner: Runner<'_>) -> Vec<Booted> {
    let (number, of) = round;
    let turn = format!("round {number} of {of}, ");
    let plan = plan.iter().filter(|planned| number == 1 || !planned.once);
    let boots = plan.map(|planned| {
        let boot = boot(planned, &turn, runner);
        (format!("{turn}{}", planned.label), boot)
    });
    boots.collect()
}

/// All machines once, several concurrently: instruction counts do not depend on other load on the
/// host.
pub fn at_once(plan: &[PlannedRun], runner: Runner<'_>) -> Vec<Booted> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Booted)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(plan.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(planned) = plan.get(index) else {
                        break;
                    };
                    let booted = (planned.label.clone(), boot(planned, "", runner));
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
