//! Documents that were cut off: no part of one is taken for JSON lines, whose lines would become rows.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::read;
use crate::record::Content;

/// Returns the number of records that a message with this body has.
fn pieces(body: &str) -> usize {
    let event = json!({"Records": [{
        "messageId": "m", "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:1:q", "body": body,
    }]});
    let event = event.to_string();
    let event = read(event.as_bytes()).unwrap();
    match &event.deliveries[0].content {
        Content::Parts(parts) => parts.len(),
        Content::Deferred => panic!("deferred"),
    }
}

/// Returns an object that holds others in lists.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u8>().prop_map(Value::from),
        "[a-c\\n,{}\\[\\]]{0,4}".prop_map(Value::from),
        Just(json!({})),
        Just(json!([])),
    ];
    let inner = leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-e]", inner, 1..5)
        .prop_map(|it| Value::Object(it.into_iter().collect()))
}

/// The line breaks of a writer.
#[derive(Debug, Clone)]
struct Style {
    end: &'static str,
    comma: &'static str,
    breaks_in_objects: bool,
}

fn style() -> impl Strategy<Value = Style> {
    let end = prop::sample::select(vec!["\n", "\r\n", "\n  ", "\n\n"]);
    (end, prop::sample::select(vec![",@", "@,"]), any::<bool>())
        .prop_map(|(end, comma, breaks_in_objects)| Style { end, comma, breaks_in_objects })
}

fn print(value: &Value, style: &Style) -> String {
    let (open, items, close) = match value {
        Value::Array(items) => ("[", items.iter().map(|it| print(it, style)).collect(), "]"),
        Value::Object(members) => {
            let member = |(name, it): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), print(it, style))
            };
            ("{", members.iter().map(member).collect::<Vec<_>>(), "}")
        }
        scalar => return scalar.to_string(),
    };
    if items.is_empty() || value.is_object() && !style.breaks_in_objects {
        return format!("{open}{}{close}", items.join(", "));
    }
    let comma = style.comma.replace('@', style.end);
    format!("{open}{end}{}{end}{close}", items.join(&comma), end = style.end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_part_of_a_document_is_json_lines(
        document in document(),
        style in style(),
        from in any::<Index>(),
        to in any::<Index>(),
    ) {
        let text = print(&document, &style);
        let (from, to) = (from.index(text.len() + 1), to.index(text.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        // All of it is ASCII.
        for part in [text.get(..to), text.get(from..to), text.get(from..)].into_iter().flatten() {
            // A list is taken apart wherever it is whole; it is not lines.
            if !part.trim_start().starts_with('[') {
                prop_assert_eq!(pieces(part), 1, "{}", part);
            }
        }
    }

    #[test]
    fn a_document_that_is_cut_off_before_another_one_is_not_json_lines(
        document in document(),
        style in style(),
        to in any::<Index>(),
    ) {
        let text = print(&document, &style);
        let part = text.get(..to.index(text.len() + 1)).unwrap();
        if part.trim_end().contains('\n') {
            let two = format!("{part}\n{document}\n{text}");
            prop_assert_eq!(pieces(&two), 1, "{}", two);
        }
    }

    #[test]
    fn json_lines_are_found_whichever_line_is_damaged(
        documents in prop::collection::vec(document(), 3..6),
        damaged in any::<Index>(),
        at in any::<Index>(),
    ) {
        let mut lines: Vec<String> = documents.iter().map(Value::to_string).collect();
        let damaged = damaged.index(lines.len());
        let line = &mut lines[damaged];
        let at = at.index(line.len() - 1) + 1;
        line.truncate(at);
        // Nothing tells such a line from the first of a document over several lines.
        if damaged > 0 || !line.ends_with(['{', '[', ',', ':']) {
            prop_assert_eq!(pieces(&lines.join("\n")), lines.len(), "{:?}", lines);
        }
    }
}
