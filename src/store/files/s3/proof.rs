//! The proof that a store honours conditional writes. A store that ignores the conditions answers
//! every racing writer with success and keeps the last one's bytes, which would silently lose rows.

use std::io::{self, ErrorKind};

use bytes::Bytes;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::digest::sha256_hex;
use crate::store::files::{Creation, Files};

/// Number of writers that race for one name.
const WRITERS: usize = 16;
/// Folder of the lake that holds the proof. A namespace can't have this name.
const FOLDER: &str = ".conditional-writes";

/// Proves it, unless an earlier process has proven it for the same lake in the same store.
pub(super) async fn prove(files: &dyn Files, store: &str, lake: &str) -> io::Result<()> {
    let mut name = sha256_hex(store.as_bytes());
    name.truncate(16);
    let proven = format!("{lake}/{FOLDER}/{name}/proven");
    if files.exists(&proven).await? {
        return Ok(());
    }
    let probe = format!("{lake}/{FOLDER}/{name}/{}", Uuid::new_v4());
    race(files, store, &probe).await?;
    replace(files, store, &probe).await?;
    files.write(&proven, Bytes::from(format!("{store} honours conditional writes\n"))).await
}

/// Checks that exactly one of many racing writers creates the object, and that its bytes are
/// stored.
async fn race(files: &dyn Files, store: &str, probe: &str) -> io::Result<()> {
    let bodies: Vec<Bytes> = (0..WRITERS).map(|n| Bytes::from(format!("writer {n}"))).collect();
    let answers = join_all(bodies.iter().map(|body| files.create(probe, body.clone()))).await;
    let mut winner = None;
    for (answer, body) in answers.into_iter().zip(&bodies) {
        match answer? {
            Creation::Exists => {}
            Creation::Done if winner.is_none() => winner = Some(body),
            Creation::Done => return Err(not_honoured(store, "If-None-Match")),
        }
    }
    let found = files.read(probe).await?;
    if winner.is_some() && found.as_ref() == winner {
        return Ok(());
    }
    Err(not_honoured(store, "If-None-Match"))
}

/// Checks that an object is replaced by a writer that knows its tag, and by no other.
async fn replace(files: &dyn Files, store: &str, probe: &str) -> io::Result<()> {
    let honoured = match files.read_tagged(probe).await? {
        Some(first) => {
            let next = Bytes::from_static(b"replaced");
            let known = files.replace(probe, Some(&first.tag), next).await?;
            let stale = files.replace(probe, Some(&first.tag), first.bytes).await?;
            known && !stale
        }
        None => false,
    };
    honoured.then_some(()).ok_or_else(|| not_honoured(store, "If-Match"))
}

fn not_honoured(store: &str, header: &str) -> io::Error {
    let problem = format!(
        "{store} does not honour {header} on PUT, so simultaneous writers would overwrite each \
         other's rows; use a store that honours it, such as Amazon S3"
    );
    io::Error::new(ErrorKind::Unsupported, problem)
}
