//! Events that fill what Lambda delivers at once, each in the way that costs most.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::EVENT;
use crate::support::lambda_events::{change, fifo, kinesis_raw};

/// An event, and how many records end where.
pub struct Shape {
    pub name: &'static str,
    pub records: Vec<Value>,
    pub rows: u64,
    pub quarantined: u64,
}

impl Shape {
    /// Each record becomes a row.
    fn of(name: &'static str, records: Vec<Value>) -> Self {
        Self::holding(1, name, records)
    }

    /// Each record holds so many rows.
    fn holding(each: usize, name: &'static str, records: Vec<Value>) -> Self {
        let rows = u64::try_from(records.len() * each).unwrap();
        Self { name, records, rows, quarantined: 0 }
    }

    /// One more of each record's records is a row.
    fn with_one_row_each(self) -> Self {
        Self { rows: u64::try_from(self.records.len()).unwrap(), ..self }
    }

    fn quarantined(self) -> Self {
        Self { rows: 0, quarantined: self.rows, ..self }
    }
}

/// Records, at most `most`, until the event is full.
fn full(most: u32, record: impl Fn(u32) -> Value) -> Vec<Value> {
    let mut bytes = 16;
    let fits = |it: &Value| {
        bytes += it.to_string().len() + 1;
        bytes <= EVENT
    };
    (0..most).map(record).take_while(fits).collect()
}

/// A Kinesis record with no more around its data than Lakeward needs.
fn small(n: u32, data: &str) -> Value {
    let mut record = kinesis_raw(n, data);
    for name in ["eventVersion", "eventName", "invokeIdentityArn", "awsRegion"] {
        record.as_object_mut().unwrap().remove(name);
    }
    record
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(data).unwrap();
    packed.finish().unwrap()
}

fn gzipped(n: u32, data: &[u8]) -> Value {
    small(n, &BASE64.encode(gzip(data)))
}

/// An object of so many numbers.
fn numbers(prefix: &str, fields: usize, n: u32) -> String {
    let mut text = "{".to_owned();
    for at in 0..fields {
        write!(text, "\"{prefix}{at}\":{},", (at as u32).wrapping_mul(n + 1) % 1_000).unwrap();
    }
    text.pop();
    text + "}"
}

/// A text that does not shrink.
fn noise(length: usize, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.alphanumeric()).collect()
}

pub fn wide() -> Vec<Shape> {
    let records = |n| small(n, &BASE64.encode(numbers("", 18, n)));
    let tiny = |n: usize| json!({"L": vec![json!({"N": "1"}); n]});
    let text = |n: usize| json!({"S": "x".repeat(n)});
    let both = |n: u32, item: Value| {
        let mut record = change(n, &item);
        record["eventName"] = json!("MODIFY");
        record["dynamodb"]["OldImage"] = item;
        record
    };
    let item = |n: u32, value: Value| json!({"pk": {"S": n.to_string()}, "value": value});
    let attributes = |n: u32| {
        let mut item = json!({"pk": {"S": n.to_string()}});
        for at in 0..25_000 {
            item[format!("a{at}")] = json!({"N": "1"});
        }
        item
    };
    let message = |n: u32| fifo(n, &format!("g{n}"), &numbers(&format!("m{n}_"), 40_000, n));
    let list = |each: &str| {
        let list = vec![each; 4_500_000 / (each.len() + 1)].join(",");
        vec![small(1, &BASE64.encode(format!("{{\"all\":[{list}]}}")))]
    };
    vec![
        Shape::of("10,000 wide records", full(10_000, records)),
        Shape::of("400 KB items of one text", full(9, |n| both(n, item(n, text(400_000))))),
        Shape::of("400 KB items of one list", full(9, |n| both(n, item(n, tiny(30_000))))),
        Shape::of("400 KB items of 25,000 attributes", full(9, |n| both(n, attributes(n)))),
        Shape::of("messages of 40,000 fields each", full(2, message)),
        Shape::of("new columns in each record", {
            full(10_000, |n| small(n, &BASE64.encode(numbers(&format!("r{n}_"), 12, n))))
        }),
        Shape::of("one text of 1 MiB", {
            let text = noise(1024 * 1024, 1);
            vec![fifo(1, "g", &json!({"text": text}).to_string())]
        }),
        Shape::of("texts that are escaped twice", {
            full(7, |n| fifo(n, "g", &json!({"text": "\u{1}".repeat(120_000)}).to_string()))
        }),
        Shape::of("one list of numbers", list("1")),
        Shape::of("one list of lists", list("[1]")),
        Shape::of("one list of objects", list("{\"a\":1}")),
    ]
}

/// Packed JSON, with a text in it that keeps it from shrinking beyond what is let in.
fn dense(text: &str) -> String {
    let pad = noise(text.len() / 60, 1);
    BASE64.encode(gzip(format!("{{\"pad\":\"{pad}\",\"all\":{text}}}").as_bytes()))
}

pub fn packed() -> Vec<Shape> {
    let list = |each: &str, n: usize| dense(&format!("[{}]", vec![each; n].join(",")));
    let of = |most: u32, data: String| full(most, |n| small(n, &data));
    let text = format!("\"{}\"", "x".repeat(10_000));
    vec![
        // As many small values as one record may hold, and twice as many as an event may.
        Shape::of("packed numbers", of(2, list("1", 3_500_000))),
        Shape::of("packed lists", of(2, list("[1]", 1_200_000))),
        Shape::of("packed objects", of(2, list("{\"a\":1}", 740_000))),
        Shape::of("packed texts", of(5, list(&text, 1_600))),
        Shape::of("more than one record may hold", of(4, list("{\"a\":1}", 1_900_000)))
            .quarantined(),
    ]
}

pub fn several() -> Vec<Shape> {
    let of = |most: u32, data: String| full(most, |n| small(n, &data));
    let lines = |each: &str, n: usize| {
        let text = vec![each; n].join("\n");
        let pad = noise(text.len() / 60, 2);
        BASE64.encode(gzip(format!("{text}\n{{\"pad\":\"{pad}\"}}").as_bytes()))
    };
    vec![
        Shape::of("10,000 records of 200 fields", {
            of(10_000, BASE64.encode(gzip(numbers("field", 200, 1).as_bytes())))
        }),
        Shape::holding(100_000, "100,000 records in one", of(1, lines("{}", 99_999))),
        Shape::holding(5_001, "records in records", of(5, lines(&numbers("f", 60, 1), 5_000))),
    ]
}

pub fn deep() -> Vec<Shape> {
    let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let forest = |bytes: usize| {
        let tree = format!("{}{}", "[".repeat(100), "]".repeat(100));
        format!("{{\"a\":[{}]}}", vec![tree.as_str(); bytes / 201].join(","))
    };
    vec![
        Shape::of("records of 120 levels", {
            full(10_000, |n| small(n, &BASE64.encode(nested(120))))
        }),
        Shape::of("forests of 100 levels", full(6, |n| fifo(n, "g", &forest(1_000_000)))),
        Shape::of("too deep", full(10_000, |n| small(n, &BASE64.encode(nested(200)))))
            .quarantined(),
        Shape::of("no base64", full(10_000, |n| small(n, "%%%"))).quarantined(),
        Shape::holding(2_000, "broken records in records", {
            let data = "{}\n".to_owned() + &vec!["{\"a\":"; 2_000].join("\n");
            full(9, |n| gzipped(n, data.as_bytes()))
        })
        .quarantined()
        .with_one_row_each(),
    ]
}
