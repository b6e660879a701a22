//! What can be wrong with a question about the real robot.

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// Nothing to work on.
    #[error("no {what}")]
    Empty {
        /// What is missing, in the plural.
        what: &'static str,
    },
    /// Two lists that belong together differ in length.
    #[error("{got} {what}, but {expected} real results: each pair needs both")]
    Length {
        /// What the second list holds.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length of the first.
        expected: usize,
    },
    /// A value is NaN, infinite, or outside its range.
    #[error("{what} {index} is {value}, expected {expected}")]
    Value {
        /// What the value is.
        what: &'static str,
        /// Its place in its list, from 0.
        index: usize,
        /// The value.
        value: f64,
        /// What would do.
        expected: &'static str,
    },
    /// A parameter is outside its range.
    #[error("{name} is {value}, expected {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would do.
        expected: &'static str,
    },
    /// The method needs more pairs than there are.
    #[error("{got} pairs of real and imagined trials, but the {method} interval needs {needed}")]
    TooFewPairs {
        /// The method.
        method: &'static str,
        /// The pairs needed.
        needed: usize,
        /// The pairs given.
        got: usize,
    },
    /// Counts contradict one another.
    #[error("{part} of {whole} {what}: counts do not add up")]
    Counts {
        /// What is counted.
        what: &'static str,
        /// The part.
        part: u64,
        /// The whole.
        whole: u64,
    },
    /// A judge that is right no more often than chance cannot be corrected for.
    #[error(
        "judge's sensitivity {sensitivity:.3} and specificity {specificity:.3} add up to no more \
         than 1: its verdicts say nothing about success, so no correction exists"
    )]
    UninformativeJudge {
        /// The share of successes that the judge calls so.
        sensitivity: f64,
        /// The share of failures that the judge calls so.
        specificity: f64,
    },
    /// A name stands for nothing in the tables.
    #[error("no {what} {name:?}; known: {known}")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The two tables have no policy in common.
    #[error("no policy is in both tables: real has {real}; imagined has {imagined}")]
    NothingShared {
        /// The policies of the real table.
        real: String,
        /// The policies of the imagined table.
        imagined: String,
    },
    /// A scenario that already has a real result, or was never imagined, cannot be recorded.
    #[error("scenario {scenario:?} of {policy:?} on {task:?} awaits no real trial")]
    NotAwaited {
        /// The policy.
        policy: String,
        /// The task.
        task: String,
        /// The scenario.
        scenario: String,
    },
    /// No number of trials within reach is enough.
    #[error("half-width {half_width} takes more than {limit} further real trials")]
    OutOfReach {
        /// The half-width asked for.
        half_width: f64,
        /// Where the search ended.
        limit: u64,
    },
}

/// Checks a confidence level: strictly between 0 and 1.
pub(crate) fn check_level(level: f64) -> Result<(), CalibrationError> {
    if level > 0.0 && level < 1.0 {
        Ok(())
    } else {
        Err(CalibrationError::Parameter {
            name: "confidence level",
            value: level,
            expected: "a share strictly between 0 and 1, such as 0.95",
        })
    }
}

/// Checks that every value is a share in [0, 1].
pub(crate) fn check_shares(what: &'static str, values: &[f64]) -> Result<(), CalibrationError> {
    match values.iter().position(|v| !(0.0..=1.0).contains(v)) {
        None => Ok(()),
        Some(index) => Err(CalibrationError::Value {
            what,
            index,
            value: values[index],
            expected: "a number in [0, 1]",
        }),
    }
}
