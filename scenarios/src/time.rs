//! Simulated time: integer nanoseconds, so that no sum of steps drifts.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// A moment of simulated time: nanoseconds since the start of its trial.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimTime(i64);

/// A span of simulated time in nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimDuration(i64);

impl SimTime {
    /// The start of a trial.
    pub const ZERO: Self = Self(0);

    /// The moment `nanos` nanoseconds after the start of the trial.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start of the trial.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds since the start of the trial; for display, not for sums.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }
}

impl SimDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// The span in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The span in seconds; for display, not for sums.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }
}

impl Add<SimDuration> for SimTime {
    type Output = Self;

    fn add(self, span: SimDuration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<SimDuration> for SimTime {
    fn add_assign(&mut self, span: SimDuration) {
        *self = *self + span;
    }
}

impl Sub for SimTime {
    type Output = SimDuration;

    fn sub(self, earlier: Self) -> SimDuration {
        SimDuration(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

impl fmt::Display for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

/// A control or frame rate in hertz: positive and finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rate(f64);

/// A rate that is not a positive, finite number of hertz.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("a rate must be a positive, finite number of hertz, got {got}")]
pub struct InvalidRate {
    /// What was given, in hertz.
    pub got: f64,
}

impl Rate {
    /// A rate of `hz` hertz.
    ///
    /// # Errors
    /// [`InvalidRate`] unless `hz` is finite and in `(0, 1e6]`.
    pub fn from_hz(hz: f64) -> Result<Self, InvalidRate> {
        if hz.is_finite() && hz > 0.0 && hz <= 1e6 {
            Ok(Self(hz))
        } else {
            Err(InvalidRate { got: hz })
        }
    }

    /// The rate in hertz.
    pub const fn as_hz(self) -> f64 {
        self.0
    }

    /// The moment of step `step`, rounded to the nearest nanosecond.
    ///
    /// Computed from the step, not by adding periods, so that 30 Hz does not drift.
    ///
    /// ```
    /// use rehearse_scenarios::time::Rate;
    ///
    /// let rate = Rate::from_hz(30.0)?;
    /// assert_eq!(rate.time_of_step(1).as_nanos(), 33_333_333);
    /// assert_eq!(rate.time_of_step(30).as_nanos(), 1_000_000_000);
    /// # Ok::<(), rehearse_scenarios::time::InvalidRate>(())
    /// ```
    pub fn time_of_step(self, step: u64) -> SimTime {
        SimTime((step as f64 * NANOS_PER_SEC as f64 / self.0).round() as i64)
    }
}

impl TryFrom<f64> for Rate {
    type Error = InvalidRate;

    fn try_from(hz: f64) -> Result<Self, InvalidRate> {
        Self::from_hz(hz)
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> f64 {
        rate.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// The clock of one trial. Whoever runs the closed loop advances it; nobody else does.
///
/// ```
/// use rehearse_scenarios::time::{Clock, Rate};
///
/// let mut clock = Clock::new(Rate::from_hz(40.0)?);
/// clock.advance_steps(8);
/// assert_eq!(clock.step(), 8);
/// assert_eq!(clock.now().as_nanos(), 200_000_000);
/// # Ok::<(), rehearse_scenarios::time::InvalidRate>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    rate: Rate,
    step: u64,
}

impl Clock {
    /// A clock at step 0 that ticks at `rate`.
    pub const fn new(rate: Rate) -> Self {
        Self { rate, step: 0 }
    }

    /// The control steps taken since the start of the trial.
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// The simulated time of the current step.
    pub fn now(&self) -> SimTime {
        self.rate.time_of_step(self.step)
    }

    /// Moves on by `steps` control steps.
    pub const fn advance_steps(&mut self, steps: u64) {
        self.step = self.step.saturating_add(steps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_that_are_no_rate_are_refused() {
        for hz in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e6] {
            assert!(Rate::from_hz(hz).is_err(), "{hz} was accepted");
        }
    }

    #[test]
    fn an_hour_at_thirty_hertz_does_not_drift() {
        let rate = Rate::from_hz(30.0).unwrap();
        assert_eq!(rate.time_of_step(30 * 3600), SimTime::from_nanos(3600 * NANOS_PER_SEC));
    }

    #[test]
    fn differences_of_times_are_spans() {
        let later = SimTime::ZERO + SimDuration::from_millis(5);
        assert_eq!(later - SimTime::ZERO, SimDuration::from_nanos(5_000_000));
    }
}
