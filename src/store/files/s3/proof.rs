//! The proof that a store honours conditions. A store that ignores them answers every racing writer
//! with success and keeps the last one's bytes, which would lose rows without a sign.

use std::io::{self, ErrorKind};

use bytes::Bytes;
use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Answer, S3Files};
use crate::store::files::Files as _;

/// How many writers race for one name.
const WRITERS: usize = 16;
/// Folder of the lake that holds the proof. It is no name of a namespace.
const FOLDER: &str = ".conditional-writes";

/// Proves it, unless an earlier process has, for the same lake in the same store.
pub(super) async fn prove(files: &S3Files) -> io::Result<()> {
    let store = &files.store().await.name;
    let hash = Sha256::digest(store.as_bytes());
    let name: String = hash.iter().take(8).map(|it| format!("{it:02x}")).collect();
    let proven = format!("{}/{FOLDER}/{name}/proven", files.lake);
    if files.exists(&proven).await? {
        return Ok(());
    }
    let probe = format!("{}/{FOLDER}/{name}/{}", files.lake, Uuid::new_v4());
    race(files, store, &probe).await?;
    replace(files, store, &probe).await?;
    files.write(&proven, Bytes::from(format!("{store} honours conditional writes\n"))).await
}

/// Of many who make one object, exactly one does, and it is that one's bytes that are there.
async fn race(files: &S3Files, store: &str, probe: &str) -> io::Result<()> {
    let bodies: Vec<Bytes> = (0..WRITERS).map(|n| Bytes::from(format!("writer {n}"))).collect();
    let answers = join_all(bodies.iter().map(|body| files.put_if(probe, None, body))).await;
    let mut winner = None;
    for (answer, body) in answers.into_iter().zip(&bodies) {
        match answer? {
            Answer::Refused => {}
            Answer::Done if winner.is_none() => winner = Some(body),
            Answer::Done => return Err(not_honoured(store, "If-None-Match")),
        }
    }
    let found = files.read(probe).await?;
    if winner.is_some() && found.as_ref() == winner {
        return Ok(());
    }
    Err(not_honoured(store, "If-None-Match"))
}

/// An object is replaced by who knows its tag, and by nobody else.
async fn replace(files: &S3Files, store: &str, probe: &str) -> io::Result<()> {
    let honoured = match files.read_tagged(probe).await? {
        Some(first) => {
            let next = Bytes::from_static(b"replaced");
            let known = files.put_if(probe, Some(&first.tag), &next).await?;
            let stale = files.put_if(probe, Some(&first.tag), &first.bytes).await?;
            matches!((known, stale), (Answer::Done, Answer::Refused))
        }
        None => false,
    };
    honoured.then_some(()).ok_or_else(|| not_honoured(store, "If-Match"))
}

fn not_honoured(store: &str, header: &str) -> io::Error {
    let problem = format!(
        "{store} does not honour {header} on PUT, so two writers at once would overwrite each \
         other's rows; use a store that does, such as Amazon S3"
    );
    io::Error::new(ErrorKind::Unsupported, problem)
}
