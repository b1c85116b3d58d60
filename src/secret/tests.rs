//! Keys from the environment, and from a server that answers like AWS.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use aws_config::Region;
use aws_sdk_ssm::config::Credentials;

use super::*;

fn keys(keyring: &Keyring, references: &[&str]) -> Result<Arc<Keys>, KeyError> {
    let references = references.iter().map(|it| it.parse().unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(keyring.keys(&references))
}

#[test]
fn references_read_back_as_they_were_written() {
    for text in ["env:KEY", "ssm:/lakeward/hash", "secretsmanager:arn:aws:secretsmanager:x"] {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
    }
    for text in ["", "env:", "0123456789abcdef", "ssm", "vault:x", "ENV:X"] {
        let error = text.parse::<Reference>().unwrap_err().to_string();
        assert!(error.contains("write env:NAME, ssm:NAME or secretsmanager:"), "{error}");
        assert!(!error.contains("0123456789abcdef"), "{error}");
    }
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let error = keys(&Keyring::default(), &["env:LAKEWARD_NO_SUCH_KEY"]).unwrap_err().to_string();
    assert!(error.contains("env:LAKEWARD_NO_SUCH_KEY") && error.contains("not set"), "{error}");
}

#[test]
fn a_key_of_the_environment_is_fetched_and_never_printed() {
    let keyring = Keyring::default();
    let found = keys(&keyring, &["env:LAKEWARD_HASH_KEY"]).unwrap();
    let key = found.get(&"env:LAKEWARD_HASH_KEY".parse().unwrap()).unwrap();
    let printed = format!("{found:?} {keyring:?}");
    assert!(!printed.contains(std::str::from_utf8(key).unwrap()), "{printed}");
    assert!(printed.contains("LAKEWARD_HASH_KEY"));
}

/// A call: its target header and its body.
type Call = (String, String);

/// A server that answers each call with `status` and `body`, and reports the calls.
fn server(status: &'static str, body: &'static str) -> (String, mpsc::Receiver<Call>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (tell, calls) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut target, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                let (name, value) = line.trim().split_once(':').unwrap_or_default();
                match name.to_lowercase().as_str() {
                    "x-amz-target" => target = value.trim().to_owned(),
                    "content-length" => length = value.trim().parse().unwrap(),
                    _ => {}
                }
            }
            let mut asked = vec![0; length];
            if reader.read_exact(&mut asked).is_err() {
                continue;
            }
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // Reported before it is answered: the caller may look at once.
            if tell.send((target, String::from_utf8(asked).unwrap())).is_err() {
                return;
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (endpoint, calls)
}

fn keyring(endpoint: &str) -> Keyring {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = crate::aws::defaults()
        .endpoint_url(endpoint)
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"));
    Keyring { aws: Aws::with(runtime.block_on(config.load())), fetched: Mutex::default() }
}

#[test]
fn a_parameter_is_decrypted_and_fetched_once() {
    let (endpoint, calls) =
        server("200 OK", r#"{"Parameter":{"Name":"/k","Value":"0123456789abcdef"}}"#);
    let keyring = keyring(&endpoint);
    for _ in 0..2 {
        let found = keys(&keyring, &["ssm:/k"]).unwrap();
        assert_eq!(found.get(&"ssm:/k".parse().unwrap()), Some(&b"0123456789abcdef"[..]));
    }
    let calls: Vec<Call> = calls.try_iter().collect();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].0, "AmazonSSM.GetParameter");
    assert!(calls[0].1.contains(r#""Name":"/k""#), "{calls:?}");
    assert!(calls[0].1.contains(r#""WithDecryption":true"#), "{calls:?}");
}

#[test]
fn a_secret_may_be_text_or_bytes() {
    for (body, key) in [
        (r#"{"Name":"k","SecretString":"0123456789abcdef"}"#, &b"0123456789abcdef"[..]),
        (
            r#"{"Name":"k","SecretBinary":"AAECAwQFBgcICQoLDA0ODw=="}"#,
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        ),
    ] {
        let (endpoint, calls) = server("200 OK", body);
        let found = keys(&keyring(&endpoint), &["secretsmanager:k"]).unwrap();
        assert_eq!(found.get(&"secretsmanager:k".parse().unwrap()), Some(key));
        assert_eq!(calls.try_iter().next().unwrap().0, "secretsmanager.GetSecretValue");
    }
}

#[test]
fn a_refusal_of_aws_is_reported_and_tried_again() {
    let (endpoint, calls) = server(
        "400 Bad Request",
        r#"{"__type":"AccessDeniedException","message":"0123456789abcdef"}"#,
    );
    let keyring = keyring(&endpoint);
    for _ in 0..2 {
        let error = keys(&keyring, &["ssm:/k"]).unwrap_err().to_string();
        assert!(error.contains("ssm:/k") && error.contains("AccessDeniedException"), "{error}");
        assert!(!error.contains("0123456789abcdef"), "{error}");
    }
    assert_eq!(calls.try_iter().count(), 2);
}

/// The SDK's own errors print whole answers.
#[test]
fn an_answer_that_can_not_be_read_is_not_repeated() {
    for (status, body, told) in [
        ("200 OK", r#"{"Parameter":{"Value":"0123456789abcdef""#, "with status 200"),
        ("200 OK", r#"{"Parameter":{"Value":["0123456789abcdef"]}}"#, "with status 200"),
        ("200 OK", r#"{"Other":"0123456789abcdef"}"#, "has no value"),
        ("418 Teapot", r#"{"value":"0123456789abcdef"}"#, "with status 418"),
        ("418 Teapot", "0123456789abcdef", "with status 418"),
    ] {
        let (endpoint, _calls) = server(status, body);
        let error = keys(&keyring(&endpoint), &["ssm:/k"]).unwrap_err();
        let printed = format!("{error} {error:?}");
        assert!(printed.contains(told) && printed.contains("ssm:/k"), "{body}: {printed}");
        assert!(!printed.contains("0123456789abcdef"), "{printed}");
    }
}

#[test]
fn an_unreachable_server_is_reported_in_time() {
    // The port is free again: no server listens there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let left = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = keys(&keyring(&left), &["secretsmanager:k"]).unwrap_err().to_string();
    assert!(error.contains("secretsmanager:k") && error.contains("not answered"), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let begun = std::time::Instant::now();
    let error = keys(&keyring(&endpoint), &["ssm:/k"]).unwrap_err().to_string();
    assert!(error.contains("not answered in time"), "{error}");
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

#[test]
fn simultaneous_requests_share_one_call() {
    let (endpoint, calls) = server("200 OK", r#"{"Parameter":{"Value":"0123456789abcdef"}}"#);
    let keyring = keyring(&endpoint);
    let references = BTreeSet::from(["ssm:/k".parse().unwrap()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (one, other) = tokio::join!(keyring.keys(&references), keyring.keys(&references));
        assert!(one.is_ok() && other.is_ok());
    });
    assert_eq!(calls.try_iter().count(), 1);
}

#[test]
fn a_short_key_is_refused() {
    let (endpoint, _calls) = server("200 OK", r#"{"Parameter":{"Value":"tooshort"}}"#);
    let error = keys(&keyring(&endpoint), &["ssm:/k"]).unwrap_err().to_string();
    assert!(error.contains("shorter than 16 bytes") && !error.contains("tooshort"), "{error}");
}
