//! The gate's measuring: always of the same machines, so that figures are alike everywhere.

use std::path::{Path, PathBuf};

use tocsin_tools::workspace;

use super::{Baseline, path};
use crate::error::BenchError;
use crate::host::{Host, IMAGE};
use crate::output;
use crate::plan;
use crate::record::Clock;
use crate::results::Results;
use crate::run::{self, Runner, Ticker};
use crate::settings::{Settings, names};

/// What is counted, and what it is held against.
#[derive(Debug, clap::Args)]
pub struct Counted {
    /// The accepted figures
    #[arg(long, default_value_os_t = path())]
    baseline: PathBuf,
    /// Only figures whose name begins so; several with commas
    #[arg(long, default_value = "")]
    only: String,
    /// The kernel's image
    #[arg(long, default_value_os_t = workspace().join(IMAGE))]
    image: PathBuf,
}

impl Counted {
    /// Counts, unless there are `results`, and judges; whether nothing is worse.
    ///
    /// # Errors
    ///
    /// A file or a machine's records cannot be used.
    pub fn gate(&self, results: Option<&Path>) -> Result<bool, BenchError> {
        let accepted = Baseline::load(&self.baseline)?.only(&names(&self.only)?);
        let results = match results {
            Some(path) => Results::load(path)?,
            None => self.count()?,
        };
        let verdict = accepted.judge(&results);
        print!("{}", verdict.show());
        Ok(!verdict.fails())
    }

    /// Counts, and takes what comes out into the baseline.
    ///
    /// # Errors
    ///
    /// As [`gate`](Self::gate).
    pub fn accept(&self) -> Result<bool, BenchError> {
        let path = &self.baseline;
        let old = path.exists().then(|| Baseline::load(path)).transpose()?;
        let results = self.count()?;
        if let Some(old) = &old {
            print!("{}", old.judge(&results).show());
        }
        let baseline = Baseline::accept(&results, old.as_ref());
        output::whole(path, &baseline.to_json())?;
        let (count, path) = (baseline.figures.len(), path.display());
        println!("{path}: {count} figures accepted");
        Ok(true)
    }

    fn count(&self) -> Result<Results, BenchError> {
        let ticker = Ticker::new();
        let mut settings = Settings::fixed();
        settings.machine = settings.machine.image(&self.image);
        settings.only = names(&self.only)?;
        let legs = plan::suite(&settings, Clock::Instructions);
        let runner = Runner {
            ticker: &ticker,
            patience: settings.patience,
            shows: false,
        };
        let booted = run::at_once(&legs, runner).into_iter();
        ticker.tell("");
        let boots = booted.map(|(machine, boot)| {
            boot.map_err(|why| BenchError::Machine {
                machine,
                why: Box::new(why),
            })
        });
        let mut boots = boots.collect::<Result<Vec<_>, _>>()?;
        plan::narrow(&mut boots, &settings.only);
        Ok(Results::new(Host::now(settings.machine.describe()), &boots))
    }
}
