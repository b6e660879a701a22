//! Orders of many policies, with their uncertainty.
//!
//! - [`ranking`]: all of it for a trial table: standings, every pair tested, letters.
//! - [`standings`]: scores and ranks with bootstrap intervals, and how often each comes first.
//! - [`letters`]: which policies cannot be told apart; [`rank_bounds`]: the ranks that leaves.
//! - [`trial_superiority`], [`rate_superiority`]: how probably one is better than another.
//! - [`BradleyTerry`]: strengths from who beat whom on shared scenarios ([`wins`]).

mod bradley_terry;
mod error;
mod letters;
mod pairwise;
mod standing;
mod superiority;
mod wins;

pub use bradley_terry::BradleyTerry;
pub use error::RankingError;
pub use letters::letters;
pub use pairwise::{PairTest, Ranking, ranking};
pub use standing::{RankOptions, Standing, rank_bounds, standings};
pub use superiority::{rate_superiority, trial_superiority};
pub use wins::wins;
