//! Is one policy better than another?
//!
//! | data | test | interval of the difference | equivalence |
//! |---|---|---|---|
//! | pairs, success or failure | [`Paired::mcnemar`], [`Paired::mcnemar_mid_p`] | [`Paired::interval`] (Tango) | [`Paired::equivalence`] |
//! | pairs with partial credit | (the interval) | [`paired_bootstrap`] | (the interval) |
//! | two samples with partial credit | (the interval) | [`unpaired_bootstrap`] | (the interval) |
//! | two samples | [`TwoByTwo::boschloo`], [`TwoByTwo::barnard`], [`TwoByTwo::fisher`] | [`newcombe`], [`score_interval`] | [`equivalence`] |
//!
//! [`compare`] picks from a trial table: paired wherever scenarios are shared, else Boschloo.
//! All of these look at the data once; for looking after every trial see
//! [`sequential`](crate::sequential). For how many trials would settle it see
//! [`power`](crate::power).

mod comparison;
mod difference;
mod error;
mod paired;
mod pairing;
mod two_by_two;

pub use comparison::{CompareOptions, Comparison, Equivalence, PValue, Test, Verdict, compare};
pub(crate) use difference::constrained_rates;
pub use difference::{equivalence, newcombe, score, score_interval, unpaired_bootstrap};
pub use error::CompareError;
pub use paired::{Paired, paired_bootstrap};
pub use pairing::{Pair, Pairing, pair};
pub use two_by_two::{Alternative, TwoByTwo};

fn check_level(level: f64) -> Result<(), CompareError> {
    if level > 0.0 && level < 1.0 {
        Ok(())
    } else {
        Err(CompareError::Probability { what: "confidence level", value: level })
    }
}

fn check_margin(margin: f64) -> Result<(), CompareError> {
    if margin > 0.0 && margin < 1.0 { Ok(()) } else { Err(CompareError::Margin { margin }) }
}

/// Walks from `inside`, where `holds` is true, towards `limit`, and returns the last point where
/// it is; `holds` changes at most once on the way.
fn last_true(inside: f64, limit: f64, holds: impl Fn(f64) -> bool) -> f64 {
    if holds(limit) {
        return limit;
    }
    let (mut yes, mut no) = (inside, limit);
    for _ in 0..80 {
        let middle = 0.5 * (yes + no);
        if middle == yes || middle == no {
            break;
        }
        if holds(middle) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    yes
}
