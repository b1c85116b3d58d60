//! The stand-in for Lambda's Runtime API does what the real one does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::runtime_api::{Answer, FUNCTION_ARN, RuntimeApi};

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
const SOON: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

/// A client that writes requests by hand, over one connection.
struct Client(BufReader<TcpStream>);

/// Status line and headers, lower case, and the body.
type Response = (Vec<String>, String);

impl Client {
    fn connect(api: &RuntimeApi) -> Self {
        Self(BufReader::new(TcpStream::connect(api.endpoint()).unwrap()))
    }

    fn write(&mut self, bytes: &str) {
        self.0.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    fn read(&mut self) -> Response {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_ascii_lowercase()),
            }
        }
        let length = header(&head, "content-length").map_or(0, |it| it.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    fn next(&mut self) -> Response {
        self.write(NEXT);
        self.read()
    }

    fn post(&mut self, path: &str, body: &str) -> Response {
        self.write(&format!(
            "POST /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.read()
    }
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn events_are_handed_out_in_order_over_one_connection_and_answers_are_kept() {
    let api = RuntimeApi::start();
    let first = api.send(b"{\"n\":1}", MINUTE);
    let second = api.send(b"{\"n\":2}", MINUTE);
    let mut client = Client::connect(&api);

    let (head, body) = client.next();
    assert_eq!((head[0].as_str(), body.as_str()), ("http/1.1 200 ok", "{\"n\":1}"));
    assert_eq!(header(&head, "lambda-runtime-aws-request-id"), Some(first.as_str()));
    assert_eq!(header(&head, "lambda-runtime-invoked-function-arn"), Some(FUNCTION_ARN));
    assert!(header(&head, "lambda-runtime-trace-id").unwrap().starts_with("root=1-"));
    let deadline: u64 = header(&head, "lambda-runtime-deadline-ms").unwrap().parse().unwrap();
    assert!(deadline > 1_700_000_000_000, "{deadline} is not a time in milliseconds");
    assert_eq!(api.wait_answer(&first, Duration::ZERO), None);

    let (head, _) = client.post(&format!("invocation/{first}/response"), "{\"ok\":true}");
    assert_eq!(head[0], "http/1.1 202 accepted");
    assert_eq!(client.next().1, "{\"n\":2}");
    client.post(
        &format!("invocation/{second}/error"),
        "{\"errorType\":\"T\",\"errorMessage\":\"m\"}",
    );

    let answer = api.wait_answer(&first, SOON).unwrap();
    assert_eq!(answer.response(), "{\"ok\":true}");
    assert_eq!(api.wait_answer(&second, SOON).unwrap().error_message(), "m");
    assert_eq!(api.complaints(), Vec::<String>::new());
}

#[test]
fn a_client_waits_for_the_next_event() {
    let api = RuntimeApi::start();
    let mut client = Client::connect(&api);
    client.write(NEXT);
    let id = api.send(b"{}", MINUTE);
    assert!(api.wait_taken(&id, SOON));
    assert_eq!(header(&client.read().0, "lambda-runtime-aws-request-id"), Some(id.as_str()));
}

#[test]
fn a_dead_client_gets_no_event() {
    let api = RuntimeApi::start();
    let mut dead = Client::connect(&api);
    dead.write(NEXT);
    drop(dead);
    // The event waits for a client that is alive, although the dead one had asked for it.
    let id = api.send(b"{}", MINUTE);
    let mut client = Client::connect(&api);
    assert_eq!(header(&client.next().0, "lambda-runtime-aws-request-id"), Some(id.as_str()));
}

#[test]
fn bodies_come_in_every_form_that_http_has() {
    let api = RuntimeApi::start();
    let mut client = Client::connect(&api);
    for body in
        ["3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n", "7\r\n{\"a\":1}\r\n0\r\nTrailer: t\r\n\r\n"]
    {
        let id = api.send(b"{}", MINUTE);
        client.next();
        client.write(&format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: x\r\n\
             Transfer-Encoding: chunked\r\n\r\n{body}"
        ));
        assert_eq!(client.read().0[0], "http/1.1 202 accepted");
        let expected = Answer::Response("{\"a\":1}".to_owned());
        assert_eq!(api.wait_answer(&id, SOON), Some(expected));
    }

    client.write(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.read().0[0], "http/1.1 100 continue");
    client.write("{}");
    assert_eq!(client.read().0[0], "http/1.1 202 accepted");
    assert_eq!(api.init_error(), Some(Answer::Error("{}".to_owned())));
}

#[test]
fn requests_that_the_runtime_api_does_not_know_are_complaints() {
    let api = RuntimeApi::start();
    let mut client = Client::connect(&api);
    let id = api.send(b"{}", MINUTE);
    client.next();
    client.post(&format!("invocation/{id}/response"), "{}");
    client.post(&format!("invocation/{id}/response"), "{}");
    assert_eq!(client.post("invocation/next", "{}").0[0], "http/1.1 404 not found");
    assert_eq!(
        api.complaints(),
        [
            format!("an answer to {id}, which does not wait for one"),
            "POST /2018-06-01/runtime/invocation/next".to_owned(),
        ]
    );
}
