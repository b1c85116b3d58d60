//! A store that fails in every way S3 can, for one execution environment.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use lakeward::store::files::{Call, Creation, Files, ListedObject, Removal, TaggedObject};

use super::function::{Environment, Stop};
use super::world::World;
use crate::support::store::Memory;

/// The files of a lake, as one environment sees them.
pub struct Faulty {
    pub world: Arc<World>,
    pub memory: Arc<Memory>,
    pub environment: Arc<Environment>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, "503 SlowDown")
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the answer was lost")
}

/// A location without what is random in it.
fn kind_of(location: &str) -> &str {
    let end = location.rfind(['/', '=']).unwrap_or(0);
    let (folder, name) = location.split_at(end);
    let is_version = name.starts_with("/v");
    if is_version { location } else { folder }
}

impl Faulty {
    /// The way to the store and back: it takes time, and the process may end or freeze on it.
    async fn way(&self, call: &'static str, location: &str) {
        self.world.remember((call, kind_of(location)));
        // The clock of the store.
        self.memory.now.store(self.world.now() / 1000, Ordering::Relaxed);
        self.world.pause(1, 20).await;
        if self.world.strikes("store: slow") {
            self.world.pause(200, 4_000).await;
        }
        if self.world.strikes("function: crashes") {
            self.environment.stop(Stop::Crash).await;
        }
        if self.world.strikes("function: freezes, and wakes after its retry") {
            self.environment.stop(Stop::Freeze).await;
        }
    }

    /// Waits longer than the store's own timeouts, so that the outcome is unknown.
    async fn hang(&self) {
        self.world.pause(3_000, 40_000).await;
    }

    /// Does it at some later time, whatever was said.
    fn later(&self, it: impl FnOnce(&Memory) + 'static) {
        let (memory, millis) = (Arc::clone(&self.memory), self.world.number(1, 60_000) as u64);
        self.environment.background(async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            it(&memory);
        });
    }

    async fn reading(&self, call: &'static str, location: &str) -> io::Result<()> {
        self.way(call, location).await;
        if self.world.strikes("read: refused") {
            return Err(refused());
        }
        if self.world.strikes("read: hangs") {
            self.hang().await;
            return Err(lost());
        }
        if self.world.strikes("read: breaks off") {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body breaks off"));
        }
        Ok(())
    }
}

impl Files for Faulty {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            self.reading("read", location).await?;
            self.memory.read(location).await
        })
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(async move {
            self.reading("exists", location).await?;
            self.memory.exists(location).await
        })
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        Box::pin(async move {
            self.way("write", location).await;
            if self.world.strikes("write: refused") {
                return Err(refused());
            }
            if self.world.strikes("write: refused, done later") {
                let at = location.to_owned();
                self.later(move |memory| memory.put(&at, bytes));
                return Err(lost());
            }
            let hangs = self.world.strikes("write: hangs");
            if hangs {
                self.hang().await;
                if self.world.one_in(2) {
                    return Err(lost());
                }
            }
            self.memory.write(location, bytes).await?;
            self.way("written", location).await;
            if hangs || self.world.strikes("write: done, answer lost") {
                Err(lost())
            } else {
                Ok(())
            }
        })
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        Box::pin(async move {
            self.way("create", location).await;
            if self.world.strikes("create: refused") {
                return Err(refused());
            }
            if self.world.strikes("create: not done, told it was there") {
                return Ok(Creation::Exists);
            }
            if self.world.strikes("create: refused, done later") {
                let at = location.to_owned();
                self.later(move |memory| {
                    if memory.get(&at).is_none() {
                        memory.put(&at, bytes);
                    }
                });
                return Err(lost());
            }
            let hangs = self.world.strikes("create: hangs");
            if hangs {
                self.hang().await;
                if self.world.one_in(2) {
                    return Err(lost());
                }
            }
            let created = self.memory.create(location, bytes).await?;
            self.way("created", location).await;
            if self.world.strikes("create: done, told it was there") {
                return Ok(Creation::Exists);
            }
            if hangs || self.world.strikes("create: done, answer lost") {
                return Err(lost());
            }
            Ok(created)
        })
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(async move {
            self.reading("read_tagged", location).await?;
            self.memory.read_tagged(location).await
        })
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(async move {
            self.way("replace", location).await;
            if self.world.strikes("hint: refused") {
                return Err(refused());
            }
            if self.world.strikes("hint: told that it changed") {
                return Ok(false);
            }
            let replaced = self.memory.replace(location, expected, bytes).await?;
            self.way("replaced", location).await;
            if self.world.strikes("hint: done, answer lost") { Err(lost()) } else { Ok(replaced) }
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            self.way("list", folder).await;
            if self.world.strikes("list: refused") {
                return Err(refused());
            }
            self.memory.list(folder).await
        })
    }
}

impl Removal for Faulty {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        Box::pin(async move {
            self.way("list_all", folder).await;
            if self.world.strikes("list: refused") {
                return Err(refused());
            }
            self.memory.list_all(folder).await
        })
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        Box::pin(async move {
            self.way("remove", "").await;
            if self.world.strikes("remove: refused") {
                return Err(refused());
            }
            // Some are removed, and then the answer is an error.
            let breaks_off = self.world.strikes("remove: breaks off");
            let end = if breaks_off { locations.len() / 2 } else { locations.len() };
            Removal::remove(&*self.memory, &locations[..end]).await?;
            self.way("removed", "").await;
            if breaks_off { Err(lost()) } else { Ok(()) }
        })
    }
}
