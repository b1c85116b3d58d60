//! The Lambda Runtime API, as a function sees it: a small HTTP/1.1 server on a free local port.
//!
//! `GET …/invocation/next` waits for an event that a test has sent, and hands each out once.
//! What the function posts back (`…/response`, `…/error`, `…/init/error`) is kept for the test.
//! One server serves one execution environment; connections are kept alive.
//!
//! Shape of requests and answers: AWS Lambda's developer guide, "Runtime API", 2018-06-01.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// The ARN the function is told it has.
pub const FUNCTION_ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:lakeward";

/// A waiting request looks this often whether its client is still there.
const LOOK: Duration = Duration::from_millis(20);

/// A post of the function for an event, or instead of taking any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `/invocation/{id}/response`: the body.
    Response(String),
    /// To `/invocation/{id}/error` or `/init/error`: the body, `{"errorType", "errorMessage", …}`.
    Error(String),
}

impl Answer {
    /// The response; fails the test for an error.
    pub fn response(&self) -> &str {
        match self {
            Answer::Response(body) => body,
            Answer::Error(body) => panic!("an error instead of a response: {body}"),
        }
    }

    /// `errorMessage`; fails the test for a response.
    pub fn error_message(&self) -> String {
        let Answer::Error(body) = self else { panic!("a response instead of an error: {self:?}") };
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["errorType"].as_str().is_some_and(|it| !it.is_empty()), "{body}");
        body["errorMessage"].as_str().unwrap().to_owned()
    }
}

#[derive(Debug)]
struct Invocation {
    id: String,
    event: Vec<u8>,
    deadline: SystemTime,
}

#[derive(Debug, Default)]
struct State {
    /// Sent and not yet taken.
    queue: VecDeque<Invocation>,
    sent: u32,
    /// Ids of what was handed out.
    taken: Vec<String>,
    answers: BTreeMap<String, Answer>,
    init_error: Option<Answer>,
    /// Requests that no Runtime API has, and answers to what was not handed out.
    complaints: Vec<String>,
    closed: bool,
}

#[derive(Debug, Default)]
struct RuntimeState {
    state: Mutex<State>,
    changed: Condvar,
}

impl RuntimeState {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// The server; stops when dropped.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<RuntimeState>,
    accepting: Option<JoinHandle<()>>,
}

impl RuntimeApi {
    /// Starts on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(RuntimeState::default());
        let of_server = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_server.lock().closed {
                    return;
                }
                let shared = Arc::clone(&of_server);
                // A connection ends with its client, at the latest when the server is closed.
                std::thread::spawn(move || drop(serve(&stream.unwrap(), &shared)));
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Value for `AWS_LAMBDA_RUNTIME_API`.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Queues an event that the function must answer within `time_left`; returns its request id.
    pub fn send(&self, event: &[u8], time_left: Duration) -> String {
        let mut id = String::new();
        self.shared.change(|state| {
            state.sent += 1;
            id = format!("00000000-0000-4000-8000-{:012}", state.sent);
            state.queue.push_back(Invocation {
                id: id.clone(),
                event: event.to_vec(),
                deadline: SystemTime::now() + time_left,
            });
        });
        id
    }

    /// Waits until the event was handed out; `false` when that takes longer than `at_most`.
    pub fn wait_taken(&self, id: &str, at_most: Duration) -> bool {
        self.wait(at_most, |state| state.taken.iter().any(|it| it == id).then_some(())).is_some()
    }

    /// Waits for the answer to an event; `None` when that takes longer than `at_most`.
    pub fn wait_answer(&self, id: &str, at_most: Duration) -> Option<Answer> {
        self.wait(at_most, |state| state.answers.get(id).cloned())
    }

    /// Returns the post to `/init/error`.
    pub fn init_error(&self) -> Option<Answer> {
        self.shared.lock().init_error.clone()
    }

    /// Returns the requests that the function must not make.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.lock().complaints.clone()
    }

    fn wait<T>(&self, at_most: Duration, found: impl Fn(&State) -> Option<T>) -> Option<T> {
        let until = Instant::now() + at_most;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = found(&state) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        // After a failed test the lock may be poisoned; the process ends anyway then.
        let Ok(mut state) = self.shared.state.lock() else { return };
        state.closed = true;
        drop(state);
        self.shared.changed.notify_all();
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

struct Request {
    method: String,
    path: String,
    body: String,
}

fn serve(stream: &TcpStream, shared: &RuntimeState) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, stream)? {
        let path = request.path.strip_prefix("/2018-06-01/runtime/").unwrap_or(&request.path);
        match (request.method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["invocation", "next"]) => match next(stream, shared) {
                Some(invocation) => hand_out(stream, &invocation)?,
                None => return Ok(()),
            },
            ("POST", ["invocation", id, "response"]) => {
                answer(shared, id, Answer::Response(request.body));
                respond(stream, "202 Accepted", "", b"{\"status\":\"OK\"}")?;
            }
            ("POST", ["invocation", id, "error"]) => {
                answer(shared, id, Answer::Error(request.body));
                respond(stream, "202 Accepted", "", b"{\"status\":\"OK\"}")?;
            }
            ("POST", ["init", "error"]) => {
                shared.change(|state| state.init_error = Some(Answer::Error(request.body)));
                respond(stream, "202 Accepted", "", b"{\"status\":\"OK\"}")?;
            }
            (method, _) => {
                let complaint = format!("{method} {}", request.path);
                shared.change(|state| state.complaints.push(complaint));
                respond(stream, "404 Not Found", "", b"{}")?;
            }
        }
    }
    Ok(())
}

fn answer(shared: &RuntimeState, id: &str, answer: Answer) {
    shared.change(|state| {
        let known = state.taken.iter().any(|it| it == id);
        if !known || state.answers.insert(id.to_owned(), answer).is_some() {
            state.complaints.push(format!("an answer to {id}, which does not wait for one"));
        }
    });
}

/// The next event, or `None` when the client went away or the server closes.
fn next(stream: &TcpStream, shared: &RuntimeState) -> Option<Invocation> {
    let mut state = shared.lock();
    loop {
        if state.closed || gone(stream) {
            return None;
        }
        if let Some(invocation) = state.queue.pop_front() {
            state.taken.push(invocation.id.clone());
            shared.changed.notify_all();
            return Some(invocation);
        }
        state = shared.changed.wait_timeout(state, LOOK).unwrap().0;
    }
}

/// Returns true if the client closed the connection: a dead process must not get an event.
fn gone(stream: &TcpStream) -> bool {
    let look = || {
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        seen
    };
    match look() {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

fn hand_out(stream: &TcpStream, invocation: &Invocation) -> io::Result<()> {
    let deadline = invocation.deadline.duration_since(SystemTime::UNIX_EPOCH);
    let headers = format!(
        "Lambda-Runtime-Aws-Request-Id: {}\r\n\
         Lambda-Runtime-Deadline-Ms: {}\r\n\
         Lambda-Runtime-Invoked-Function-Arn: {FUNCTION_ARN}\r\n\
         Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0\r\n",
        invocation.id,
        deadline.unwrap_or_default().as_millis(),
    );
    respond(stream, "200 OK", &headers, &invocation.event)
}

fn respond(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    response.extend_from_slice(body);
    stream.write_all(&response)
}

/// Reads one request; `None` when the connection ended between two.
fn read_request(
    reader: &mut BufReader<&TcpStream>,
    mut stream: &TcpStream,
) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (parts.next(), parts.next()) else {
        return Err(invalid("no request line"));
    };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(invalid("headers end early"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_ascii_lowercase());
    }
    if headers.get("expect").is_some_and(|it| it == "100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = if headers.get("transfer-encoding").is_some_and(|it| it.contains("chunked")) {
        read_chunks(reader)?
    } else {
        let length = headers.get("content-length").map_or(Ok(0), |it| it.parse::<usize>());
        let mut body = vec![0; length.map_err(invalid)?];
        reader.read_exact(&mut body)?;
        body
    };
    let body = String::from_utf8(body).map_err(invalid)?;
    Ok(Some(Request { method, path, body }))
}

fn read_chunks(reader: &mut BufReader<&TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = line.trim_end().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(invalid)?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        // The end of the chunk, or of the trailers after the last one.
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            if size > 0 || line.trim_end().is_empty() {
                break;
            }
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
