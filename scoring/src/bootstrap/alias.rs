//! Binomial draws in constant time.

use super::stream::Stream;

/// Standard deviations kept on either side of the mean: the mass outside is below 2⁻⁶⁴.
const REACH: f64 = 10.0;

/// A binomial distribution as an alias table (Walker 1977, Vose 1991): one random word a draw.
#[derive(Clone, Debug)]
pub(crate) struct Binomial {
    /// The count of the table's first column.
    offset: u64,
    /// Per column: the threshold (of 2⁶⁴) below which the column itself is meant, and its alias.
    columns: Vec<(u64, u32)>,
}

impl Binomial {
    /// The number of successes in `trials` draws with probability `p` in [0, 1].
    pub(crate) fn new(trials: u64, p: f64) -> Self {
        let n = trials as f64;
        let (mean, sd) = (n * p, (n * p * (1.0 - p)).sqrt());
        // Small tables keep every count; large ones drop what never happens.
        let reach = (REACH * sd).ceil() + 40.0;
        let low = (mean - reach).floor().max(0.0) as u64;
        let high = ((mean + reach).ceil().max(0.0) as u64).min(trials);
        Self { offset: low, columns: table(&masses(trials, p, low, high)) }
    }

    /// A draw.
    #[inline]
    pub(crate) fn draw(&self, stream: &mut Stream) -> u64 {
        let product = u128::from(stream.bits()) * self.columns.len() as u128;
        let column = (product >> 64) as usize;
        let (threshold, alias) = self.columns[column];
        let chosen = if (product as u64) < threshold { column as u64 } else { u64::from(alias) };
        self.offset + chosen
    }
}

/// The probabilities of `low..=high`, scaled to sum to one, by the ratio of neighbours outward from
/// the mode.
fn masses(trials: u64, p: f64, low: u64, high: u64) -> Vec<f64> {
    let mode = (((trials + 1) as f64 * p).floor() as u64).clamp(low, high);
    let mut masses = vec![0.0; (high - low + 1) as usize];
    let place = (mode - low) as usize;
    masses[place] = 1.0;
    if p > 0.0 && p < 1.0 {
        let odds = p / (1.0 - p);
        for k in mode..high {
            let at = (k - low) as usize;
            masses[at + 1] = masses[at] * odds * (trials - k) as f64 / (k + 1) as f64;
        }
        for k in (low + 1..=mode).rev() {
            let at = (k - low) as usize;
            masses[at - 1] = masses[at] * k as f64 / ((trials - k + 1) as f64 * odds);
        }
    }
    let total: f64 = masses.iter().sum();
    for mass in &mut masses {
        *mass /= total;
    }
    masses
}

/// Vose's construction.
fn table(masses: &[f64]) -> Vec<(u64, u32)> {
    let n = masses.len() as f64;
    let mut scaled: Vec<f64> = masses.iter().map(|mass| mass * n).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..scaled.len()).partition(|&column| scaled[column] < 1.0);
    let mut columns: Vec<(u64, u32)> =
        (0..scaled.len()).map(|column| (u64::MAX, column as u32)).collect();
    while let (Some(&giver), Some(taker)) = (large.last(), small.pop()) {
        columns[taker] = ((scaled[taker] * 18_446_744_073_709_551_616.0) as u64, giver as u32);
        scaled[giver] -= 1.0 - scaled[taker];
        if scaled[giver] < 1.0 {
            large.pop();
            small.push(giver);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability that a table gives to each count, read off its columns.
    fn implied(binomial: &Binomial, trials: u64) -> Vec<f64> {
        let mut masses = vec![0.0; trials as usize + 1];
        let share = 1.0 / binomial.columns.len() as f64;
        for (column, &(threshold, alias)) in binomial.columns.iter().enumerate() {
            let own = threshold as f64 / 18_446_744_073_709_551_616.0;
            masses[binomial.offset as usize + column] += share * own;
            masses[binomial.offset as usize + alias as usize] += share * (1.0 - own);
        }
        masses
    }

    #[test]
    fn four_flips_of_a_fair_coin() {
        let got = implied(&Binomial::new(4, 0.5), 4);
        for (got, expected) in got.iter().zip([1.0, 4.0, 6.0, 4.0, 1.0]) {
            assert!((got - expected / 16.0).abs() < 1e-15, "{got} is not {expected}/16");
        }
    }

    #[test]
    fn large_tables_have_the_right_moments() {
        for (trials, p) in [(50, 0.02), (1_000, 0.3), (20_000, 0.9)] {
            let masses = implied(&Binomial::new(trials, p), trials);
            let mean: f64 = masses.iter().enumerate().map(|(k, m)| k as f64 * m).sum();
            let variance: f64 =
                masses.iter().enumerate().map(|(k, m)| (k as f64 - mean).powi(2) * m).sum();
            let n = trials as f64;
            assert!((mean / (n * p) - 1.0).abs() < 1e-10, "mean {mean} of {n} × {p}");
            assert!((variance / (n * p * (1.0 - p)) - 1.0).abs() < 1e-9, "variance {variance}");
        }
    }

    #[test]
    fn certain_outcomes_are_certain() {
        let mut stream = Stream::new(0, 0);
        assert_eq!(Binomial::new(9, 0.0).draw(&mut stream), 0);
        assert_eq!(Binomial::new(9, 1.0).draw(&mut stream), 9);
    }
}
