//! The binary: the function if Lambda starts it, the command line anywhere else.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use lakeward::cli::{self, Terminal};
use lakeward::lambda;

#[expect(clippy::disallowed_methods, reason = "main, config and secret read the environment")]
fn main() -> ExitCode {
    if let Some(runtime_api) = std::env::var_os("AWS_LAMBDA_RUNTIME_API") {
        return lambda::serve(&runtime_api.to_string_lossy());
    }
    run().unwrap_or_else(|error| {
        // If this write fails, there is nowhere left to report it.
        drop(writeln!(std::io::stderr(), "error: {error}"));
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let progress = err.is_terminal();
    let program = std::env::args_os().next().unwrap_or_else(|| "lakeward".into());
    let program = program.to_string_lossy().into_owned();
    let mut terminal = Terminal { out: &mut out, err: &mut err, program, progress };
    Ok(runtime.block_on(cli::run(std::env::args_os(), &mut terminal)).into())
}
