//! What a training tells while it runs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Name of the file of the curves within a training's folder.
pub(crate) const CURVES: &str = "curves.jsonl";

/// A point of the curves, one JSON line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePoint {
    /// Name of the stage.
    pub stage: String,
    /// Steps done in it.
    pub step: usize,
    /// Steps that it has.
    pub steps: usize,
    /// Mean loss since the last point.
    pub loss: f64,
    /// Norm of the last gradient before it was cut.
    pub norm: f64,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Seconds since the stage began in this run.
    pub secs: f64,
    /// What validation measured, at the steps where it was run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<String, f64>,
}

/// The curves of the training in `folder`, as far as it has come; `None` where there is none. A
/// line that was cut short is left out.
pub fn read_curves(folder: &Path) -> Option<Vec<CurvePoint>> {
    let text = std::fs::read_to_string(folder.join(CURVES)).ok()?;
    Some(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Who is told.
pub trait Progress {
    /// A new point of the curves.
    fn point(&mut self, point: &CurvePoint);

    /// Something else happened: a stage began, a file was saved.
    fn note(&mut self, note: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn point(&mut self, _point: &CurvePoint) {}

    fn note(&mut self, _note: &str) {}
}
