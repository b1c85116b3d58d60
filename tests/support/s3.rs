//! A store with the part of S3's API that a lake needs, in memory or in front of another store. It
//! fails on demand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status, and nothing has happened.
    Refused(u16),
    /// It is done, and answered with this status all the same.
    Done(u16),
    /// It is done, and the connection breaks before the answer.
    Lost,
    /// The answer's body breaks off in the middle.
    Cut,
    /// Nothing is done and nothing is answered.
    Silent,
    /// The bucket is not there.
    NoBucket,
    /// A proxy answers with a page of its own, and all is well.
    Page,
    /// The answer's body stops in the middle, and the connection stays open until the other end
    /// closes it.
    Stalled,
    /// A bit of what is sent flips on its way.
    Flipped,
}

/// In place of a status, of which [`Fault::NoBucket`] shares one with a missing object.
const NO_BUCKET: u16 = 0;

/// A request: method, and path with query.
pub type Request = (String, String);

type Rule = Box<dyn FnMut(&str, &str) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    requests: Vec<Request>,
    rule: Option<Rule>,
    ignored: Option<&'static str>,
}

/// A running store.
#[derive(Clone)]
pub struct S3 {
    /// `http://127.0.0.1:…`
    pub endpoint: String,
    state: Arc<Mutex<State>>,
    /// Address of the store that does what this one is asked for.
    behind: Option<String>,
}

impl S3 {
    /// A store without objects; it ends with the process.
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0", None)
    }

    /// One that hands every request on to the store at an address, but for the faults.
    pub fn before(address: &str, listen: &str) -> Self {
        Self::listen(listen, Some(address.to_owned()))
    }

    fn listen(listen: &str, behind: Option<String>) -> Self {
        let listener = TcpListener::bind(listen).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let store = Self { endpoint, state: Arc::default(), behind };
        let serving = store.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || while serving.serve(&stream).is_some() {});
            }
        });
        store
    }

    /// The faults from now on, by method and path.
    pub fn fail(&self, rule: impl FnMut(&str, &str) -> Option<Fault> + Send + 'static) {
        self.state.lock().unwrap().rule = Some(Box::new(rule));
    }

    /// One request goes wrong, counted from 0.
    pub fn fail_at(&self, at: usize, fault: Fault) {
        let mut seen = 0;
        self.fail(move |_, _| {
            seen += 1;
            (seen == at + 1).then_some(fault)
        });
    }

    /// From now on a header, `if-match`, means nothing.
    pub fn ignore(&self, header: &'static str) {
        self.state.lock().unwrap().ignored = Some(header);
    }

    /// Another store, with the same objects.
    pub fn copy(&self) -> Self {
        let copy = Self::start();
        copy.state.lock().unwrap().objects = self.state.lock().unwrap().objects.clone();
        copy
    }

    /// The requests since the last time, and the end of all faults.
    pub fn requests(&self) -> Vec<Request> {
        let mut state = self.state.lock().unwrap();
        state.rule = None;
        std::mem::take(&mut state.requests)
    }

    /// Puts an object, by bucket and key.
    pub fn put(&self, key: &str, content: &str) {
        self.state.lock().unwrap().objects.insert(key.to_owned(), content.as_bytes().to_vec());
    }

    /// Keys of all objects, with their bucket.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    /// One request of a connection; `None` when it is over.
    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|it| *it > 0)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut head = line.clone();
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|it| *it > 0)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            head.push_str(&line);
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        if headers.contains_key("expect") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;

        let mut state = self.state.lock().unwrap();
        state.requests.push((method.clone(), target.clone()));
        let fault = state.rule.as_mut().and_then(|rule| rule(&method, &target));
        if fault == Some(Fault::Silent) {
            drop(state);
            std::thread::sleep(Duration::from_secs(60));
            return None;
        }
        if fault == Some(Fault::Page) {
            let page = b"<html><body>Please sign in</body></html>";
            return stream.write_all(&answer(200, &[], page, &method)).ok();
        }
        if fault == Some(Fault::NoBucket) {
            return stream.write_all(&answer(404, &[], &error(NO_BUCKET), &method)).ok();
        }
        if let Some(Fault::Refused(status)) = fault {
            return stream.write_all(&answer(status, &[], &error(status), &method)).ok();
        }
        if let Some(ignored) = state.ignored {
            headers.remove(ignored);
        }
        if let (Some(Fault::Flipped), Some(byte)) = (fault, body.last_mut()) {
            *byte ^= 1;
        }
        let answered = if let Some(address) = &self.behind {
            drop(state);
            forward(address, &head, &body)?
        } else {
            let (status, tag, body) = state.handle(&method, &target, &headers, body);
            drop(state);
            answer(status, &[("ETag", tag)], &body, &method)
        };
        match fault {
            Some(Fault::Lost) => return None,
            Some(Fault::Done(status)) => {
                stream.write_all(&answer(status, &[], &error(status), &method)).ok()?;
            }
            Some(Fault::Cut | Fault::Stalled) => {
                let end = answered.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
                stream.write_all(&answered[..end.midpoint(answered.len())]).ok()?;
                if fault == Some(Fault::Stalled) {
                    drop(reader.read(&mut [0]));
                }
                return None;
            }
            _ => stream.write_all(&answered).ok()?,
        }
        // A store in front of another one may have announced the end of the connection.
        self.behind.is_none().then_some(())
    }
}

impl State {
    /// Status, tag and body of the answer.
    fn handle(
        &mut self,
        method: &str,
        target: &str,
        headers: &BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> (u16, String, Vec<u8>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = unescaped(path.trim_start_matches('/'));
        if query.contains("list-type=2") {
            return (200, String::new(), self.list(&path, query));
        }
        if method == "POST" && query.starts_with("delete") {
            return (200, String::new(), self.remove(&path, &String::from_utf8(body).unwrap()));
        }
        let current = self.objects.get(&path).map(|it| tag(it));
        if method != "PUT" {
            let Some(found) = self.objects.get(&path) else {
                return (404, String::new(), error(404));
            };
            return (200, tag(found), found.clone());
        }
        // The demands of a bucket policy, and the checks of S3 itself.
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.ends_with(".metadata.json") && !headers.contains_key("if-none-match") {
            return (403, String::new(), error(403));
        }
        let mut sum = flate2::Crc::new();
        sum.update(&body);
        let sum = BASE64.encode(sum.sum().to_be_bytes());
        if headers.get("x-amz-checksum-crc32") != Some(&sum) {
            return (400, String::new(), error(400));
        }
        let refused = match (headers.get("if-none-match"), headers.get("if-match"), &current) {
            (Some(_), _, Some(_)) => Some(412),
            (_, Some(_), None) => Some(404),
            (_, Some(expected), Some(current)) if expected != current => Some(412),
            _ => None,
        };
        if let Some(status) = refused {
            return (status, String::new(), error(status));
        }
        let tag = tag(&body);
        self.objects.insert(path, body);
        (200, tag, Vec::new())
    }

    /// Removes the objects that a request names.
    fn remove(&mut self, bucket: &str, request: &str) -> Vec<u8> {
        for rest in request.split("<Key>").skip(1) {
            let key = rest.split("</Key>").next().unwrap_or_default();
            self.objects.remove(&format!("{}/{key}", bucket.trim_end_matches('/')));
        }
        b"<DeleteResult></DeleteResult>".to_vec()
    }

    /// Lists three names per page, so that a listing needs several calls.
    fn list(&self, bucket: &str, query: &str) -> Vec<u8> {
        let query: BTreeMap<&str, &str> =
            query.split('&').filter_map(|it| it.split_once('=')).collect();
        let prefix = unescaped(query.get("prefix").copied().unwrap_or_default());
        let start = query.get("continuation-token").map(|it| unescaped(it)).unwrap_or_default();
        let within = format!("{}/{prefix}", bucket.trim_end_matches('/'));
        let mut names: Vec<(String, bool)> = Vec::new();
        for rest in self.objects.keys().filter_map(|it| it.strip_prefix(&within)) {
            let folder = rest.split_once('/').filter(|_| query.contains_key("delimiter"));
            let name = folder.map(|(folder, _)| (format!("{folder}/"), true));
            let name = name.unwrap_or((rest.to_owned(), false));
            if !names.contains(&name) && name.0 > start {
                names.push(name);
            }
        }
        names.sort();
        let more = names.len() > 3;
        names.truncate(3);
        let mut xml = format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>");
        if let Some((last, _)) = names.last().filter(|_| more) {
            write!(xml, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
        }
        for (name, folder) in names {
            let element = if folder {
                format!("<CommonPrefixes><Prefix>{prefix}{name}</Prefix></CommonPrefixes>")
            } else {
                let size = self.objects.get(&format!("{within}{name}")).map_or(0, Vec::len);
                format!(
                    "<Contents><Key>{prefix}{name}</Key><Size>{size}</Size>\
                     <LastModified>{}Z</LastModified></Contents>",
                    crate::support::lake::now()
                )
            };
            xml.push_str(&element);
        }
        xml.push_str("</ListBucketResult>");
        xml.into_bytes()
    }
}

fn tag(bytes: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hash = DefaultHasher::new();
    bytes.hash(&mut hash);
    format!("\"{:x}\"", hash.finish())
}

fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next().unwrap(), bytes.next().unwrap()];
            let hex = std::str::from_utf8(&pair).unwrap().to_owned();
            out.push(u8::from_str_radix(&hex, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}

fn error(status: u16) -> Vec<u8> {
    let code = match status {
        400 => "BadDigest",
        403 => "AccessDenied",
        404 => "NoSuchKey",
        NO_BUCKET => "NoSuchBucket",
        409 => "ConditionalRequestConflict",
        412 => "PreconditionFailed",
        503 => "SlowDown",
        _ => "InternalError",
    };
    format!("<Error><Code>{code}</Code><Message>it is so</Message></Error>").into_bytes()
}

fn answer(status: u16, headers: &[(&str, String)], body: &[u8], method: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    text.push_str("\r\n");
    let body = if method == "HEAD" { &[] } else { body };
    [text.as_bytes(), body].concat()
}

/// Returns the whole answer of the store at an address.
fn forward(address: &str, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut store = TcpStream::connect(address).ok()?;
    let head = format!("{head}Connection: close\r\n\r\n");
    store.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut answered = Vec::new();
    store.read_to_end(&mut answered).ok()?;
    Some(answered)
}
