//! Takes samples, and reports each metric as a row of the table or as a record.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use tocsin_logic::bench::{Histogram, Split, Summary, correct, median};

use super::clock::{self, Clock, stamp};
use super::record::{self, About, Parameter, Parameters, Part, Record, Sample};
use super::{Group, Options, quiesce};
use crate::record::Output;
use tocsin::apic::local;
use tocsin::{cancel, println, smp, time};

/// The number of rounds in which the variants of a metric alternate.
const ROUNDS: usize = 10;

/// The maximum time for the samples of one variant, in nanoseconds, if the clock counts cycles. If
/// there are more CPUs than the host has, one sample can take as long as the host's scheduler needs
/// to run all of them.
const BUDGET: u64 = 3_000_000_000;

/// The number of slowest samples that a breakdown lists.
const WORST: usize = 5;

/// The limit of the time for the samples of one variant, in nanoseconds. After it, one sample in
/// each round is enough.
const LIMIT: u64 = 5_000_000_000;

/// The number of samples that are taken even after [`BUDGET`], up to that limit.
const LEAST: usize = 100;

/// A benchmark run.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) clock: Clock,
    pub(super) samples: usize,
    output: Output,
    /// The cost of a timestamp.
    pub(super) overhead: u64,
    histogram: Box<Histogram>,
    metrics: u32,
}

/// The parts of one measurement, each of which is a metric.
pub(super) type Parts<T, const N: usize> = [(&'static str, fn(T) -> u64); N];

/// One variant of the operation that a metric measures.
pub(super) struct Case<'a, T = u64> {
    pub(super) variant: &'static str,
    /// The cost of measuring, which is subtracted.
    overhead: u64,
    /// Performs the operation once, and returns its duration.
    take: Box<dyn FnMut() -> T + 'a>,
}

impl<'a, T> Case<'a, T> {
    pub(super) fn new(variant: &'static str, overhead: u64, take: impl FnMut() -> T + 'a) -> Self {
        let take = Box::new(take);
        Self {
            variant,
            overhead,
            take,
        }
    }
}

impl Bench {
    pub(super) fn new(options: &Options) -> Self {
        clock::set(options.clock);
        quiesce::stop_pit();
        let mut bench = Self {
            clock: options.clock,
            samples: options.samples.unwrap_or(options.clock.samples()).max(1),
            output: options.output,
            overhead: 0,
            histogram: Box::default(),
            metrics: 0,
        };
        let mut empty: Vec<u64> = (0..bench.clock.warm_up() + bench.samples)
            .map(|_| {
                let start = stamp();
                stamp() - start
            })
            .skip(bench.clock.warm_up())
            .collect();
        bench.overhead = median(&mut empty);
        bench.head(clock::step(bench.clock));
        bench
    }

    /// Reports the machine and the clock.
    fn head(&self, step: u64) {
        let cpus = smp::all().len();
        let apic = if local().is_x2apic() {
            "x2apic"
        } else {
            "xapic"
        };
        self.record(&Record::Run {
            version: env!("CARGO_PKG_VERSION"),
            apic,
            cpus,
            tsc_hz: time::frequency().hertz,
            clock: self.clock.name(),
            resolution: step,
        });
        if self.shows_table() {
            println!(
                "{cpus} CPUs, {apic}, TSC {} MHz; in {}, in steps of {step}; a stamp costs {}, which is taken off",
                time::frequency().hertz / 1_000_000,
                self.clock,
                self.overhead
            );
            println!(
                "  {:<24} {:<10} {:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11}",
                "", "", "", "min", "median", "p90", "p99", "p99.9", "max"
            );
        }
    }

    fn shows_table(&self) -> bool {
        self.output == Output::Text
    }

    fn record(&self, record: &Record<'_>) {
        if self.output == Output::Records {
            record.print();
        }
    }

    pub(super) fn begin(&self, group: &Group, step: usize, of: usize) {
        if self.shows_table() {
            println!("[{step}/{of}] {}: {}", group.name, group.about);
        }
        self.record(&Record::Progress {
            name: group.name,
            step,
            of,
        });
    }

    /// The number of metrics.
    pub(super) fn metrics(&self) -> u32 {
        self.metrics
    }

    pub(super) fn end(&self) -> u32 {
        self.record(&Record::End {
            metrics: self.metrics,
        });
        self.metrics
    }

    /// Reports why a metric is missing.
    pub(super) fn skip(&self, name: &str, why: &str) {
        if self.shows_table() {
            println!("  {name:<24} not measured: {why}");
        }
        self.record(&Record::Skip { name, why });
    }

    /// Measures a metric with several variants, which alternate.
    pub(super) fn compare(
        &mut self,
        name: &'static str,
        param: &[Parameter],
        cases: &mut [Case<'_>],
    ) {
        self.compare_parts(&[(name, |it| it)], param, cases);
    }

    /// Same as [`compare`](Self::compare), for samples whose parts are separate metrics.
    pub(super) fn compare_parts<T: Copy, const N: usize>(
        &mut self,
        parts: &Parts<T, N>,
        param: &[Parameter],
        cases: &mut [Case<'_, T>],
    ) {
        let all = self.take(cases);
        let unit = self.clock.name();
        for &(name, part) in parts {
            for (case, samples) in cases.iter().zip(&all) {
                let mut samples: Vec<u64> = samples.iter().copied().map(part).collect();
                let below_zero = correct(&mut samples, case.overhead);
                let about = About {
                    name,
                    variant: case.variant,
                    unit,
                    param,
                    overhead: case.overhead,
                    below_zero,
                };
                self.metric(about, &mut samples);
            }
        }
    }

    /// Takes the samples of each case, in rounds. It takes fewer if they need longer than
    /// [`BUDGET`].
    pub(super) fn take<T>(&self, cases: &mut [Case<'_, T>]) -> Vec<Vec<T>> {
        let count = self.samples;
        let mut all: Vec<Vec<T>> = cases.iter().map(|_| Vec::with_capacity(count)).collect();
        for round in 1..=ROUNDS {
            let wanted = count * round / ROUNDS;
            let least = LEAST.min(count) * round / ROUNDS;
            for (case, samples) in cases.iter_mut().zip(&mut all) {
                let begin = time::nanoseconds();
                let has_used = |part| {
                    self.clock == Clock::Cycles && time::has_passed(begin, part / ROUNDS as u64)
                };
                let mut warm_up = self.clock.warm_up().min(count.div_ceil(ROUNDS));
                while warm_up > 0 && !has_used(BUDGET / 4) && !cancel::is_requested() {
                    (case.take)();
                    warm_up -= 1;
                }
                while samples.len() < wanted {
                    let taken = samples.len();
                    if taken >= least && has_used(BUDGET) || taken >= round && has_used(LIMIT) {
                        break;
                    }
                    // At least one sample is taken, so that the summary is not empty.
                    if taken > 0 && cancel::is_requested() {
                        break;
                    }
                    samples.push((case.take)());
                }
            }
        }
        all
    }

    /// Reports a metric from its samples, from which the overhead has been subtracted.
    pub(super) fn metric(&mut self, about: About<'_>, samples: &mut [u64]) {
        self.histogram.clear();
        for &sample in samples.iter() {
            self.histogram.record(sample);
        }
        let Some(summary) = Summary::of(samples) else {
            return;
        };
        if self.shows_table() {
            let About {
                name,
                variant,
                unit,
                param,
                below_zero,
                ..
            } = about;
            let Summary {
                min,
                p50,
                p90,
                p99,
                p99_9,
                max,
            } = summary;
            let mut notes = Vec::new();
            if unit != self.clock.name() {
                notes.push(String::from(unit));
            }
            if below_zero > 0 {
                notes.push(format!("{below_zero} of {} below 0", samples.len()));
            }
            let notes = notes.join(", ");
            println!(
                "  {name:<24} {variant:<10} {:<18} {min:>9} {p50:>9} {p90:>9} {p99:>9} {p99_9:>9} {max:>11} {notes}",
                record::text(param)
            );
        }
        let record = Record::metric(about, samples.len(), &summary, &self.histogram);
        self.record(&record);
        self.metrics += 1;
    }

    /// Reports the breakdown of the latencies of a load run. `below_zero` is the number of
    /// latencies with a part that would have been negative.
    pub(super) fn cause(
        &self,
        name: &str,
        param: &[Parameter],
        splits: &[Split],
        below_zero: usize,
    ) {
        let of = |part: fn(Split) -> u64| {
            let mut values: Vec<u64> = splits.iter().copied().map(part).collect();
            Part::of(&mut values)
        };
        let parts: [fn(Split) -> u64; 6] = [
            Split::total,
            |it| it.if_off,
            |it| it.cr8,
            |it| it.in_service,
            |it| it.hardware,
            |it| it.dispatch,
        ];
        let [
            Some(total),
            Some(if_off),
            Some(cr8),
            Some(in_service),
            Some(hardware),
            Some(dispatch),
        ] = parts.map(of)
        else {
            return;
        };
        let parts = record::Parts {
            if_off,
            cr8,
            in_service,
            hardware,
            dispatch,
        };
        if self.shows_table() {
            for (part, values) in [
                ("total", total),
                ("if_off", if_off),
                ("cr8", cr8),
                ("in_service", in_service),
                ("hardware", hardware),
                ("dispatch", dispatch),
            ] {
                let Part {
                    min,
                    p50,
                    p99,
                    max,
                    sum,
                } = values;
                // Cannot overflow: the sums are of elapsed times, far below the range of 64 bits.
                let per_mille = 1000 * sum / total.sum.max(1);
                let share = format!("{}.{} %", per_mille / 10, per_mille % 10);
                println!(
                    "  {name:<24} {part:<10} {:<18} {min:>9} {p50:>9} {:>9} {p99:>9} {:>9} {max:>11} {share:>7}",
                    record::text(param),
                    "",
                    ""
                );
            }
        }
        let mut worst: Vec<Split> = splits.to_vec();
        worst.sort_by_key(|it| core::cmp::Reverse(it.total()));
        worst.truncate(WORST);
        let worst = worst.into_iter().map(|it| Sample {
            total: it.total(),
            parts: it.into(),
        });
        self.record(&Record::Cause {
            name,
            param: Parameters(param),
            samples: splits.len(),
            below_zero,
            total,
            parts,
            worst: worst.collect(),
        });
    }
}
