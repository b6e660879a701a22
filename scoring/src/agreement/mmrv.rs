//! Mean maximum rank violation.

use std::fmt;

use serde::Serialize;

use super::correlation::check_columns;
use super::error::AgreementError;

/// When a pair of policies counts as ranked wrongly, and what the mistake weighs.
///
/// Published values follow different conventions, which differ where rates tie or where the
/// arguments are given in the other order. A report names the one that it used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MmrvConvention {
    /// `(imagined_i > imagined_j) != (real_i > real_j)`, weighted by the real gap: SimplerEnv's code
    /// as its own `tools/calc_metrics.py` calls it.
    #[default]
    SimplerEnv,
    /// The same with the arguments swapped, so that the imagined gap weighs: as SimplerEnv's README
    /// calls it (and the values of real2sim-eval and `DreamDojo` reproduce only so).
    Swapped,
    /// `(imagined_i < imagined_j) != (real_i < real_j)`, weighted by the real gap: the equation of
    /// SimplerEnv's paper (arXiv:2405.05941, eq. 1).
    PaperLessThan,
    /// `(imagined_i − imagined_j)(real_i − real_j) < 0`: ties never violate.
    StrictDiscordant,
    /// The signs of the differences differ: a tie on one side only violates.
    SignMismatch,
}

impl MmrvConvention {
    /// Every convention, the default first.
    pub const ALL: [Self; 5] = [
        Self::SimplerEnv,
        Self::Swapped,
        Self::PaperLessThan,
        Self::StrictDiscordant,
        Self::SignMismatch,
    ];

    /// The word for this convention in files and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SimplerEnv => "simpler_env",
            Self::Swapped => "swapped",
            Self::PaperLessThan => "paper_less_than",
            Self::StrictDiscordant => "strict_discordant",
            Self::SignMismatch => "sign_mismatch",
        }
    }

    /// Whether policies tied with i in imagination may violate from above and from below: with a
    /// better real rate though not imagined better, and with a worse one though not imagined worse.
    const fn ties(self) -> (bool, bool) {
        match self {
            Self::SimplerEnv | Self::Swapped => (false, true),
            Self::PaperLessThan => (true, false),
            Self::StrictDiscordant => (false, false),
            Self::SignMismatch => (true, true),
        }
    }
}

impl fmt::Display for MmrvConvention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The mean over policies of the largest gap to a policy that imagination ranks wrongly against
/// them; 0 is a perfect ranking, and 1 the worst for rates.
///
/// ```
/// use rehearse_scoring::agreement::{MmrvConvention, mmrv};
///
/// // Imagination swaps the last two, whose real rates are 0.2 apart: (0 + 0.2 + 0.2) / 3.
/// let value = mmrv(&[0.9, 0.5, 0.3], &[0.8, 0.1, 0.4], MmrvConvention::SimplerEnv)?;
/// assert!((value - 0.4 / 3.0).abs() < 1e-12);
/// # Ok::<(), rehearse_scoring::agreement::AgreementError>(())
/// ```
///
/// # Errors
/// [`AgreementError::Length`], [`AgreementError::TooFew`] for empty columns and
/// [`AgreementError::NotFinite`].
pub fn mmrv(
    real: &[f64],
    imagined: &[f64],
    convention: MmrvConvention,
) -> Result<f64, AgreementError> {
    check_columns("MMRV", real, imagined, 1)?;
    Ok(raw_mmrv(real, imagined, convention))
}

/// MMRV of columns that are finite, of one length and not empty.
///
/// Policies are walked in the order of their imagined rates. Those imagined worse than i violate if
/// their real rate is better, so the best real rate among them decides; those imagined better
/// likewise. So n log n steps do instead of n².
pub(super) fn raw_mmrv(real: &[f64], imagined: &[f64], convention: MmrvConvention) -> f64 {
    let (weight, order_by) = match convention {
        MmrvConvention::Swapped => (imagined, real),
        MmrvConvention::SimplerEnv
        | MmrvConvention::PaperLessThan
        | MmrvConvention::StrictDiscordant
        | MmrvConvention::SignMismatch => (real, imagined),
    };
    let mut order: Vec<usize> = (0..weight.len()).collect();
    order.sort_unstable_by(|&a, &b| order_by[a].total_cmp(&order_by[b]));
    let (tied_above, tied_below) = convention.ties();
    let mut violations = vec![0.0_f64; weight.len()];

    let mut best = f64::NEG_INFINITY;
    for tied in order.chunk_by(|&a, &b| order_by[a] == order_by[b]) {
        let best_of_tied = tied.iter().fold(best, |best, &i| best.max(weight[i]));
        let seen = if tied_above { best_of_tied } else { best };
        for &i in tied {
            violations[i] = violations[i].max(seen - weight[i]);
        }
        best = best_of_tied;
    }
    let mut worst = f64::INFINITY;
    for tied in order.chunk_by(|&a, &b| order_by[a] == order_by[b]).rev() {
        let worst_of_tied = tied.iter().fold(worst, |worst, &i| worst.min(weight[i]));
        let seen = if tied_below { worst_of_tied } else { worst };
        for &i in tied {
            violations[i] = violations[i].max(weight[i] - seen);
        }
        worst = worst_of_tied;
    }
    violations.iter().sum::<f64>() / violations.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definitions, pair by pair.
    fn by_definition(real: &[f64], imagined: &[f64], convention: MmrvConvention) -> f64 {
        let sign = |a: f64, b: f64| i8::from(a > b) - i8::from(a < b);
        let violates = |i: usize, j: usize| match convention {
            MmrvConvention::SimplerEnv | MmrvConvention::Swapped => {
                (imagined[i] > imagined[j]) != (real[i] > real[j])
            }
            MmrvConvention::PaperLessThan => (imagined[i] < imagined[j]) != (real[i] < real[j]),
            MmrvConvention::StrictDiscordant => {
                (imagined[i] - imagined[j]) * (real[i] - real[j]) < 0.0
            }
            MmrvConvention::SignMismatch => {
                sign(imagined[i], imagined[j]) != sign(real[i], real[j])
            }
        };
        let weights = if convention == MmrvConvention::Swapped { imagined } else { real };
        let gap = |i: usize, j: usize| (weights[i] - weights[j]).abs();
        let n = real.len();
        let worst = (0..n)
            .map(|i| (0..n).filter(|&j| violates(i, j)).map(|j| gap(i, j)).fold(0.0, f64::max));
        worst.sum::<f64>() / n as f64
    }

    #[test]
    fn a_tie_in_imagination_by_hand() {
        // Real 0.6 > 0.2, imagined equal. `>`: only the better one is violated; `<`: only the worse
        // one; strict: neither; sign: both. Swapped: the imagined gap is 0.
        let (real, imagined) = ([0.6, 0.2], [0.5, 0.5]);
        for (convention, expected) in [
            (MmrvConvention::SimplerEnv, 0.2),
            (MmrvConvention::PaperLessThan, 0.2),
            (MmrvConvention::StrictDiscordant, 0.0),
            (MmrvConvention::SignMismatch, 0.4),
            (MmrvConvention::Swapped, 0.0),
        ] {
            let value = mmrv(&real, &imagined, convention).unwrap();
            assert!((value - expected).abs() < 1e-15, "{convention}: {value}");
        }
    }

    fn columns() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
        let rate = (0_u8..=6).prop_map(|k| f64::from(k) / 6.0);
        (1_usize..14).prop_flat_map(move |n| {
            (prop::collection::vec(rate.clone(), n), prop::collection::vec(rate.clone(), n))
        })
    }

    proptest! {
        #[test]
        fn the_short_way_is_the_definition((real, imagined) in columns()) {
            for convention in MmrvConvention::ALL {
                let got = mmrv(&real, &imagined, convention).unwrap();
                let expected = by_definition(&real, &imagined, convention);
                prop_assert!((got - expected).abs() < 1e-12, "{convention}: {got} {expected}");
            }
        }

        #[test]
        fn order_of_policies_does_not_matter((real, imagined) in columns()) {
            let reversed = |v: &[f64]| v.iter().rev().copied().collect::<Vec<_>>();
            for convention in MmrvConvention::ALL {
                let forward = mmrv(&real, &imagined, convention).unwrap();
                let back = mmrv(&reversed(&real), &reversed(&imagined), convention).unwrap();
                prop_assert!((forward - back).abs() < 1e-12);
            }
        }

        #[test]
        fn a_perfect_ranking_is_never_violated(real in prop::collection::vec(0.0..1.0, 1..9)) {
            let squared: Vec<f64> = real.iter().map(|r: &f64| r * r).collect();
            for convention in MmrvConvention::ALL {
                prop_assert_eq!(mmrv(&real, &squared, convention).unwrap(), 0.0);
            }
        }
    }
}
