//! Measurements of the regression check: always on the same machines, so that metrics are
//! reproducible on every host.

use std::path::{Path, PathBuf};

use tocsin_tools::workspace;

use super::{Baseline, path};
use crate::error::BenchError;
use crate::host::{self, Host, IMAGE};
use crate::names::{self, is_selected};
use crate::output;
use crate::plan;
use crate::record::Clock;
use crate::results::{Metric, Results};
use crate::run::{self, Runner, Ticker};
use crate::settings::Settings;

/// What is counted, and the accepted values.
#[derive(Debug, clap::Args)]
pub struct Counted {
    /// The accepted metrics
    #[arg(long, default_value_os_t = path())]
    baseline: PathBuf,
    /// Only metrics with this prefix, or of these groups; several with commas
    #[arg(long, default_value = "")]
    only: String,
    /// The kernel's image
    #[arg(long, default_value_os_t = workspace().join(IMAGE))]
    image: PathBuf,
}

impl Counted {
    /// Counts, unless there are `results`, and checks for regressions; returns whether there is
    /// none.
    ///
    /// # Errors
    ///
    /// A file or a machine's records cannot be used.
    pub fn check(&self, results: Option<&Path>) -> Result<bool, BenchError> {
        let only = self.only()?;
        let accepted = Baseline::load(&self.baseline)?.only(&only);
        let mut results = match results {
            Some(path) => Results::load(path)?,
            None => self.count()?,
        };
        let selected = |metric: &Metric| is_selected(&metric.key.name, &only);
        results.metrics.retain(selected);
        let verdict = accepted.judge(&results);
        tocsin_tools::output::write(verdict.show());
        Ok(!verdict.fails())
    }

    /// Counts, and stores the results in the baseline.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub fn accept(&self) -> Result<bool, BenchError> {
        let path = &self.baseline;
        let old = path.exists().then(|| Baseline::load(path)).transpose()?;
        let only = self.only()?;
        let results = self.count()?;
        let profile = &results.host.profile;
        if profile != host::RELEASE {
            return Err(BenchError::Profile {
                image: self.image.clone(),
                profile: profile.clone(),
            });
        }
        let mut baseline = Baseline::accept(&results, old.as_ref());
        let count = baseline.metrics.len();
        if let Some(old) = old {
            let verdict = old.clone().only(&only).judge(&results);
            tocsin_tools::output::write(verdict.show());
            if !only.is_empty() {
                baseline = baseline.beside(old, &only).map_err(|why| {
                    let path = path.clone();
                    BenchError::Content { path, why }
                })?;
            }
        }
        output::whole(path, &baseline.to_json())?;
        tocsin_tools::outln!("{}: {count} metrics accepted", path.display());
        Ok(true)
    }

    fn only(&self) -> Result<Vec<String>, BenchError> {
        names::parse("--only", &self.only)
    }

    fn count(&self) -> Result<Results, BenchError> {
        let ticker = Ticker::new();
        let mut settings = Settings::fixed();
        settings.machine = settings.machine.image(&self.image);
        settings.only = self.only()?;
        let planned = plan::suite(&settings, Clock::Instructions);
        let runner = Runner {
            ticker: &ticker,
            timeout: settings.timeout,
            shows: false,
        };
        let booted = run::at_once(&planned, runner).into_iter();
        ticker.status("");
        let boots = booted.map(|(machine, boot)| {
            boot.map_err(|why| BenchError::Machine {
                machine,
                why: Box::new(why),
            })
        });
        let mut boots = boots.collect::<Result<Vec<_>, _>>()?;
        plan::narrow(&mut boots, &settings.only)?;
        Ok(Results::new(Host::now(&settings.machine, ""), &boots))
    }
}
