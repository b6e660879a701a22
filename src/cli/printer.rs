//! Where output goes: data to standard output, everything else to standard error.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;

use super::Progress;

/// The form of a command's result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON with stable names, for programs.
    Json,
    /// Comma-separated values.
    Csv,
    /// A Markdown table.
    Markdown,
}

/// Decides what is printed, and where.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    quiet: bool,
}

impl Printer {
    /// A printer; a quiet one prints results and errors only.
    pub const fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// Writes a result to standard output, with a newline at its end.
    ///
    /// # Errors
    /// The error of standard output. A reader that went away (`| head`) is no error.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let written = out
            .write_all(text.as_bytes())
            .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
            .and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a note to standard error, unless quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // Nobody can be told that standard error is gone.
            drop(writeln!(io::stderr(), "{text}"));
        }
    }

    /// Writes an error and its causes to standard error as one line.
    pub fn error(&self, error: &anyhow::Error) {
        drop(writeln!(io::stderr(), "error: {error:#}"));
    }

    /// Progress over `total` things called `unit`: a bar with rate and ETA on a terminal, a plain
    /// line now and then off it, nothing if quiet.
    pub fn progress(&self, total: u64, unit: &'static str) -> Progress {
        Progress::new(total, unit, !self.quiet, io::stderr().is_terminal())
    }
}
