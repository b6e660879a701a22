//! Integration tests of the crate, one binary.

mod agreement_report;
mod bootstrap_parity;
mod compare_parity;
mod correlation_parity;
mod golden;
mod ranking_parity;
mod rate_parity;
mod report_forms;
mod trial_files;
mod video_parity;
