//! Two samples of successes and failures, and tests of whether their rates differ.

use serde::{Deserialize, Serialize};

use crate::special::{binomial_pmf_all, hypergeometric_pmf};

use super::CompareError;

/// Which difference a test looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// A and B differ.
    #[default]
    TwoSided,
    /// A succeeds more often than B.
    Greater,
    /// A succeeds less often than B.
    Less,
}

/// Successes and trials of two policies that were tried apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoByTwo {
    a: (u64, u64),
    b: (u64, u64),
}

/// Two tables of one margin tie when their probabilities agree to this; rounding stays far below.
const TIE: f64 = 1e-9;

/// The most trials a side for the unconditional tests, which walk over all pairs of counts.
const UNCONDITIONAL_LIMIT: u64 = 1_000;

/// The most trials a side for Fisher's test, which walks over one margin.
const CONDITIONAL_LIMIT: u64 = 10_000_000;

/// At how many rates, shared by both, a probability is first computed.
const GRID: usize = 512;

/// How many of its highest peaks are then refined.
const PEAKS: usize = 4;

impl TwoByTwo {
    /// `successes` of `trials` for A and for B.
    ///
    /// # Errors
    /// [`CompareError::NoTrials`], [`CompareError::Counts`].
    pub fn new(a: (u64, u64), b: (u64, u64)) -> Result<Self, CompareError> {
        for ((successes, trials), policy) in [(a, "A"), (b, "B")] {
            if trials == 0 {
                return Err(CompareError::NoTrials { policy: policy.to_owned() });
            }
            if successes > trials {
                return Err(CompareError::Counts { successes, trials });
            }
        }
        Ok(Self { a, b })
    }

    /// Successes and trials of A.
    pub fn a(&self) -> (u64, u64) {
        self.a
    }

    /// Successes and trials of B.
    pub fn b(&self) -> (u64, u64) {
        self.b
    }

    /// Rate of A minus rate of B.
    pub fn difference(&self) -> f64 {
        self.a.0 as f64 / self.a.1 as f64 - self.b.0 as f64 / self.b.1 as f64
    }

    /// Fisher's exact test: p given the total number of successes. Two-sided, the sum over all
    /// tables no likelier than this one, as in R and SciPy.
    ///
    /// # Errors
    /// [`CompareError::TooLarge`].
    pub fn fisher(&self, alternative: Alternative) -> Result<f64, CompareError> {
        self.check(CONDITIONAL_LIMIT)?;
        let Self { a: (x, n), b: (y, m) } = *self;
        let total = x + y;
        let (from, to) = (total.saturating_sub(m), total.min(n));
        let pmf = |k| hypergeometric_pmf(k, n, m, total);
        let p: f64 = match alternative {
            Alternative::Greater => (x..=to).rev().map(pmf).sum(),
            Alternative::Less => (from..=x).map(pmf).sum(),
            Alternative::TwoSided => {
                let bound = pmf(x) * (1.0 + TIE);
                (from..=to).map(pmf).filter(|&p| p <= bound).sum()
            }
        };
        Ok(p.min(1.0))
    }

    /// Boschloo's exact unconditional test: Fisher's one-sided p as the statistic, the shared
    /// rate at its worst. Two-sided, twice the smaller one-sided p, as in SciPy. Never less
    /// powerful than Fisher's test.
    ///
    /// # Errors
    /// [`CompareError::TooLarge`].
    pub fn boschloo(&self, alternative: Alternative) -> Result<f64, CompareError> {
        self.check(UNCONDITIONAL_LIMIT)?;
        match alternative {
            Alternative::Less => {
                let cdf = conditional_cdf(self.a.1, self.b.1);
                let observed = cdf[self.a.0 as usize][self.b.0 as usize];
                Ok(self.worst(|x, y| cdf[x][y] <= observed * (1.0 + 1e-13)))
            }
            Alternative::Greater => Self { a: self.b, b: self.a }.boschloo(Alternative::Less),
            Alternative::TwoSided => {
                let less = self.boschloo(Alternative::Less)?;
                let greater = self.boschloo(Alternative::Greater)?;
                Ok((2.0 * less.min(greater)).min(1.0))
            }
        }
    }

    /// Barnard's exact unconditional test: the score statistic with pooled variance, the shared
    /// rate at its worst.
    ///
    /// # Errors
    /// [`CompareError::TooLarge`].
    pub fn barnard(&self, alternative: Alternative) -> Result<f64, CompareError> {
        self.check(UNCONDITIONAL_LIMIT)?;
        let (n, m) = (self.a.1 as f64, self.b.1 as f64);
        let score = |x: usize, y: usize| {
            let (x, y) = (x as f64, y as f64);
            // Zero exactly where the rates are equal, the corners included.
            let gap = (x * m - y * n) / (n * m);
            let pooled = (x + y) / (n + m);
            let variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m);
            if gap == 0.0 { 0.0 } else { gap / variance.sqrt() }
        };
        let observed = score(self.a.0 as usize, self.b.0 as usize);
        let slack = 1e-12 * observed.abs();
        Ok(match alternative {
            Alternative::TwoSided => self.worst(|x, y| score(x, y).abs() >= observed.abs() - slack),
            Alternative::Less => self.worst(|x, y| score(x, y) <= observed + slack),
            Alternative::Greater => self.worst(|x, y| score(x, y) >= observed - slack),
        })
    }

    /// The greatest probability of the tables in `region` over the rate that both sides share.
    fn worst(&self, region: impl Fn(usize, usize) -> bool) -> f64 {
        let (n, m) = (self.a.1, self.b.1);
        // For each count of A, the counts of B within, as runs: their probability is then two
        // look-ups into a running sum.
        let runs: Vec<Vec<(usize, usize)>> = (0..=n as usize)
            .map(|x| {
                let mut runs: Vec<(usize, usize)> = Vec::new();
                for y in (0..=m as usize).filter(|&y| region(x, y)) {
                    match runs.last_mut() {
                        Some((_, end)) if *end == y => *end = y + 1,
                        _ => runs.push((y, y + 1)),
                    }
                }
                runs
            })
            .collect();
        let probability = |rate: f64| {
            let of_a = binomial_pmf_all(n, rate);
            let mut sums = Vec::with_capacity(m as usize + 2);
            sums.push(0.0);
            let mut sum = 0.0;
            for p in binomial_pmf_all(m, rate) {
                sum += p;
                sums.push(sum);
            }
            of_a.iter()
                .zip(&runs)
                .map(|(p, runs)| {
                    p * runs.iter().map(|(from, to)| sums[*to] - sums[*from]).sum::<f64>()
                })
                .sum::<f64>()
        };
        maximum(probability).min(1.0)
    }

    fn check(&self, limit: u64) -> Result<(), CompareError> {
        let got = self.a.1.max(self.b.1);
        if got > limit { Err(CompareError::TooLarge { got, limit }) } else { Ok(()) }
    }
}

/// `P(X ≤ x | X + Y = x + y)` for every pair of counts of `n` and `m` trials at one rate.
fn conditional_cdf(n: u64, m: u64) -> Vec<Vec<f64>> {
    let mut cdf = vec![vec![0.0; m as usize + 1]; n as usize + 1];
    for total in 0..=n + m {
        let mut sum = 0.0;
        for x in total.saturating_sub(m)..=total.min(n) {
            sum += hypergeometric_pmf(x, n, m, total);
            cdf[x as usize][(total - x) as usize] = sum;
        }
    }
    cdf
}

/// The maximum over [0, 1] of a smooth function of a rate: a grid denser towards the ends, where
/// probabilities change fastest, and golden sections around each of its peaks that could win.
fn maximum(f: impl Fn(f64) -> f64) -> f64 {
    let at = |i: usize| {
        let t = i as f64 / GRID as f64;
        (0.5 * std::f64::consts::PI * t).sin().powi(2)
    };
    let values: Vec<f64> = (0..=GRID).map(|i| f(at(i))).collect();
    let neighbours = |i: usize| (i.saturating_sub(1), (i + 1).min(GRID));
    let is_peak = |i: &usize| {
        let (left, right) = neighbours(*i);
        values[*i] >= values[left] && values[*i] >= values[right]
    };
    let mut peaks: Vec<usize> = (0..=GRID).filter(is_peak).collect();
    peaks.sort_by(|i, j| values[*j].total_cmp(&values[*i]));
    let refined = peaks.into_iter().take(PEAKS).map(|i| {
        let (left, right) = neighbours(i);
        values[i].max(golden(&f, at(left), at(right)))
    });
    refined.fold(0.0, f64::max)
}

fn golden(f: &impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const SHRINK: f64 = 0.618_033_988_749_894_9;
    let (mut left, mut right) = (high - SHRINK * (high - low), low + SHRINK * (high - low));
    let (mut f_left, mut f_right) = (f(left), f(right));
    let mut best = f_left.max(f_right);
    // 40 steps shrink the bracket by 4e-9; the value at a peak is then exact to rounding.
    for _ in 0..40 {
        if f_left < f_right {
            (low, left, f_left) = (left, right, f_right);
            right = low + SHRINK * (high - low);
            f_right = f(right);
        } else {
            (high, right, f_right) = (right, left, f_left);
            left = high - SHRINK * (high - low);
            f_left = f(left);
        }
        best = best.max(f_left).max(f_right);
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fisher_tastes_tea() {
        // Fisher (1935): 3 of 4 and 1 of 4; one-sided 17/70, two-sided 34/70.
        let tea = TwoByTwo::new((3, 4), (1, 4)).unwrap();
        assert!((tea.fisher(Alternative::Greater).unwrap() - 17.0 / 70.0).abs() < 1e-14);
        assert!((tea.fisher(Alternative::TwoSided).unwrap() - 34.0 / 70.0).abs() < 1e-14);
    }

    #[test]
    fn barnard_has_its_closed_form_for_the_smallest_table() {
        // 1 of 1 and 0 of 1: two-sided, P(1,0) + P(0,1) = 2π(1 − π), at most ½.
        let table = TwoByTwo::new((1, 1), (0, 1)).unwrap();
        assert!((table.barnard(Alternative::TwoSided).unwrap() - 0.5).abs() < 1e-12);
        assert!((table.barnard(Alternative::Greater).unwrap() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn barnard_gives_the_published_vaccine_example() {
        // Mehta and Senchaudhuri (2003), after Chan (1998): p = .0341 where Fisher's is .0640.
        let table = TwoByTwo::new((7, 15), (12, 15)).unwrap();
        assert!((table.barnard(Alternative::Less).unwrap() - 0.0341).abs() < 5e-5);
        assert!((table.fisher(Alternative::Less).unwrap() - 0.0640).abs() < 1e-4);
    }

    #[test]
    fn equal_rates_are_no_evidence() {
        for table in [((0, 5), (0, 9)), ((5, 5), (9, 9)), ((2, 4), (5, 10))] {
            let table = TwoByTwo::new(table.0, table.1).unwrap();
            assert!(table.barnard(Alternative::TwoSided).unwrap() > 0.999_999);
            assert!(table.boschloo(Alternative::TwoSided).unwrap() > 0.5);
            assert!(table.fisher(Alternative::TwoSided).unwrap() > 0.999_999);
        }
    }

    #[test]
    fn bad_counts_and_huge_tables_are_refused() {
        assert!(matches!(TwoByTwo::new((0, 0), (1, 2)), Err(CompareError::NoTrials { .. })));
        assert!(matches!(TwoByTwo::new((3, 2), (1, 2)), Err(CompareError::Counts { .. })));
        let huge = TwoByTwo::new((5, 100_000), (1, 2)).unwrap();
        assert!(matches!(huge.boschloo(Alternative::TwoSided), Err(CompareError::TooLarge { .. })));
        assert!(huge.fisher(Alternative::TwoSided).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn boschloo_is_never_weaker_than_fisher_and_both_mirror(
            n in 1_u64..25, m in 1_u64..25, x in 0.0..=1.0_f64, y in 0.0..=1.0_f64,
        ) {
            let (x, y) = ((x * n as f64) as u64, (y * m as f64) as u64);
            let table = TwoByTwo::new((x, n), (y, m)).unwrap();
            let swapped = TwoByTwo::new((y, m), (x, n)).unwrap();
            let boschloo = table.boschloo(Alternative::Less).unwrap();
            prop_assert!(boschloo <= table.fisher(Alternative::Less).unwrap() + 1e-12);
            for (one, other) in [
                (boschloo, swapped.boschloo(Alternative::Greater).unwrap()),
                (table.barnard(Alternative::TwoSided).unwrap(),
                 swapped.barnard(Alternative::TwoSided).unwrap()),
                (table.fisher(Alternative::TwoSided).unwrap(),
                 swapped.fisher(Alternative::TwoSided).unwrap()),
            ] {
                prop_assert!((0.0..=1.0).contains(&one));
                prop_assert!((one - other).abs() < 1e-10);
            }
        }
    }
}
