//! Stand-ins for the store, which can fail in every way of a real one.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use lakeward::store::clock::Clock;
use lakeward::store::files::{Call, Creation, Files, ListedObject, Removal, TaggedObject};

/// Files in memory: quick enough for thousands of commits.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// The second of the last write of each, by the clock of the store.
    modified: Mutex<BTreeMap<String, u64>>,
    /// Seconds since 1970: the clock of the store.
    pub now: Arc<AtomicU64>,
}

impl Memory {
    /// Names and sizes of the objects under a location.
    pub fn sizes(&self, under: &str) -> Vec<(String, usize)> {
        let objects = self.objects.lock().unwrap();
        let found = objects.iter().filter(|(name, _)| name.starts_with(under));
        found.map(|(name, bytes)| (name.clone(), bytes.len())).collect()
    }

    /// The objects whose names have this end.
    pub fn ending(&self, end: &str) -> Vec<(String, Bytes)> {
        let objects = self.objects.lock().unwrap();
        let found = objects.iter().filter(|(name, _)| name.ends_with(end));
        found.map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
    }

    /// Removes an object, as a lifecycle rule or a person would.
    pub fn remove(&self, location: &str) {
        self.objects.lock().unwrap().remove(location);
    }

    /// Puts an object, in place of any other.
    pub fn put(&self, location: &str, bytes: impl Into<Bytes>) {
        self.objects.lock().unwrap().insert(location.to_owned(), bytes.into());
        self.touch(location);
    }

    fn touch(&self, location: &str) {
        let now = self.now.load(Ordering::Relaxed);
        self.modified.lock().unwrap().insert(location.to_owned(), now);
    }

    /// A clock that is ahead of the store's by so many seconds.
    pub fn clock(&self, ahead: i64) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::from_fn(move || {
            let seconds = now.load(Ordering::Relaxed).saturating_add_signed(ahead);
            UNIX_EPOCH + Duration::from_secs(seconds)
        })
    }

    /// All objects, to put them back with `restore`.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.objects.lock().unwrap().clone()
    }

    /// Puts these objects in place of all others, as out of a backup.
    pub fn restore(&self, objects: BTreeMap<String, Bytes>) {
        *self.objects.lock().unwrap() = objects;
    }

    /// An object.
    pub fn get(&self, location: &str) -> Option<Bytes> {
        self.objects.lock().unwrap().get(location).cloned()
    }
}

fn tag(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Files for Memory {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move { Ok(self.get(location)) })
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(async move { Ok(self.get(location).is_some()) })
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        Box::pin(async move {
            self.put(location, bytes);
            Ok(())
        })
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        Box::pin(async move {
            let mut objects = self.objects.lock().unwrap();
            if objects.contains_key(location) {
                return Ok(Creation::Exists);
            }
            objects.insert(location.to_owned(), bytes);
            self.touch(location);
            Ok(Creation::Done)
        })
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(async move {
            Ok(self.get(location).map(|it| TaggedObject { tag: tag(&it), bytes: it }))
        })
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(async move {
            let mut objects = self.objects.lock().unwrap();
            if objects.get(location).map(tag).as_deref() != expected {
                return Ok(false);
            }
            objects.insert(location.to_owned(), bytes);
            self.touch(location);
            Ok(true)
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            let prefix = format!("{folder}/");
            let objects = self.objects.lock().unwrap();
            let below = objects.range(prefix.clone()..).map_while(|it| it.0.strip_prefix(&prefix));
            let mut names: Vec<String> =
                below.map(|it| it.split('/').next().unwrap_or(it).to_owned()).collect();
            names.dedup();
            Ok(names)
        })
    }
}

impl Removal for Memory {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        Box::pin(async move {
            let prefix = format!("{folder}/");
            let (objects, modified) = (self.objects.lock().unwrap(), self.modified.lock().unwrap());
            let found = objects.range(prefix.clone()..).take_while(|it| it.0.starts_with(&prefix));
            let found = found.map(|(location, bytes)| ListedObject {
                location: location.clone(),
                bytes: bytes.len() as u64,
                modified: UNIX_EPOCH + Duration::from_secs(modified[location]),
            });
            Ok(found.collect())
        })
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        Box::pin(async move {
            locations.iter().for_each(|it| Memory::remove(self, it));
            Ok(())
        })
    }
}

/// The next call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Read,
    Write,
    Create,
    ReplaceHint,
}

/// A fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is not done, and its answer says so.
    Refuse,
    /// It is done, and the answer is lost.
    LoseAnswer,
    /// It is done; a retry of the client then found its own object: "exists".
    ExistsThoughDone,
    /// The answer is "exists", but nothing is there (S3's 409).
    ExistsThoughNot,
}

/// Something that happens around every call of [`HookedFiles`].
pub trait Hook: std::fmt::Debug + Send + Sync {
    /// Makes a call of another: `name` is that of the method, `location` what it is about.
    fn around<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        location: &str,
        call: Call<'a, T>,
    ) -> Call<'a, T>;
}

/// Files in memory with a hook around every call.
#[derive(Debug)]
pub struct HookedFiles<H> {
    pub memory: Arc<Memory>,
    pub hook: H,
}

impl<H: Hook> Files for HookedFiles<H> {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        self.hook.around("read", location, self.memory.read(location))
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        self.hook.around("exists", location, self.memory.exists(location))
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        self.hook.around("write", location, self.memory.write(location, bytes))
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        self.hook.around("create", location, self.memory.create(location, bytes))
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        self.hook.around("read_tagged", location, self.memory.read_tagged(location))
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        self.hook.around("replace", location, self.memory.replace(location, expected, bytes))
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        self.hook.around("list", folder, self.memory.list(folder))
    }
}

type Script = Box<dyn FnMut(Step, &str) -> Fault + Send>;

/// Files that follow a script, and let other tasks run between any two steps.
pub struct ScriptedFiles {
    inner: Arc<dyn Files>,
    script: Mutex<Script>,
    /// Other tasks get up to so many turns before and after each step.
    turns: usize,
}

impl std::fmt::Debug for ScriptedFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptedFiles")
    }
}

impl ScriptedFiles {
    pub fn new(
        inner: Arc<dyn Files>,
        script: impl FnMut(Step, &str) -> Fault + Send + 'static,
    ) -> Self {
        Self { inner, script: Mutex::new(Box::new(script)), turns: 3 }
    }

    fn fault(&self, step: Step, location: &str) -> Fault {
        (self.script.lock().unwrap())(step, location)
    }

    async fn others(&self) {
        for _ in 0..fastrand::usize(0..=self.turns) {
            tokio::task::yield_now().await;
        }
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the answer was lost")
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, "refused")
}

impl Files for ScriptedFiles {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            self.others().await;
            match self.fault(Step::Read, location) {
                Fault::None => self.inner.read(location).await,
                _ => Err(refused()),
            }
        })
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(async move {
            self.others().await;
            match self.fault(Step::Read, location) {
                Fault::None => self.inner.exists(location).await,
                _ => Err(refused()),
            }
        })
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        Box::pin(async move {
            self.others().await;
            let fault = self.fault(Step::Write, location);
            if fault == Fault::Refuse {
                return Err(refused());
            }
            self.inner.write(location, bytes).await?;
            self.others().await;
            if fault == Fault::None { Ok(()) } else { Err(lost()) }
        })
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        Box::pin(async move {
            self.others().await;
            match self.fault(Step::Create, location) {
                Fault::Refuse => Err(refused()),
                Fault::ExistsThoughNot => Ok(Creation::Exists),
                fault => {
                    let created = self.inner.create(location, bytes).await?;
                    self.others().await;
                    match fault {
                        Fault::LoseAnswer => Err(lost()),
                        Fault::ExistsThoughDone => Ok(Creation::Exists),
                        _ => Ok(created),
                    }
                }
            }
        })
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(async move {
            self.others().await;
            self.inner.read_tagged(location).await
        })
    }

    /// A rename of a local directory compares and replaces in two steps; others may come between.
    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(async move {
            let fault = self.fault(Step::ReplaceHint, location);
            if fault == Fault::Refuse {
                return Err(refused());
            }
            let found = self.inner.read_tagged(location).await?.map(|it| it.tag);
            if found.as_deref() != expected {
                return Ok(false);
            }
            self.others().await;
            let now = self.inner.read_tagged(location).await?.map(|it| it.tag);
            let replaced = self.inner.replace(location, now.as_deref(), bytes).await?;
            if fault == Fault::None { Ok(replaced) } else { Err(lost()) }
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            self.others().await;
            self.inner.list(folder).await
        })
    }
}
