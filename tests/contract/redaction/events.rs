//! Records of all sources with canaries in every place that a step can reach, and in some that
//! none does.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::support::lambda_events::{change, event, fifo, kinesis_raw, kinesis_record};

/// The routes. `KEY` stands for where the key of `hash` is.
pub const CONFIG: &str = r#"
version = 1

[lake]
location = "./lake"

[[route]]
source = "arn:aws:kinesis:*:*:stream/people"
table = "crm.people"
event_at = "seen"
transform = [
  { filter = { show = "yes" } },
  { require = ["id"] },
  { drop = ["ssn", "pin", "payment.card", "items[].serial", "grid[][].x", "words[]", '"dot.ted"'] },
  { hash = ["email", "phone", "contact.phone", "aliases[]", "address"], key = "KEY" },
  { rename = { nick = "nickname", "profile.given" = "name" } },
  { keep = ["id", "email", "phone", "contact", "payment", "items", "grid", "words", "aliases",
            "address", "nickname", "profile.name", "orders[].note", "declared", "nested", "seen"] },
]

[[route]]
source = "arn:aws:dynamodb:*:*:table/people/stream/*"
table = "crm.people_changes"
transform = [
  { drop = ["secret", "vault.code", "cards", "blob", "list[].code"] },
  { hash = ["pk", "phones[]", "codes"], key = "KEY" },
  { keep = ["note", "vault", "phones", "codes", "list", "map.kept"] },
]

[[route]]
source = "arn:aws:kinesis:*:*:stream/moves"
table = "crm.moves"
transform = [
  { hash = ["pk", "envelope.tableName"], key = "KEY" },
  { drop = ["secret"] },
  { rename = { "envelope.eventName" = "what", "envelope.tableName" = "of" } },
]

[[route]]
source = "arn:aws:sqs:*:*:mail.fifo"
unwrap = "auto"
table = "crm.mail_{kind}"
id = "message"
transform = [
  { hash = ["message", "attributes.tenant", "envelope.Subject"], key = "KEY" },
  { drop = ["text", "attributes.trace"] },
  { rename = { "attributes.region" = "region" } },
]

[[route]]
source = "arn:aws:sqs:*:*:noise.fifo"
drop = true

[table."crm.people".columns]
declared = "long"

[table."crm.people_changes"]
old_image = "json"

[table."crm.mail_{kind}".columns]
"attributes.tenant" = "string"
"attributes.trace"  = "string"
"envelope.Subject"  = "string"
"envelope.TopicArn" = "string"
"#;

/// Texts that each occur in one place, and what must become of them.
#[derive(Debug, Default)]
pub struct Canaries {
    all: RefCell<Vec<(Fate, String)>>,
}

/// Where a canary may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nowhere outside quarantine.
    Hidden,
    /// In the lake: it shows that the search finds what is there.
    Shown,
    /// In quarantine, and nowhere else.
    Rejected,
}

impl Canaries {
    fn text(&self, fate: Fate, place: &str) -> String {
        let text = format!("canary-{fate:?}-{place}-91c7e5");
        let new = (fate, text.clone());
        assert!(!self.all.borrow().contains(&new), "{text} is in two places");
        self.all.borrow_mut().push(new);
        text
    }

    fn hidden(&self, place: &str) -> String {
        self.text(Fate::Hidden, place)
    }

    fn shown(&self, place: &str) -> String {
        self.text(Fate::Shown, place)
    }

    fn rejected(&self, place: &str) -> String {
        self.text(Fate::Rejected, place)
    }

    /// The canaries of a fate.
    pub fn of(&self, fate: Fate) -> Vec<String> {
        let all = self.all.borrow();
        all.iter().filter(|it| it.0 == fate).map(|it| it.1.clone()).collect()
    }
}

/// A number that a route drops, and one that it hashes.
pub const HIDDEN_NUMBERS: [i64; 2] = [7_310_552_908_137_441, 7_310_552_908_137_449];
/// A number that lands.
pub const SHOWN_NUMBER: i64 = 7_310_552_908_137_443;

/// All events, and the canaries in them.
pub fn all() -> (Vec<Value>, Canaries) {
    let it = Canaries::default();
    let events = vec![people(&it), changes(&it), moves(&it), mail(&it), noise(&it)];
    (events, it)
}

fn from(mut record: Value, arn: &str) -> Value {
    record["eventSourceARN"] = json!(format!("arn:aws:{arn}"));
    record
}

fn people(it: &Canaries) -> Value {
    let mut person = json!({
        "id": it.shown("column"),
        "show": "yes",
        "seen": "2026-11-23T09:00:00Z",
        "ssn": it.hidden("dropped"),
        "pin": HIDDEN_NUMBERS[0],
        "email": it.hidden("hashed"),
        "phone": HIDDEN_NUMBERS[1],
        "account": it.hidden("not-kept"),
        "dot.ted": it.hidden("dropped-quoted"),
        "payment": {"card": it.hidden("dropped-nested"), "brand": it.shown("beside-dropped")},
        "contact": {"phone": it.hidden("hashed-nested")},
        "items": [{"serial": it.hidden("dropped-in-a-list"), "n": SHOWN_NUMBER}],
        "grid": [[{"x": it.hidden("dropped-in-lists"), "y": 1}]],
        "words": [it.hidden("dropped-item")],
        "aliases": [it.hidden("hashed-item"), {"deep": it.hidden("hashed-map-in-a-list")}],
        "address": {"street": it.hidden("hashed-map")},
        "nick": it.shown("renamed"),
        "profile": {"given": it.shown("kept-nested"), "family": it.hidden("not-kept-nested")},
        "orders": [{"note": it.shown("kept-in-a-list"), "total": it.hidden("not-kept-in-a-list")}],
        "declared": it.shown("extra"),
        "nested": {"list": [it.shown("nested")]},
    });
    // The name of a field may say as much as its value.
    person[it.hidden("name-of-a-field")] = json!(1);
    let mut first = kinesis_record(1, &person);
    first["kinesis"]["partitionKey"] = json!(it.shown("partition-key"));
    let filtered = json!({"id": 1, "show": "no", "nested": it.hidden("filtered")});
    let incomplete = json!({"show": "yes", "ssn": it.rejected("missing-field")});
    let taken = json!({"id": 2, "show": "yes", "nick": it.rejected("taken"), "nickname": "x"});
    let records = [
        first,
        kinesis_record(2, &filtered),
        kinesis_record(3, &incomplete),
        kinesis_record(4, &taken),
        kinesis_raw(5, &it.rejected("no-base64")),
    ];
    event(records.map(|record| from(record, "kinesis:eu-west-1:123456789012:stream/people")))
}

/// An item as DynamoDB writes it.
fn item(it: &Canaries, image: &str, key: &str) -> Value {
    let hidden = |place: &str| it.hidden(&format!("{image}-{place}"));
    let shown = |place: &str| it.shown(&format!("{image}-{place}"));
    json!({
        "pk": {"S": key},
        "secret": {"S": hidden("dropped")},
        "extra": {"S": hidden("not-kept")},
        "note": {"S": shown("column")},
        "vault": {"M": {"code": {"S": hidden("dropped-nested")}, "size": {"N": "5"}}},
        "cards": {"SS": [hidden("dropped-set")]},
        "blob": {"B": super::base64(&hidden("dropped-binary"))},
        "phones": {"SS": [hidden("hashed-element"), hidden("other-hashed-element")]},
        "codes": {"BS": [super::base64(&hidden("hashed-set"))]},
        "list": {"L": [{"M": {"code": {"S": hidden("dropped-in-a-list")}}}]},
        "map": {"M": {"kept": {"S": shown("nested")}, "other": {"S": hidden("not-kept-nested")}}},
    })
}

fn changes(it: &Canaries) -> Value {
    let key = it.hidden("key");
    let mut insert = change(1, &item(it, "new", &key));
    insert["dynamodb"]["Keys"] = json!({"pk": {"S": key}});
    let mut update = change(2, &item(it, "next", &key));
    update["eventName"] = json!("MODIFY");
    update["dynamodb"]["OldImage"] = item(it, "old", &key);
    let mut delete = change(3, &item(it, "deleted", &key));
    delete["eventName"] = json!("REMOVE");
    let last = delete["dynamodb"].as_object_mut().unwrap().remove("NewImage").unwrap();
    delete["dynamodb"]["OldImage"] = last;
    let mut alone = change(4, &json!({"pk": {"S": it.hidden("key-alone")}}));
    alone["eventName"] = json!("REMOVE");
    alone["dynamodb"].as_object_mut().unwrap().remove("NewImage");
    let bad = change(5, &json!({"pk": {"S": "x"}, "n": {"N": it.rejected("no-number")}}));
    let arn = "dynamodb:eu-west-1:123456789012:table/people/stream/2026-03-02T09:14:27.512";
    event([insert, update, delete, alone, bad].map(|record| from(record, arn)))
}

fn moves(it: &Canaries) -> Value {
    let mut moved = change(
        6,
        &json!({
            "pk": {"S": it.hidden("moved-key")},
            "secret": {"S": it.hidden("moved-dropped")},
            "note": {"S": it.shown("moved")},
        }),
    );
    moved["dynamodb"]["ApproximateCreationDateTime"] = json!(1_795_428_006_000_i64);
    moved["dynamodb"].as_object_mut().unwrap().remove("SequenceNumber");
    moved["recordFormat"] = json!("application/json");
    moved["tableName"] = json!("people");
    moved["userIdentity"] = json!({"principalId": it.hidden("envelope-of-a-change")});
    moved.as_object_mut().unwrap().remove("eventSourceARN");
    let record = kinesis_record(6, &moved);
    event([from(record, "kinesis:eu-west-1:123456789012:stream/moves")])
}

fn mail(it: &Canaries) -> Value {
    let letter = json!({
        "kind": "letter",
        "message": it.hidden("id"),
        "text": it.hidden("body-dropped"),
        "to": it.shown("body"),
    });
    let notification = json!({
        "Type": "Notification",
        "MessageId": "0b1f2b0a-7f0e-5c0a-9a0e-1f0e5c0a9a0e",
        "Timestamp": "2026-11-23T10:00:00.000Z",
        "TopicArn": format!("arn:aws:sns:eu-west-1:123456789012:{}", it.shown("envelope")),
        "Subject": it.hidden("envelope-hashed"),
        "Signature": it.hidden("envelope-undeclared"),
        "Message": letter.to_string(),
        "MessageAttributes": {
            "tenant": {"Type": "String", "Value": it.hidden("attribute-hashed")},
            "trace": {"Type": "String", "Value": it.hidden("attribute-dropped")},
            "other": {"Type": "String", "Value": it.hidden("attribute-undeclared")},
            "region": {"Type": "String", "Value": it.shown("attribute-renamed")},
        },
    });
    let reused =
        json!({"kind": "letter", "message": letter["message"], "to": it.rejected("reused")});
    let nameless = json!({"kind": "letter", "to": it.rejected("no-id")});
    let homeless = json!({"message": it.rejected("no-table")});
    // Without a topic it can't be opened, and no step finds what is in it.
    let inner = json!({"kind": "letter", "message": "m", "text": it.rejected("closed-envelope")});
    let closed = json!({"kind": "letter", "Type": "Notification", "Message": inner.to_string()});
    let records = [
        fifo(1, &it.shown("message-group"), &notification.to_string()),
        fifo(2, "group", &reused.to_string()),
        fifo(3, "group", &nameless.to_string()),
        fifo(4, "group", &homeless.to_string()),
        fifo(5, "group", &format!("{{\"kind\": {}", it.rejected("no-json"))),
        fifo(7, "group", &closed.to_string()),
    ];
    event(records.map(|record| from(record, "sqs:eu-west-1:123456789012:mail.fifo")))
}

fn noise(it: &Canaries) -> Value {
    let record = fifo(6, "group", &json!({"text": it.hidden("route-that-drops")}).to_string());
    event([from(record, "sqs:eu-west-1:123456789012:noise.fifo")])
}
