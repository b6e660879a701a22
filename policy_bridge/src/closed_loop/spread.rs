//! One result a trial, whatever came back.

use rehearse_scenarios::interface::{InterfaceError, PerTrial};
use rehearse_scenarios::outcome::{Fault, FaultKind};

/// The results of a batch of `expected` trials. A batch that failed as a whole, or has the wrong
/// length, is a fault of `kind` for each of them.
pub(super) fn spread<T>(
    results: Result<Vec<PerTrial<T>>, InterfaceError>,
    expected: usize,
    kind: FaultKind,
) -> Vec<PerTrial<T>> {
    let message = match results {
        Ok(results) if results.len() == expected => return results,
        Ok(results) => format!("{} of {expected} trials were answered", results.len()),
        Err(error) => error.to_string(),
    };
    let fault = Fault::new(kind, message);
    (0..expected).map(|_| Err(fault.clone())).collect()
}
