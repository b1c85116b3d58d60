//! An event for several tables, the first of which others are committing to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lakeward::config::{self, Overrides};
use lakeward::deadline::Deadline;
use lakeward::handler::App;
use lakeward::intake::Intake;
use lakeward::store::Lake;
use lakeward::store::clock::Clock;
use lakeward::store::files::Call;
use serde_json::json;

use crate::support::lambda_events::{event, kinesis_record};
use crate::support::store::{Hook, HookedFiles, Memory};

const AT: &str = "memory:/lake";
const CONFIG: &str = r#"
version = 1
[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "t.{kind}"
"#;

fn intake(lake: Lake) -> Intake {
    Intake::new(App::on(config::check(CONFIG, &Overrides::default()).config.unwrap(), lake, None))
}

/// The first swap of the first table is slow, and another process is faster.
struct Rival {
    other: Intake,
    is_armed: AtomicBool,
}

impl std::fmt::Debug for Rival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rival")
    }
}

impl Hook for Rival {
    fn around<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        location: &str,
        call: Call<'a, T>,
    ) -> Call<'a, T> {
        let is_swap = name == "create" && location.contains("/t/aa/metadata/v");
        if !is_swap || !self.is_armed.swap(false, Ordering::Relaxed) {
            return call;
        }
        Box::pin(async move {
            let rival = event([kinesis_record(50, &json!({"kind": "aa"}))]).to_string();
            self.other.handle(rival.as_bytes(), &Deadline::none()).await.answer.unwrap();
            tokio::time::sleep(Duration::from_secs(35)).await;
            call.await
        })
    }
}

/// Each table that is still to do in the second half of the time takes one write.
#[tokio::test(start_paused = true)]
async fn tables_behind_a_contended_one_are_durable_in_the_same_invocation() {
    let memory = Arc::new(Memory::default());
    let open =
        || Lake::with(Arc::clone(&memory) as _, AT.to_owned(), "test".to_owned(), Clock::system());
    let kinds = ["aa", "bb", "cc"];
    let records = |from: u32| {
        let of = |(n, kind)| kinesis_record(from + n, &json!({"kind": kind}));
        event((0..).zip(kinds).map(of)).to_string()
    };
    let first = intake(open());
    first.handle(records(0).as_bytes(), &Deadline::none()).await.answer.unwrap();
    let rival = Rival { other: intake(open()), is_armed: AtomicBool::new(true) };
    let files = Arc::new(HookedFiles { memory: Arc::clone(&memory), hook: rival });
    let lake = Lake::with(files, AT.to_owned(), "test".to_owned(), Clock::system());
    let function = intake(lake.removing(Arc::clone(&memory) as _));
    let deadline = Deadline::after(Duration::from_secs(60));
    let done = function.handle(records(10).as_bytes(), &deadline).await;
    assert_eq!(done.answer.unwrap(), r#"{"batchItemFailures":[]}"#);
    for kind in kinds {
        let folder = format!("{AT}/t/{kind}/metadata/pending/");
        assert_eq!(memory.sizes(&folder).len(), 1, "{kind}");
    }
}
