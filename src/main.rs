//! The program: runs the command line and turns its outcome into an exit code.
//!
//! Errors are printed here, once, and the exit code is set here, once: 0 for a clean stop, 2 for
//! what the user can mend before the start (flags, addresses, a port in use, damaged data), 3 for a
//! disk that fails or is full, 1 for any other failure at run time.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}
