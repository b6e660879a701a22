//! The command line program `rehearse`.

use std::process::ExitCode;

fn main() -> ExitCode {
    state_threads();
    rehearse::cli::main()
}

/// States the number of threads where the user did not: left to itself, the tensor library counts
/// the processors anew for every matrix product, which takes longer than a small product.
#[expect(unsafe_code, reason = "no other thread runs yet that could read the environment")]
fn state_threads() {
    const VARIABLE: &str = "RAYON_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_none()
        && let Ok(count) = std::thread::available_parallelism()
    {
        // SAFETY: this is the first thing that the program does, on its only thread.
        unsafe { std::env::set_var(VARIABLE, count.to_string()) }
    }
}
