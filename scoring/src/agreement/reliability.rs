//! How much of the spread of rates is more than chance.

use serde::Serialize;

use super::pairs::{Measured, Noise, Pairs};
use super::resampling::Units;
use crate::warning::Side;

/// Reliability below which no interval over trials is given.
///
/// Below this share the measured rates say so little of how far the true ones are spread that an
/// interval would rest on what is assumed of them. `docs/coverage-agreement.md` has the measured
/// coverage of the intervals above it.
pub const MIN_RELIABILITY: f64 = 0.9;

/// The reliability of the rates of one side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// The side.
    pub side: Side,
    /// One less the variance that trials explain over the variance between rates, at least 0.
    pub value: f64,
}

/// The reliability of the rates of policies, or of cells, on one side; `None` for fewer than two
/// and where no number of trials is known.
///
/// The variance of a rate p of n trials is taken as p̃ (1 − p̃) / n with p̃ = (np + ½) / (n + 1), so
/// that 0 of 10 does not count as certain; that of partial credits is their sample variance over n.
pub fn reliability(pairs: &Pairs, side: Side, units: Units) -> Option<Reliability> {
    if pairs.cells().iter().all(|cell| variance(cell.of(side)).is_none()) {
        return None;
    }
    let Rated { rates, variances } = Rated::new(pairs, side, units);
    if rates.len() < 2 {
        return None;
    }
    let noise = mean(&variances);
    let centre = mean(&rates);
    let spread =
        rates.iter().map(|rate| (rate - centre).powi(2)).sum::<f64>() / (rates.len() as f64 - 1.0);
    let value = if spread > noise { 1.0 - noise / spread } else { 0.0 };
    Some(Reliability { side, value })
}

/// Measured rates of policies or cells on one side, and the sampling variance of each: 0 where no
/// number of trials is known.
pub(super) struct Rated {
    pub(super) rates: Vec<f64>,
    pub(super) variances: Vec<f64>,
}

impl Rated {
    pub(super) fn new(pairs: &Pairs, side: Side, units: Units) -> Self {
        let noises: Vec<f64> =
            pairs.cells().iter().map(|cell| variance(cell.of(side)).unwrap_or_default()).collect();
        match units {
            Units::Cells => Self { rates: pairs.cell_rates(side), variances: noises },
            Units::Policies => {
                // The variance of a mean over tasks is the mean of variances over their number.
                let mut variances = vec![0.0; pairs.policies().len()];
                pairs.average_by_policy(&noises, &mut variances);
                for run in pairs.cells().chunk_by(|a, b| a.policy == b.policy) {
                    variances[run[0].policy] /= run.len() as f64;
                }
                Self { rates: pairs.policy_rates(side), variances }
            }
        }
    }
}

/// The sampling variance of a measured rate, where it is known.
fn variance(measured: &Measured) -> Option<f64> {
    match &measured.noise {
        Noise::Unknown => None,
        Noise::Trials(n) => {
            let n = *n as f64;
            let smoothed = (n * measured.rate + 0.5) / (n + 1.0);
            Some(smoothed * (1.0 - smoothed) / n)
        }
        Noise::Scores(scores) => {
            let n = scores.len() as f64;
            let squares: f64 = scores.iter().map(|score| (score - measured.rate).powi(2)).sum();
            Some(squares / (n - 1.0).max(1.0) / n)
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{AggregateTable, Cell, Table};

    fn of(rates: &[f64], trials: Option<u64>) -> Option<f64> {
        let cells = rates.iter().enumerate().map(|(index, &rate)| Cell {
            policy: format!("p{index}"),
            task: "t".into(),
            rate,
            trials,
        });
        let table = Table::Aggregate(AggregateTable::new(cells.collect(), "test").unwrap());
        let pairs = Pairs::new(&table, &table).unwrap();
        let policies = reliability(&pairs, Side::Real, Units::Policies);
        assert_eq!(policies, reliability(&pairs, Side::Real, Units::Cells));
        policies.map(|reliability| reliability.value)
    }

    #[test]
    fn by_hand() {
        // Rates 0 and 1 of 9 trials: p̃ is 1/20 and 19/20, noise 0.0475 / 9, spread 1/2.
        let value = of(&[0.0, 1.0], Some(9)).unwrap();
        assert!((value - (1.0 - 2.0 * 0.0475 / 9.0)).abs() < 1e-12, "{value}");
    }

    #[test]
    fn equal_rates_are_all_chance_and_unknown_trials_say_nothing() {
        assert_eq!(of(&[0.5, 0.5, 0.5], Some(20)), Some(0.0));
        assert_eq!(of(&[0.2, 0.8], None), None);
        assert_eq!(of(&[0.2], Some(20)), None);
    }
}
