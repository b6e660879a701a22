//! Integration tests of the crate, one binary.

#![expect(clippy::unwrap_used, reason = "a helper that fails has failed its test")]

mod agreement_report;
mod bootstrap_parity;
mod compare_parity;
mod correlation_parity;
mod golden;
mod ranking_parity;
mod rate_parity;
mod report_forms;
mod sequential_error;
mod trial_files;
mod video_parity;
