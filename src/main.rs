//! Parse, run, map the error to the exit code; everything else is in the library.

fn main() -> std::process::ExitCode {
    pagar::cli::main()
}
