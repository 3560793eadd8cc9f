//! [`Results`]: everything that was measured, and the figures the tables and the plot show of it.

use std::time::Duration;

use crate::closed::Saturated;
use crate::one::Changes;
use crate::open::Delays;
use crate::running::Start;
use crate::stats::median;
use crate::swap::Swapped;

/// Workloads of the closed loop.
pub(crate) const WORKLOADS: usize = 3;

/// See the file.
#[derive(Default)]
pub(crate) struct Results {
    /// What it was measured on.
    pub(crate) facts: Vec<String>,
    /// Servers that are missing or have failed, with the reason.
    pub(crate) notes: Vec<String>,
    /// The reflector first.
    pub(crate) rows: Vec<Row>,
}

/// What was measured of one server.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) start: Start,
    /// By workload, then by round.
    pub(crate) cpu: [Vec<Saturated>; WORKLOADS],
    /// By round.
    pub(crate) delays: Vec<Delays>,
    pub(crate) swapped: Option<Swapped>,
    pub(crate) changes: Option<Changes>,
    /// It has failed: what there is of it is not shown.
    pub(crate) failed: bool,
}

/// Medians of one server and workload.
pub(crate) struct Cost {
    /// Microseconds of CPU time an answer.
    pub(crate) micros: f64,
    /// The same of its whole core.
    pub(crate) core: f64,
    /// To the reflector, of the same round.
    pub(crate) ratio: f64,
    pub(crate) rate: f64,
    pub(crate) share: f64,
    pub(crate) lost: u64,
    pub(crate) wrong: u64,
}

impl Results {
    /// The servers there are figures of.
    pub(crate) fn good(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.failed)
    }

    /// The servers without the floor.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Row> {
        self.good().skip(1)
    }

    /// What a workload costs a server; `None` if it was not measured.
    pub(crate) fn cost(&self, row: &Row, workload: usize) -> Option<Cost> {
        let rounds = &row.cpu[workload];
        let floor = &self.rows.first()?.cpu[workload];
        if rounds.is_empty() {
            return None;
        }
        let of = |figure: fn(&Saturated) -> f64| median(rounds.iter().map(figure));
        Some(Cost {
            micros: of(Saturated::cost),
            core: of(Saturated::core_cost),
            ratio: median(rounds.iter().zip(floor).map(|(round, floor)| round.cost() / floor.cost())),
            rate: of(Saturated::rate),
            share: of(Saturated::share),
            lost: rounds.iter().map(|round| round.lost).sum(),
            wrong: rounds.iter().map(|round| round.wrong).sum(),
        })
    }
}

impl Row {
    /// The median of a delay over the rounds, in milliseconds.
    pub(crate) fn delay(&self, of: fn(&Delays) -> Duration) -> f64 {
        millis(median(self.delays.iter().map(|delays| of(delays).as_secs_f64())))
    }
}

/// Seconds as milliseconds.
pub(crate) fn millis(seconds: f64) -> f64 {
    seconds * 1e3
}

/// The median of some times, in milliseconds.
pub(crate) fn median_millis(times: &[Duration]) -> f64 {
    millis(median(times.iter().map(Duration::as_secs_f64)))
}

/// The longest of some times, in milliseconds.
pub(crate) fn longest_millis(times: &[Duration]) -> f64 {
    millis(times.iter().max().map_or(0.0, Duration::as_secs_f64))
}
