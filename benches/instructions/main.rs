//! How many instructions a look-up and a whole answer take, against the counts that are checked in:
//!
//! ```sh
//! cargo bench --bench instructions              # counts and compares; half a minute
//! cargo bench --bench instructions -- --save    # counts, and writes baseline.txt
//! ```
//!
//! A machine that is busy, or shared, counts the same instructions as a quiet one, so this is what tells whether a
//! change made the packet path longer. It says nothing about waits for memory, locks or the kernel: `compare` does.
//!
//! How it is counted: this program runs itself under `valgrind --tool=callgrind`, which counts only what happens between
//! the call of [`scenes::counted`] and its return, and writes a sum each time that ends: a scene. Each goes over many
//! names, so that the random keys of the hashes do not show: two runs differ by 0.2 %, the miss by up to 1 %.
//!
//! What is counted depends on the compiler, the C library and the processor that valgrind plays. Only where all of them
//! are those of the baseline is there a verdict: a scene that takes more than 3 % longer fails the run, so that a commit
//! either is made shorter or brings the new baseline. Elsewhere the differences are shown and no more. Without valgrind
//! nothing is counted.
//!
//! | file | what it owns |
//! |---|---|
//! | `scenes` | what is counted |
//! | `names` | the list and the questions |
//! | `callgrind` | running under valgrind, reading its sums |
//! | `baseline` | the counts before, the table, the verdict |

mod baseline;
mod callgrind;
mod names;
mod scenes;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::baseline::Baseline;

/// Counts instructions of look-ups and answers, and compares them with the baseline.
#[derive(Parser)]
#[command(name = "cargo bench --bench instructions --", max_term_width = 120)]
struct Args {
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
    /// Writes the counts into baseline.txt instead of judging them.
    #[arg(long)]
    save: bool,
    /// Runs the scenes: what valgrind is to count.
    #[arg(long, hide = true)]
    scenes: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match if args.scenes { scenes::run().map(|()| true) } else { count(args.save) } {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts all scenes and says what came of it; `false` if one takes too many.
fn count(save: bool) -> io::Result<bool> {
    let Some(valgrind) = callgrind::version() else {
        println!("skipped: needs valgrind");
        return Ok(true);
    };
    let counts = callgrind::count()?;
    let counted = Baseline { environment: baseline::environment(&valgrind)?, counts };
    if save {
        counted.save()?;
    }
    let before = Baseline::load()?;
    print!("{}", counted.table(&before));
    Ok(counted.verdict(&before))
}
