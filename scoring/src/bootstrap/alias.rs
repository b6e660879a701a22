//! Draws of whole numbers in constant time.

use super::stream::Stream;

/// Standard deviations kept on either side of the mean: the mass outside is below 2⁻⁶⁴.
const REACH: f64 = 10.0;

/// A distribution over whole numbers as an alias table (Walker 1977, Vose 1991): one random word a
/// draw.
#[derive(Clone, Debug)]
pub(crate) struct AliasTable {
    /// The number that the table's first column stands for.
    offset: u64,
    /// Per column: the threshold (of 2⁶⁴) below which the column itself is meant, and its alias.
    columns: Vec<(u64, u32)>,
}

impl AliasTable {
    /// The number of successes in `trials` draws with probability `p` in [0, 1].
    pub(crate) fn binomial(trials: u64, p: f64) -> Self {
        let n = trials as f64;
        let (mean, sd) = (n * p, (n * p * (1.0 - p)).sqrt());
        // Small tables keep every count; large ones drop what never happens.
        let reach = (REACH * sd).ceil() + 40.0;
        let low = (mean - reach).floor().max(0.0) as u64;
        let high = ((mean + reach).ceil().max(0.0) as u64).min(trials);
        Self { offset: low, columns: table(&masses(trials, p, low, high)) }
    }

    /// The sum of `draws` (at least 1) numbers below `law.len()`, each drawn with the probabilities
    /// of `law`, exactly.
    ///
    /// Costs about the square of `draws × law.len()` operations, once.
    pub(crate) fn sum(law: &[f64], draws: u64) -> Self {
        let mut sum = law.to_vec();
        // By the binary digits of `draws` below its highest: doubled, and one added where it is set.
        for digit in (0..draws.ilog2()).rev() {
            sum = convolved(&sum, &sum);
            if draws >> digit & 1 == 1 {
                sum = convolved(&sum, law);
            }
        }
        Self { offset: 0, columns: table(&sum) }
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

/// The probabilities of the sum of two numbers from those of each.
fn convolved(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; a.len() + b.len() - 1];
    for (place, mass) in a.iter().enumerate() {
        for (sum, other) in sum[place..].iter_mut().zip(b) {
            *sum += mass * other;
        }
    }
    sum
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
    fn implied(numbers: &AliasTable, highest: u64) -> Vec<f64> {
        let mut masses = vec![0.0; highest as usize + 1];
        let share = 1.0 / numbers.columns.len() as f64;
        for (column, &(threshold, alias)) in numbers.columns.iter().enumerate() {
            let own = threshold as f64 / 18_446_744_073_709_551_616.0;
            masses[numbers.offset as usize + column] += share * own;
            masses[numbers.offset as usize + alias as usize] += share * (1.0 - own);
        }
        masses
    }

    #[test]
    fn four_flips_of_a_fair_coin() {
        let got = implied(&AliasTable::binomial(4, 0.5), 4);
        for (got, expected) in got.iter().zip([1.0, 4.0, 6.0, 4.0, 1.0]) {
            assert!((got - expected / 16.0).abs() < 1e-15, "{got} is not {expected}/16");
        }
    }

    #[test]
    fn large_tables_have_the_right_moments() {
        for (trials, p) in [(50, 0.02), (1_000, 0.3), (20_000, 0.9)] {
            let masses = implied(&AliasTable::binomial(trials, p), trials);
            let mean: f64 = masses.iter().enumerate().map(|(k, m)| k as f64 * m).sum();
            let variance: f64 =
                masses.iter().enumerate().map(|(k, m)| (k as f64 - mean).powi(2) * m).sum();
            let n = trials as f64;
            assert!((mean / (n * p) - 1.0).abs() < 1e-10, "mean {mean} of {n} × {p}");
            assert!((variance / (n * p * (1.0 - p)) - 1.0).abs() < 1e-9, "variance {variance}");
        }
    }

    #[test]
    fn two_dice_and_three_loaded_ones() {
        let got = implied(&AliasTable::sum(&[1.0 / 6.0; 6], 2), 10);
        for (got, ways) in got.iter().zip([1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1]) {
            assert!((got - f64::from(ways) / 36.0).abs() < 1e-15, "{got} is not {ways}/36");
        }
        // 0 with 1/2, 2 with 1/2: twice a binomial count.
        let got = implied(&AliasTable::sum(&[0.5, 0.0, 0.5], 3), 6);
        for (got, expected) in got.iter().zip([1.0, 0.0, 3.0, 0.0, 3.0, 0.0, 1.0]) {
            assert!((got - expected / 8.0).abs() < 1e-15, "{got} is not {expected}/8");
        }
    }

    #[test]
    fn a_sum_of_yes_and_no_is_binomial() {
        for draws in [1, 2, 7, 50, 64] {
            let sum = implied(&AliasTable::sum(&[0.7, 0.3], draws), draws);
            let binomial = implied(&AliasTable::binomial(draws, 0.3), draws);
            for (sum, binomial) in sum.iter().zip(binomial) {
                assert!((sum - binomial).abs() < 1e-14, "{sum} against {binomial} of {draws}");
            }
        }
    }

    #[test]
    fn certain_outcomes_are_certain() {
        let mut stream = Stream::new(0, 0);
        assert_eq!(AliasTable::binomial(9, 0.0).draw(&mut stream), 0);
        assert_eq!(AliasTable::binomial(9, 1.0).draw(&mut stream), 9);
    }
}
