//! A lake in an S3 bucket, or in a store with the API of S3.
//!
//! Every call has a time limit. The SDK retries reads, and writes of names that no other writer
//! uses, with back-off. Conditional writes are sent once: when their answer is lost, only reading
//! the object afterwards can tell the outcome.

mod proof;

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::aws;
use crate::number::count;
use crate::store::files::{Call, Creation, Files, ListedObject, Removal, TaggedObject};

const SCHEME: &str = "s3://";
/// Time limit of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit of the first byte of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of one try, with its body.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// The bytes a second that a write takes at least: a large file has more time.
const MIN_BYTES_A_SECOND: u64 = 500_000;
/// Time limit of all tries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(40);
/// Number of times that a body which breaks off is fetched.
const MAX_BODIES: u32 = 3;
/// Number of objects that one call removes.
const MAX_REMOVALS: usize = 1_000;
/// Number of times that a conditional write is sent when S3 answers with a conflict.
const MAX_CONFLICTS: u32 = 5;

/// Objects of S3 buckets. The client is made by the first call.
#[derive(Debug)]
pub struct S3Files {
    /// `s3://bucket/prefix`
    lake: String,
    store: OnceCell<Store>,
    proven: OnceCell<()>,
}

#[derive(Debug)]
struct Store {
    /// Its name in messages, which also tells one store from another.
    name: String,
    client: Client,
}

/// The bucket and the key of an object.
struct ObjectPath<'a> {
    bucket: &'a str,
    key: &'a str,
}

impl<'a> ObjectPath<'a> {
    fn of(location: &'a str) -> io::Result<Self> {
        let path = location.strip_prefix(SCHEME).and_then(|it| it.split_once('/'));
        let (bucket, key) = path.ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidInput, "it is not a location of S3: s3://bucket/key")
        })?;
        Ok(Self { bucket, key })
    }
}

/// The answer to a conditional write.
enum Answer {
    Done,
    /// The condition does not hold: 412, or 404 where an object was to be replaced.
    Refused,
}

impl S3Files {
    /// Returns whether a location is one of S3.
    pub fn is_location(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The files of the lake at `s3://bucket/prefix`.
    pub fn of(lake: &str) -> Self {
        Self { lake: lake.to_owned(), store: OnceCell::new(), proven: OnceCell::new() }
    }

    async fn store(&self) -> &Store {
        let make = || async {
            let shared = aws::defaults().load().await;
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build();
            let endpoint = aws::custom_endpoint(&shared, "S3");
            let config = Builder::from(&shared)
                .timeout_config(timeouts)
                .force_path_style(endpoint.is_some())
                .build();
            let name = endpoint.unwrap_or_else(|| {
                let region = shared.region().map_or("no region", |it| it.as_ref());
                format!("Amazon S3 in {region}")
            });
            Store { name, client: Client::from_conf(config) }
        };
        self.store.get_or_init(make).await
    }

    async fn client(&self) -> &Client {
        &self.store().await.client
    }

    /// Reads a version of an object, or its newest; `None` when it does not exist.
    ///
    /// # Errors
    /// When S3 does not answer, or refuses.
    pub async fn read_version(
        &self,
        location: &str,
        version: Option<&str>,
    ) -> io::Result<Option<Bytes>> {
        Ok(self.get(location, version, None).await?.map(|it| it.bytes))
    }

    async fn get(
        &self,
        location: &str,
        version: Option<&str>,
        range: Option<&Range<u64>>,
    ) -> io::Result<Option<TaggedObject>> {
        // Both ends count.
        let header = range.map(|it| format!("bytes={}-{}", it.start, it.end.saturating_sub(1)));
        let path = ObjectPath::of(location)?;
        let client = self.client().await;
        let mut tries = 0_u32;
        loop {
            tries += 1;
            let get = client.get_object().bucket(path.bucket).key(path.key);
            let get = get.set_version_id(version.map(ToOwned::to_owned));
            let answer = get.set_range(header.clone()).send().await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if status(&error) == Some(404) && !is_missing_bucket(&error) => {
                    return Ok(None);
                }
                Err(error) => return Err(failed("s3:GetObject", &error)),
            };
            let tag = tag("s3:GetObject", answer.e_tag)?;
            match answer.body.collect().await {
                Ok(body) => {
                    let mut bytes = body.into_bytes();
                    if let Some(range) = range {
                        bytes = part_of(bytes, range);
                    }
                    return Ok(Some(TaggedObject { bytes, tag }));
                }
                Err(_) if tries < MAX_BODIES => {}
                Err(error) => {
                    let what = format!("s3:GetObject: its body breaks off: {error}");
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, what));
                }
            }
        }
    }

    async fn put(&self, location: &str, bytes: &Bytes) -> io::Result<PutObjectFluentBuilder> {
        let path = ObjectPath::of(location)?;
        let put = self.client().await.put_object().bucket(path.bucket).key(path.key);
        Ok(put.body(bytes.clone().into()))
    }

    /// Sends a conditional write; `expected` is the tag of the content that it replaces. After a
    /// conflict it is sent again; after any other error, only reading the object can tell what has
    /// happened.
    async fn put_if(
        &self,
        location: &str,
        expected: Option<&str>,
        bytes: &Bytes,
    ) -> io::Result<Answer> {
        let mut wait = Duration::from_millis(20);
        for _ in 0..MAX_CONFLICTS {
            let once = Builder::new().retry_config(RetryConfig::disabled());
            let put = self.put(location, bytes).await?;
            let put = match expected {
                Some(tag) => put.if_match(tag),
                None => put.if_none_match("*"),
            };
            match put.customize().config_override(once).send().await {
                Ok(PutObjectOutput { e_tag, .. }) => {
                    return tag("s3:PutObject", e_tag).map(|_| Answer::Done);
                }
                Err(error) => match status(&error) {
                    Some(412) => return Ok(Answer::Refused),
                    Some(404) if !is_missing_bucket(&error) => return Ok(Answer::Refused),
                    // ConditionalRequestConflict: nothing is known about the object.
                    Some(409) => {}
                    _ => return Err(failed("s3:PutObject", &error)),
                },
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        let what =
            "s3:PutObject: others are writing the same object (409 ConditionalRequestConflict)";
        Err(io::Error::new(ErrorKind::ResourceBusy, what))
    }
}

impl S3Files {
    /// Lists objects below a folder, at any depth, up to the page that shows the `max`th.
    async fn list_below(
        &self,
        folder: &str,
        after: Option<&str>,
        max: usize,
    ) -> io::Result<Vec<ListedObject>> {
        let path = ObjectPath::of(folder)?;
        let prefix = format!("{}/", path.key.trim_end_matches('/'));
        let list = self.client().await.list_objects_v2().bucket(path.bucket);
        let after = after.map(ObjectPath::of).transpose()?.map(|it| it.key.to_owned());
        let list = list.prefix(&prefix).set_start_after(after);
        let mut pages = list.into_paginator().send();
        let mut found = Vec::new();
        while found.len() < max {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(|error| failed("s3:ListBucket", &error))?;
            for object in page.contents.unwrap_or_default() {
                let (Some(key), Some(time)) = (object.key, object.last_modified) else {
                    let what = "s3:ListBucket: an object has no key or no time";
                    return Err(io::Error::new(ErrorKind::InvalidData, what));
                };
                let modified = SystemTime::try_from(time).map_err(io::Error::other)?;
                let bytes = object.size.and_then(|it| u64::try_from(it).ok()).unwrap_or(0);
                let location = format!("s3://{}/{key}", path.bucket);
                found.push(ListedObject { location, bytes, modified });
            }
        }
        Ok(found)
    }
}

impl Removal for S3Files {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        Box::pin(self.list_below(folder, None, usize::MAX))
    }

    fn list_first<'a>(
        &'a self,
        folder: &'a str,
        after: &'a str,
        max: usize,
    ) -> Call<'a, Vec<ListedObject>> {
        Box::pin(self.list_below(folder, Some(after), max))
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        Box::pin(async move {
            for some in locations.chunks(MAX_REMOVALS) {
                let Some(first) = some.first() else { continue };
                let bucket = ObjectPath::of(first)?.bucket;
                let mut objects = Vec::with_capacity(some.len());
                for location in some {
                    let key = ObjectPath::of(location)?.key;
                    let object = ObjectIdentifier::builder().key(key).build();
                    objects.push(object.map_err(io::Error::other)?);
                }
                let all = Delete::builder().set_objects(Some(objects)).quiet(true).build();
                let all = all.map_err(io::Error::other)?;
                let call = self.client().await.delete_objects().bucket(bucket).delete(all);
                let answer = call.send().await;
                let answer = answer.map_err(|error| failed("s3:DeleteObject", &error))?;
                if let Some(error) = answer.errors.unwrap_or_default().into_iter().next() {
                    let code = error.code.unwrap_or_default();
                    return Err(io::Error::other(format!("s3:DeleteObject: {code}")));
                }
            }
            Ok(())
        })
    }
}

impl Files for S3Files {
    fn prove(&self) -> Call<'_, ()> {
        Box::pin(async {
            let store = &self.store().await.name;
            self.proven.get_or_try_init(|| proof::prove(self, store, &self.lake)).await.copied()
        })
    }

    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move { self.read_version(location, None).await })
    }

    fn read_range<'a>(&'a self, location: &'a str, range: Range<u64>) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            if range.is_empty() {
                return Ok(self.exists(location).await?.then(Bytes::new));
            }
            Ok(self.get(location, None, Some(&range)).await?.map(|it| it.bytes))
        })
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(async move {
            let path = ObjectPath::of(location)?;
            let head = self.client().await.head_object().bucket(path.bucket).key(path.key);
            match head.send().await {
                Ok(found) => tag("s3:GetObject (HEAD)", found.e_tag).map(|_| true),
                Err(error) if status(&error) == Some(404) => Ok(false),
                Err(error) => Err(failed("s3:GetObject (HEAD)", &error)),
            }
        })
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        Box::pin(async move {
            let time =
                ATTEMPT_TIMEOUT + Duration::from_secs(count(bytes.len()) / MIN_BYTES_A_SECOND);
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(time)
                .operation_attempt_timeout(time)
                .operation_timeout(time * 3)
                .build();
            let config = Builder::new().timeout_config(timeouts);
            let put = self.put(location, &bytes).await?.customize().config_override(config);
            let sent = put.send().await;
            let sent = sent.map_err(|error| failed("s3:PutObject", &error))?;
            tag("s3:PutObject", sent.e_tag).map(drop)
        })
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        Box::pin(async move {
            match self.put_if(location, None, &bytes).await? {
                Answer::Done => Ok(Creation::Done),
                Answer::Refused => Ok(Creation::Exists),
            }
        })
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(self.get(location, None, None))
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(async move {
            Ok(matches!(self.put_if(location, expected, &bytes).await?, Answer::Done))
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            let path = ObjectPath::of(folder)?;
            let prefix = match path.key {
                "" => String::new(),
                key => format!("{key}/"),
            };
            let list = self.client().await.list_objects_v2().bucket(path.bucket);
            let mut pages = list.prefix(&prefix).delimiter("/").into_paginator().send();
            let mut names = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| failed("s3:ListBucket", &error))?;
                let folders = page.common_prefixes.unwrap_or_default().into_iter();
                let objects = page.contents.unwrap_or_default().into_iter();
                let all = folders.filter_map(|it| it.prefix).chain(objects.filter_map(|it| it.key));
                names.extend(all.filter_map(|it| {
                    let name = it.strip_prefix(&prefix)?.trim_end_matches('/');
                    (!name.is_empty()).then(|| name.to_owned())
                }));
            }
            Ok(names)
        })
    }
}

/// Returns the part that was asked for. A store that ignores the range answers with the whole object.
fn part_of(bytes: Bytes, range: &Range<u64>) -> Bytes {
    let expected = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    if bytes.len() <= expected {
        return bytes;
    }
    let at = |it: u64| usize::try_from(it).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

/// Returns the tag that every answer about an object has. A proxy's page with status 200 has none,
/// and its call never reached S3.
fn tag(call: &str, found: Option<String>) -> io::Result<String> {
    found.ok_or_else(|| {
        let what =
            format!("{call}: the answer has no ETag, so it is not one of S3: check for a proxy");
        io::Error::new(ErrorKind::InvalidData, what)
    })
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|it| it.status().as_u16())
}

/// Returns whether it is the bucket that does not exist.
fn is_missing_bucket<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some("NoSuchBucket")
}

/// Makes an error for an operator: the action that a policy must allow, and the error of S3.
fn failed<E>(action: &str, error: &SdkError<E, HttpResponse>) -> io::Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    io::Error::other(format!("{action}: {}", aws::error_text(error)))
}
