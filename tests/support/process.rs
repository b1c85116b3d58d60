//! The real binary: as a function behind a Runtime API, and as a command.
//!
//! Every process is killed when its handle is dropped.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::support::compare::Object;
use crate::support::runtime_api::{Answer, RuntimeApi};

/// A text that payloads carry and nothing that a process prints may hold.
pub const CANARY: &str = "canary-5f1e7a";

/// Time after which a test calls something stuck; nothing is measured by it.
const STUCK: Duration = Duration::from_secs(120);

/// The binary, in an environment without what this machine may have set.
pub fn lakeward() -> Command {
    bare(Path::new(env!("CARGO_BIN_EXE_lakeward")))
}

fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars() {
        if ["AWS_", "LAKEWARD_", "RUST_"].iter().any(|it| name.starts_with(it)) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// `lakeward replay` with a config, into a lake.
pub fn replay(config: &Path, lake: &Path) -> Command {
    let mut command = lakeward();
    command.arg("replay").arg("--config").arg(config).arg("--lake").arg(lake);
    command
}

/// A release to come, see `tests/process/next_release/main.rs`.
pub fn next_release() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    bare(BUILT.get_or_init(|| example("next_release")))
}

/// The function with failpoints, see `tests/process/killable/main.rs`.
pub fn killable() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    bare(BUILT.get_or_init(|| example("killable")))
}

/// Cargo builds examples with the tests, but for those that are asked for by name.
fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_lakeward")).parent().unwrap();
    let path = folder.join("examples").join(name);
    if !path.exists() {
        let mut build = Command::new("cargo");
        build.args(["build", "--quiet", "--locked", "--example", name]);
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(built.success() && path.exists(), "no {}", path.display());
    }
    path
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Returns the output of a process, for messages and for searching.
pub fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

/// All rows of a table as `lakeward show` prints them, without nulls; newest first. None where the
/// lake has no such table yet; anything else that keeps the table from being read fails the test.
pub fn rows(lake: &Path, table: &str) -> Vec<Object> {
    if !lake.join(table.replace('.', "/")).join("metadata/v1.metadata.json").exists() {
        return Vec::new();
    }
    let mut command = lakeward();
    command.args(["show", table, "--format", "json", "--limit", "100000", "--lake"]).arg(lake);
    let output = run(&mut command);
    assert!(output.status.success(), "show {table}: {}", printed(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| {
        let row: Object = serde_json::from_str(line).unwrap();
        row.into_iter().filter(|(_, value)| !value.is_null()).collect()
    });
    lines.collect()
}

/// Rows by `_lw_id`; fails on one that is there twice.
pub fn by_id(rows: Vec<Object>) -> BTreeMap<String, Object> {
    let mut found = BTreeMap::new();
    for row in rows {
        let id = row["_lw_id"].as_str().unwrap().to_owned();
        assert!(found.insert(id.clone(), row).is_none(), "{id} is there twice");
    }
    found
}

/// A process that is killed when the test leaves it.
#[derive(Debug)]
pub struct KillOnDrop(pub Child);

impl KillOnDrop {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// `kill -9`, at once. `false` when the process had ended by itself.
    pub fn kill(&mut self) -> bool {
        let running = self.0.try_wait().unwrap().is_none();
        self.0.kill().unwrap();
        let status = self.0.wait().unwrap();
        running && status.code().is_none()
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An execution environment: the binary in Lambda mode and the API it talks to.
#[derive(Debug)]
pub struct Function {
    process: KillOnDrop,
    api: RuntimeApi,
    printed: [Receiver<String>; 2],
}

impl Function {
    /// Starts the binary with a config and a lake.
    pub fn start(config: &Path, lake: &Path) -> Self {
        Self::start_in(config, lake, &[])
    }

    /// The same, with more variables in its environment.
    pub fn start_in(config: &Path, lake: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_as(lakeward(), config, lake, variables)
    }

    /// The same of another program.
    pub fn start_as(
        mut command: Command,
        config: &Path,
        lake: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        let api = RuntimeApi::start();
        command
            .env("AWS_LAMBDA_RUNTIME_API", api.endpoint())
            .env("AWS_LAMBDA_FUNCTION_NAME", "lakeward")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("LAKEWARD_CONFIG", config)
            .env("LAKEWARD_LAKE__LOCATION", lake)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = KillOnDrop::start(&mut command);
        let stdout = collect(process.0.stdout.take().unwrap());
        let stderr = collect(process.0.stderr.take().unwrap());
        Self { process, api, printed: [stdout, stderr] }
    }

    /// Delivers an event with a minute of time, and waits for the answer.
    pub fn invoke(&mut self, event: &Value) -> Answer {
        self.invoke_within(event, Duration::from_secs(60))
    }

    /// Delivers an event that must be answered within `time_left`, and waits for the answer.
    pub fn invoke_within(&mut self, event: &Value, time_left: Duration) -> Answer {
        match self.try_invoke(event, time_left) {
            Ok(answer) => answer,
            Err(status) => panic!("the function ended with {status}: {:?}", self.api.init_error()),
        }
    }

    /// The same for a function that may end before it answers.
    #[expect(clippy::unwrap_in_result, reason = "a process that can't be asked is a broken test")]
    pub fn try_invoke(&mut self, event: &Value, time_left: Duration) -> Result<Answer, ExitStatus> {
        let id = self.api.send(event.to_string().as_bytes(), time_left);
        let mut waited = Duration::ZERO;
        while waited < STUCK {
            let a_while = Duration::from_millis(50);
            if let Some(answer) = self.api.wait_answer(&id, a_while) {
                return Ok(answer);
            }
            if let Some(status) = self.process.0.try_wait().unwrap() {
                return Err(status);
            }
            waited += a_while;
        }
        panic!("no answer within {STUCK:?}")
    }

    /// Delivers an event and returns as soon as the function has taken it.
    pub fn hand_over(&mut self, event: &Value) {
        let id = self.api.send(event.to_string().as_bytes(), Duration::from_secs(60));
        assert!(self.api.wait_taken(&id, STUCK), "nobody took the event");
    }

    /// Begins the measuring of memory anew; where there is no Linux, nothing happens.
    pub fn forget_peak(&self) {
        drop(std::fs::write(format!("/proc/{}/clear_refs", self.process.0.id()), "5"));
    }

    /// Most memory that the process has held since, in MB. Only Linux tells.
    pub fn peak_mb(&self) -> Option<u64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).ok()?;
        let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes.div_ceil(1024))
    }

    /// Waits until the process ends by itself. Returns how it ended, what it printed, and what it
    /// posted as init error.
    pub fn wait_end(mut self) -> (ExitStatus, String, Option<Answer>) {
        let status = self.process.0.wait().unwrap();
        let printed = self.printed.each_ref().map(|it| it.recv().unwrap()).join("");
        (status, printed, self.api.init_error())
    }

    /// `kill -TERM`, and waits until the process has ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let id = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.process.0.wait().unwrap()
    }

    /// `kill -9`. Whatever the process printed before must be clean logs: one JSON object a line,
    /// nothing of a payload. Returns the logs.
    pub fn kill(mut self) -> Vec<Object> {
        self.process.kill();
        assert_eq!(self.api.complaints(), Vec::<String>::new());
        let [stdout, stderr] = self.printed.each_ref().map(|it| it.recv().unwrap());
        let logs: Vec<Object> = [stdout, stderr].iter().flat_map(|it| clean_logs(it)).collect();
        logs
    }
}

/// Log lines as objects; fails on a line that is none, and on payload.
pub fn clean_logs(printed: &str) -> Vec<Object> {
    assert_eq!(leak(printed), None, "payload in the logs: {printed}");
    // A kill may cut the last line short.
    let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let object = |line: &str| match serde_json::from_str(line) {
        Ok(object) => object,
        Err(error) => panic!("{error} in the log line {line}"),
    };
    whole.lines().map(object).collect()
}

/// The form in which the canary is in a text: as it is, or as base64 holds it, wherever in the
/// encoded text it begins.
pub fn leak(text: &str) -> Option<String> {
    let encoded = ["", "-", "--"].map(|before| {
        let form = BASE64.encode(format!("{before}{CANARY}"));
        // The first and the last characters depend on what stands beside the canary.
        form.chars().skip(4).take(12).collect()
    });
    encoded.into_iter().chain([CANARY.to_owned()]).find(|it| text.contains(it))
}

/// Reads a pipe to its end on a thread, so that the process never waits for the test.
fn collect(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        sender.send(String::from_utf8_lossy(&bytes).into_owned()).unwrap();
    });
    receiver
}
