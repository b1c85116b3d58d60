//! Failure notices: only a text of just that form is taken for one, and no message repeats its
//! content.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use lakeward::config::{self, Overrides};
use lakeward::recovery::notice::{self, FailedBatch, Range};
use lakeward::route::{self, Route};
use lakeward::source::{Event, Unwrap};

use super::canary;

const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:*:kinesis:*:*:stream/*"
table = "web.events"

[[route]]
source = "arn:*:sqs:*:*:orders"
table = "shop.orders"
"#;

fn routes() -> &'static [Route] {
    static ROUTES: OnceLock<Vec<Route>> = OnceLock::new();
    let read = || config::check(CONFIG, &Overrides::default()).config.unwrap().routes;
    ROUTES.get_or_init(read)
}

pub fn run(data: &[u8]) {
    match FailedBatch::read(data) {
        Ok(FailedBatch::Event(_)) => {}
        Ok(FailedBatch::Range(range)) => sound(&range),
        Err(told) => {
            canary::silent(&told);
            assert!(!told.is_empty() && told.len() < 200, "it is a sentence: {told}");
        }
    }
    for place in notice::objects(data).into_iter().flatten() {
        let key = place.strip_prefix("s3://").and_then(|it| it.split_once('/')).unwrap().1;
        assert!(place.contains("/aws/lambda/"), "it is none of Lambda's: {place}");
        assert!(key.split('/').all(|it| it != ".."), "it leads elsewhere: {place}");
    }
    let Ok(event) = Event::read(data) else { return };
    let notices = notice::notices(&event, routes());
    let indices: BTreeSet<usize> = notices.iter().map(|it| it.index).collect();
    assert!(indices.len() == notices.len() && indices.iter().all(|it| *it < event.len()));
    for it in notices {
        let FailedBatch::Range(range) = it.batch else { panic!("a message holds no event") };
        sound(&range);
        let message = event.decode(&[it.index], |_| Unwrap::None).remove(0);
        assert!(message.receipt.is_some(), "it can't be reported");
        assert!(!route::of_source(routes(), &range.stream).is_empty(), "no route names it");
    }
}

fn sound(range: &Range) {
    let Range { stream, shard, first, last, .. } = range;
    assert!(["kinesis", "dynamodb"].contains(&stream.service()), "{stream}");
    for number in [first, last] {
        assert!(number.bytes().all(|it| it.is_ascii_digit()), "{number}");
    }
    for name in [first, last, shard] {
        assert!(!name.is_empty() && name.len() <= 128, "{name}");
        assert!(!name.contains(['/', ' ', '\n', '"']), "{name}");
    }
}
