//! One scenario: a task, a start, a variation.

use std::fmt;

/// One scenario of a suite. All policies meet the same scenarios.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scenario {
    /// Index of the task in the suite.
    pub task: usize,
    /// Name of the task.
    pub task_name: String,
    /// Index of the start among the task's starts.
    pub start: u64,
    /// Index of the variation in the suite; `None` for the start as it is.
    pub variation: Option<usize>,
    /// Word for the variation: `plain` for the start as it is.
    pub variation_label: &'static str,
}

impl fmt::Display for Scenario {
    /// The stable id: `task.start.variation`, as in `door-open.12.plain`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.task_name, self.start, self.variation_label)
    }
}
