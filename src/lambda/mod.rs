//! Serving the Lambda Runtime API: one event after the other, each as the bytes that Lambda sent.

mod metric;

mod log;

use std::error::Error;
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::App;
use crate::intake::Intake;
use crate::lambda::log::{Invocation, lines};
use crate::store::clock::Clock;

/// Time limit of each step of reporting to Lambda that the function can't start.
const INIT_ERROR_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves invocations until the environment ends. An error that keeps the function from starting,
/// such as a broken config, is logged and reported to the Runtime API at `runtime_api`
/// (`host:port`).
pub fn serve(runtime_api: &str) -> ExitCode {
    serve_with(runtime_api, |config| Ok(App::open(config)?))
}

/// Serves invocations as [`serve`] does, with the app that `open` makes of the config.
pub fn serve_with(
    runtime_api: &str,
    open: impl FnOnce(Config) -> Result<App, lambda_runtime::Error>,
) -> ExitCode {
    // Never TRACE: the runtime prints whole events there.
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_max_level(LevelFilter::INFO)
        .init();
    set_hook(Box::new(log_panic));
    let began = Instant::now();
    let (app, runtime) = match start(open) {
        Ok(started) => started,
        Err(error) => {
            tracing::error!(error = error.to_string(), "can't start");
            if let Err(error) = post_init_error(runtime_api, error.as_ref()) {
                tracing::error!(error = error.to_string(), "can't report this to Lambda");
            }
            return ExitCode::FAILURE;
        }
    };
    let init = Mutex::new(Some(began.elapsed()));
    let function = Function { intake: Intake::new(app), clock: Clock::system(), init };
    let invoke = |event| PanicGuard(Box::pin(function.invoke(event)));
    match runtime.block_on(lambda_runtime::run(service_fn(invoke))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = error.to_string(), "can't go on");
            ExitCode::FAILURE
        }
    }
}

fn start(
    open: impl FnOnce(Config) -> Result<App, lambda_runtime::Error>,
) -> Result<(App, Runtime), lambda_runtime::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = runtime.block_on(Config::load_in_lambda())?;
    Ok((open(config)?, runtime))
}

/// Posts an init error. `lambda_runtime` can't: it has no client before it has a handler.
fn post_init_error(runtime_api: &str, error: &(dyn Error + Send + Sync)) -> io::Result<()> {
    let body = serde_json::json!({
        "errorType": "Runtime.InitError",
        "errorMessage": error.to_string(),
        "stackTrace": [],
    })
    .to_string();
    let mut stream = TcpStream::connect(runtime_api)?;
    stream.set_write_timeout(Some(INIT_ERROR_TIMEOUT))?;
    stream.set_read_timeout(Some(INIT_ERROR_TIMEOUT))?;
    write!(
        stream,
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {runtime_api}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\
         Lambda-Runtime-Function-Error-Type: Runtime.InitError\r\n\r\n{body}",
        body.len()
    )?;
    // The first byte of the response shows that the error was read.
    stream.read_exact(&mut [0])
}

/// A function that has started.
struct Function {
    intake: Intake,
    clock: Clock,
    /// The time that it took to start, until an invocation has logged it.
    init: Mutex<Option<Duration>>,
}

impl Function {
    async fn invoke(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, Diagnostic> {
        let began = Instant::now();
        let deadline = Deadline::after(time_left(&self.clock, event.context.deadline));
        let bytes = event.payload.get().as_bytes();
        let report = self.intake.handle(bytes, &deadline).await;
        let invocation = Invocation {
            function: &event.context.env_config.function_name,
            request_id: &event.context.request_id,
            config_hash: &self.intake.app.config.lake.config_hash,
            init: self.init.lock().unwrap_or_else(PoisonError::into_inner).take(),
            whole: began.elapsed(),
            now: self.clock.millis(),
        };
        let mut text = lines(&invocation, &report).join("\n");
        text.push('\n');
        // One write, so that other lines do not come between. If it fails, there is nowhere left to
        // report it, and the answer matters more.
        drop(io::stdout().write_all(text.as_bytes()));
        let answer = report.answer.map_err(|error| Diagnostic {
            error_type: error.kind().to_owned(),
            error_message: error.to_string(),
        });
        let answer = RawValue::from_string(answer?);
        answer.map_err(|error| Diagnostic {
            error_type: "Answer".to_owned(),
            error_message: error.to_string(),
        })
    }
}

/// Logs the location of a panic, and not its text, which may quote a record.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    tracing::error!(at, "panicked: this is a fault of Lakeward; please report its location");
}

/// An invocation whose panic fails its event. The runtime would fail it as well, and repeat the
/// text of the panic.
struct PanicGuard<F>(Pin<Box<F>>);

impl<T, F: Future<Output = Result<T, Diagnostic>>> Future for PanicGuard<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context)));
        polled.unwrap_or_else(|_| {
            let what = "a fault of Lakeward, whose location is in the log; records that are not \
                        durable are redelivered";
            Poll::Ready(Err(Diagnostic {
                error_type: "Panic".to_owned(),
                error_message: what.to_owned(),
            }))
        })
    }
}

/// Returns the time until Lambda ends the invocation. Lambda gives the deadline by the wall clock.
fn time_left(clock: &Clock, deadline_ms: u64) -> Duration {
    let deadline = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(deadline_ms));
    deadline.and_then(|it| it.duration_since(clock.now()).ok()).unwrap_or(Duration::ZERO)
}
