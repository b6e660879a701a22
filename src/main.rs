//! The command line program `rehearse`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rehearse::cli::main()
}
