//! Tests of the block that `infer` prints.

use super::*;

fn inferred(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal =
        Terminal { out: &mut out, err: &mut err, program: "lakeward".to_owned(), progress: false };
    let code = run(&[path], "shop.orders", &mut terminal).unwrap();
    assert_eq!((code, String::from_utf8(err).unwrap().as_str()), (DONE, ""));
    String::from_utf8(out).unwrap()
}

#[test]
fn the_block_gives_the_evidence_for_each_type() {
    let text = r#"{"id":1,"total":19.9,"placedAt":"2026-11-23T10:00:00Z","created_at":1795428000123,"note":null}
{"id":2,"total":5,"placedAt":"2026-11-23T10:00:01Z","created_at":1795428000124,"secret":"hunter2"}
"#;
    let block = inferred("o.jsonl", text);
    assert_eq!(
        block,
        "# 2 records\n\
         [table.\"shop.orders\".columns]\n\
         created_at = \"long\"                # 2 values, whole; looks like timestamp(ms)\n\
         id = \"long\"                        # 2 values, whole\n\
         # note = \"string\"                  # only null so far\n\
         placed_at = \"timestamp(rfc3339)\"   # 2 values, all times with an offset; from `placedAt`\n\
         secret = \"string\"                  # 1 value; in 50 % of the records\n\
         total = \"decimal(12,2)\"            # 2 values, 1 fraction digit\n"
    );
    assert!(!block.contains("hunter2"));
}

#[test]
fn items_of_an_export_and_events_are_read_as_well() {
    let block =
        inferred("e.json", r#"{"Item":{"pk":{"S":"a"},"n":{"N":"1.25"},"tags":{"SS":["x"]}}}"#);
    assert!(block.contains("n = \"decimal(12,2)\""), "{block}");
    assert!(block.contains("tags = \"list<string>\""), "{block}");
    let event = r#"{"Records":[{"messageId":"m","body":"{\"a\":true}","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:r:1:q"}]}"#;
    assert!(inferred("e.json", event).contains("a = \"bool\""));
}

#[test]
fn an_event_that_unpacks_to_more_than_fits_into_memory_is_read_to_its_end() {
    let message = |n: u32| {
        let body = "{\"n\":1}\n".repeat(40_000);
        serde_json::json!({
            "messageId": format!("m{n}"),
            "body": body,
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:r:1:q",
        })
    };
    let messages: Vec<_> = (0..3).map(message).collect();
    let block = inferred("e.json", &serde_json::json!({"Records": messages}).to_string());
    assert!(block.starts_with("# 120000 records\n"), "{block}");
}
