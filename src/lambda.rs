//! Serving the Lambda Runtime API: one event after the other, each as the raw bytes that came.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Config, ConfigError};
use crate::deadline::Deadline;
use crate::handler::{self, App, Handled};
use crate::store::clock::Clock;

/// Most time for telling Lambda that the function can't start.
const TELLING: Duration = Duration::from_secs(2);

/// Serves invocations until the environment ends. What keeps it from starting, a broken config
/// first of all, is logged and told to the Runtime API at `runtime_api` (`host:port`).
pub fn serve(runtime_api: &str, config: Result<Config, ConfigError>) -> ExitCode {
    // Never TRACE: the runtime prints whole events there.
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_max_level(LevelFilter::INFO)
        .init();
    let (app, runtime) = match start(config) {
        Ok(started) => started,
        Err(error) => {
            tracing::error!(error = error.to_string(), "can't start");
            if let Err(error) = refuse(runtime_api, error.as_ref()) {
                tracing::error!(error = error.to_string(), "can't tell Lambda");
            }
            return ExitCode::FAILURE;
        }
    };
    let clock = Clock::system();
    let invoke = |event| invoke(&app, &clock, event);
    match runtime.block_on(lambda_runtime::run(service_fn(invoke))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = error.to_string(), "can't go on");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Result<Config, ConfigError>) -> Result<(App, Runtime), lambda_runtime::Error> {
    let config = config?;
    let app = App::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok((app, runtime))
}

/// Posts an init error, which `lambda_runtime` can't: it has no client before it has a handler.
fn refuse(runtime_api: &str, error: &(dyn Error + Send + Sync)) -> io::Result<()> {
    let body = serde_json::json!({
        "errorType": "Runtime.InitError",
        "errorMessage": error.to_string(),
        "stackTrace": [],
    })
    .to_string();
    let mut stream = TcpStream::connect(runtime_api)?;
    stream.set_write_timeout(Some(TELLING))?;
    stream.set_read_timeout(Some(TELLING))?;
    write!(
        stream,
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {runtime_api}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\
         Lambda-Runtime-Function-Error-Type: Runtime.InitError\r\n\r\n{body}",
        body.len()
    )?;
    // Whatever the answer is, with its first byte the error has been read.
    stream.read_exact(&mut [0])
}

async fn invoke(
    app: &App,
    clock: &Clock,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Box<RawValue>, Diagnostic> {
    let deadline = Deadline::after(time_left(clock, event.context.deadline));
    let handled = handler::handle(app, event.payload.get().as_bytes(), &deadline).await;
    let handled = handled.map_err(|error| Diagnostic {
        error_type: error.kind().to_owned(),
        error_message: error.to_string(),
    });
    log(&event.context.request_id, &handled);
    let answer = RawValue::from_string(handled?.answer);
    answer.map_err(|error| Diagnostic {
        error_type: "Answer".to_owned(),
        error_message: error.to_string(),
    })
}

/// Time until the invocation is ended, by the wall clock that Lambda's deadline is told in.
fn time_left(clock: &Clock, deadline_ms: u64) -> Duration {
    let deadline = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(deadline_ms));
    deadline.and_then(|it| it.duration_since(clock.now()).ok()).unwrap_or(Duration::ZERO)
}

/// One line an invocation: counts and names, never anything of a record.
fn log(request_id: &str, handled: &Result<Handled, Diagnostic>) {
    match handled {
        Ok(Handled { report, .. }) => {
            let sum = |of: fn(&crate::store::Landed) -> u64| {
                report.tables.values().map(|(_, landed)| of(landed)).fold(0, u64::saturating_add)
            };
            tracing::info!(
                request_id,
                records = report.records,
                landed = sum(|it| it.landed),
                duplicates = sum(|it| it.duplicates),
                rejected = report.rejected.values().sum::<u64>(),
                dropped = report.dropped,
                filtered = report.filtered.values().sum::<u64>(),
                failed = report.failed,
                files = sum(|it| it.files),
                files_read = sum(|it| it.files_read),
                trouble = report.trouble.join("; "),
                "handled an event"
            );
        }
        Err(error) => tracing::error!(
            request_id,
            kind = error.error_type,
            error = error.error_message,
            "failed an event"
        ),
    }
}
