//! The function, with a failpoint before and after each call to the store.
//!
//! With `KILL_AT="after create metadata#2"` it ends itself with `SIGKILL` at the second pass of
//! that point, or panics there with `KILL_BY=panic`. With `POINTS=FILE` it writes each point that
//! it passes.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use lakeward::config::Config;
use lakeward::handler::App;
use lakeward::lambda;
use lakeward::store::Lake;
use lakeward::store::clock::Clock;
use lakeward::store::files::{
    self, Call, Creation, Files, ListedObject, Place, Removal, TaggedObject,
};

#[expect(clippy::disallowed_methods, reason = "tests control it by variables")]
fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    let runtime_api = variable("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    let kill_at = variable("KILL_AT").and_then(|it| {
        let (point, pass) = it.split_once('#')?;
        Some((point.to_owned(), pass.parse().ok()?))
    });
    let (points, panics) = (variable("POINTS"), variable("KILL_BY").as_deref() == Some("panic"));
    lambda::serve_with(&runtime_api, |config: Config| {
        let Place { files, removal, location } = files::at(&config.lake.location)?;
        let passes = AtomicU32::new(0);
        let files = Arc::new(FailpointFiles { files, removal, kill_at, passes, panics, points });
        let (removal, hash) = (Arc::clone(&files), config.lake.config_hash.clone());
        let lake = Lake::with(files, location, hash, Clock::system()).removing(removal);
        Ok(App::on(config, lake, None))
    })
}

struct FailpointFiles {
    files: Arc<dyn Files>,
    removal: Arc<dyn Removal>,
    kill_at: Option<(String, u32)>,
    passes: AtomicU32,
    panics: bool,
    points: Option<String>,
}

impl fmt::Debug for FailpointFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailpointFiles")
    }
}

/// Returns the role of an object in a table.
fn object(location: &str) -> &'static str {
    match location.rsplit('/').next().unwrap_or_default() {
        _ if location.contains("/metadata/pending") => "pending rows",
        _ if location.contains("/metadata/clean") => "mark",
        "version-hint.text" => "hint",
        name if name.ends_with(".metadata.json") => "metadata",
        name if name.starts_with("snap-") => "manifest list",
        name if name.ends_with(".avro") => "manifest",
        name if name.ends_with(".parquet") => "data file",
        _ => "folder",
    }
}

impl FailpointFiles {
    fn point(&self, when: &str, what: &str, location: &str) {
        let point = format!("{when} {what} {}", object(location));
        if let Some(path) = &self.points
            && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path)
        {
            // If this write fails, tests notice the missing point.
            drop(writeln!(file, "{point}"));
        }
        if let Some((kill_at, pass)) = &self.kill_at
            && *kill_at == point
            && self.passes.fetch_add(1, Ordering::Relaxed) + 1 == *pass
        {
            #[expect(clippy::panic, reason = "the fault that a test wants")]
            if self.panics {
                panic!("canary-5f1e7a, as of a payload");
            }
            let id = std::process::id().to_string();
            drop(Command::new("kill").args(["-KILL", &id]).status());
            std::thread::park();
        }
    }

    async fn around<T>(&self, what: &str, location: &str, call: Call<'_, T>) -> std::io::Result<T> {
        self.point("before", what, location);
        let done = call.await;
        self.point("after", what, location);
        done
    }
}

impl Files for FailpointFiles {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(self.around("read", location, self.files.read(location)))
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(self.around("look for", location, self.files.exists(location)))
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        Box::pin(self.around("write", location, self.files.write(location, bytes)))
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        Box::pin(self.around("create", location, self.files.create(location, bytes)))
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(self.around("read", location, self.files.read_tagged(location)))
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(self.around("replace", location, self.files.replace(location, expected, bytes)))
    }

    fn prove(&self) -> Call<'_, ()> {
        self.files.prove()
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(self.around("list", folder, self.files.list(folder)))
    }
}

impl Removal for FailpointFiles {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        Box::pin(self.around("list", folder, self.removal.list_all(folder)))
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        let first = locations.first().map_or("", String::as_str);
        Box::pin(self.around("remove", first, self.removal.remove(locations)))
    }
}
