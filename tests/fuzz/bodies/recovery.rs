//! What tells of batches that Lambda has given up: only what looks just like it does, and no text for
//! people repeats what it says.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use lakeward::config::{self, Overrides};
use lakeward::recovery::given::{self, Given, Range};
use lakeward::route::{self, Route};

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
    match Given::read(data) {
        Ok(Given::Event(_)) => {}
        Ok(Given::Range(range)) => sound(&range),
        Err(told) => {
            canary::silent(&told);
            assert!(!told.is_empty() && told.len() < 200, "it is a sentence: {told}");
        }
    }
    for place in given::objects(data).into_iter().flatten() {
        let key = place.strip_prefix("s3://").and_then(|it| it.split_once('/')).unwrap().1;
        assert!(place.contains("/aws/lambda/"), "it is none of Lambda's: {place}");
        assert!(key.split('/').all(|it| it != ".."), "it leads elsewhere: {place}");
    }
    let Some((told, others)) = given::told(data, routes()) else { return };
    let places = told.iter().map(|it| it.place).chain(others.iter().map(|it| it.place));
    let places: BTreeSet<usize> = places.collect();
    let count = told.len() + others.len();
    assert!(!told.is_empty() && places == (0..count).collect(), "each message is there once");
    for it in told {
        let Given::Range(range) = it.given else { panic!("a message holds no event") };
        sound(&range);
        assert!(!it.id.is_empty(), "it can't be reported");
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
