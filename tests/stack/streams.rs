//! DynamoDB and Kinesis streams.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put,
    ScalarAttributeType, StreamSpecification, StreamViewType, TransactWriteItem,
};
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use serde_json::{Value, json};

use super::support::{Cloud, run_async, wait_for, zip};

pub const ORDERS: &str = r#"
version = 1

[[route]]
source = "arn:aws:dynamodb:*:*:table/*-orders/stream/*"
table = "shop.orders_changes"
"#;

pub const CLICKS: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/*-clicks"
table = "web.clicks"
"#;

impl Cloud {
    /// A table of items by `id`, and its stream's ARN.
    pub async fn table(&self, name: &str) -> (String, String) {
        let name = self.name(name);
        let id = AttributeDefinition::builder()
            .attribute_name("id")
            .attribute_type(ScalarAttributeType::S)
            .build();
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build();
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build();
        let table = self.dynamodb.create_table().table_name(&name);
        let table = table.attribute_definitions(id.unwrap()).key_schema(key.unwrap());
        let table = table.billing_mode(BillingMode::PayPerRequest);
        let made = table.stream_specification(stream.unwrap()).send().await.unwrap();
        let stream = made.table_description().unwrap().latest_stream_arn().unwrap().to_owned();
        (name, stream)
    }

    /// A stream, and its ARN.
    pub async fn stream(&self, name: &str, shards: i32) -> (String, String) {
        let name = self.name(name);
        let create = self.kinesis.create_stream().stream_name(&name).shard_count(shards);
        create.send().await.unwrap();
        let arn = wait_for("the stream", async || {
            let found = self.kinesis.describe_stream_summary().stream_name(&name).send().await;
            let summary = found.ok()?.stream_description_summary?;
            (summary.stream_status.as_str() == "ACTIVE").then_some(summary.stream_arn)
        })
        .await;
        (name, arn)
    }

    /// Puts records, a batch at a time, and returns their ids in the order of each shard.
    pub async fn put_records(
        &self,
        stream: &str,
        records: &[(String, Vec<u8>)],
    ) -> BTreeMap<String, Vec<String>> {
        let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for batch in records.chunks(200) {
            let entries = batch.iter().map(|(key, data)| {
                let entry = PutRecordsRequestEntry::builder().partition_key(key);
                entry.data(data.clone().into()).build().unwrap()
            });
            let put = self.kinesis.put_records().stream_name(stream);
            let put = put.set_records(Some(entries.collect())).send().await.unwrap();
            assert_eq!(put.failed_record_count(), Some(0));
            for record in put.records() {
                let shard = record.shard_id().unwrap();
                let id = format!("{shard}:{}", record.sequence_number().unwrap());
                ids.entry(shard.to_owned()).or_default().push(id);
            }
        }
        ids
    }
}

pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub fn number(value: &str) -> AttributeValue {
    AttributeValue::N(value.to_owned())
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn changes_of_a_dynamodb_table_land_with_op_key_position_and_types() {
    run_async(async {
        let cloud = Cloud::of("dynamodb").await;
        let (table, stream) = cloud.table("orders").await;
        let stack = cloud.deploy(ORDERS, &[("TableStreams", &stream)]).await;

        let put = cloud.dynamodb.put_item().table_name(&table).item("id", text("a"));
        let put = put.item("total", number("12")).item("paid", AttributeValue::Bool(false));
        let put = put.item("tags", AttributeValue::Ss(vec!["x".to_owned(), "y".to_owned()]));
        let put = put.item("photo", AttributeValue::B(Blob::new([0, 159, 255])));
        let price = "12345678901234567890123456789.123456789";
        put.item("price", number(price)).send().await.unwrap();
        let update = cloud.dynamodb.update_item().table_name(&table).key("id", text("a"));
        let update = update.update_expression("SET paid = :paid");
        update
            .expression_attribute_values(":paid", AttributeValue::Bool(true))
            .send()
            .await
            .unwrap();
        let of_transaction = |id: &str| {
            let put = Put::builder().table_name(&table).item("id", text(id));
            TransactWriteItem::builder()
                .put(put.item("total", number("1")).build().unwrap())
                .build()
        };
        let transaction = cloud.dynamodb.transact_write_items();
        let transaction = transaction.transact_items(of_transaction("b"));
        transaction.transact_items(of_transaction("c")).send().await.unwrap();
        let delete = cloud.dynamodb.delete_item().table_name(&table).key("id", text("a"));
        delete.send().await.unwrap();

        let rows = cloud.wait_for_rows("shop.orders_changes", 5).await;
        let mut of_a: Vec<_> = rows.values().filter(|it| it["id"] == "a").collect();
        of_a.sort_by_key(|it| it["_lw_position"].as_str().unwrap());
        let ops: Vec<&Value> = of_a.iter().map(|it| &it["_lw_op"]).collect();
        assert_eq!(ops, ["insert", "update", "delete"]);
        for row in &of_a {
            assert_eq!(row["_lw_key"], r#"{"id":"a"}"#);
            assert_eq!(row["_lw_position"].as_str().unwrap().len(), 60);
            assert!(row["_lw_source"].as_str().unwrap().ends_with(&format!("table/{table}")));
            assert_eq!(row["total"], 12);
            assert_eq!(row["tags"], json!(["x", "y"]));
            assert_eq!(row["photo"], "AJ//");
            let exact = ["price", "price__decimal", "price__text"]
                .iter()
                .any(|it| row.get(*it).is_some_and(|it| it.to_string().trim_matches('"') == price));
            assert!(exact, "{row:?}");
        }
        // A delete holds the item as it was.
        let paid: Vec<&Value> = of_a.iter().map(|it| &it["paid"]).collect();
        assert_eq!(paid, [false, true, true]);
        let others: BTreeSet<&str> =
            rows.values().map(|it| it["id"].as_str().unwrap()).filter(|it| *it != "a").collect();
        assert_eq!(others, BTreeSet::from(["b", "c"]));
        assert!(!stack.mappings().await.is_empty());
        cloud.expect(&["shop.orders_changes"]);
    });
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn shards_keep_their_order_and_a_poison_record_costs_only_itself() {
    run_async(async {
        let cloud = Cloud::of("kinesis").await;
        let (stream, arn) = cloud.stream("clicks", 2).await;
        let _stack = cloud.deploy(CLICKS, &[("KinesisStreams", &arn)]).await;
        let mut records: Vec<(String, Vec<u8>)> = (0..600)
            .map(|n| (format!("user-{}", n % 17), json!({"n": n}).to_string().into_bytes()))
            .collect();
        records.insert(300, ("user-3".to_owned(), b"{\"n\": 1".to_vec()));
        let sent = cloud.put_records(&stream, &records).await;
        assert_eq!(sent.len(), 2, "records went to one shard only");

        let rows = cloud.wait_for_rows("web.clicks", 600).await;
        let poison = cloud.wait_for_rows("lakeward.quarantine", 1).await;
        for (shard, ids) in sent {
            let mut landed: Vec<_> = rows
                .values()
                .chain(poison.values())
                .filter(|it| it["_lw_shard"] == shard.as_str())
                .map(|it| (it["_lw_position"].as_str().unwrap(), it["_lw_id"].as_str().unwrap()))
                .collect();
            landed.sort_unstable();
            let landed: Vec<&str> = landed.into_iter().map(|(_, id)| id).collect();
            assert_eq!(landed, ids, "order of {shard}");
        }
        let numbers: BTreeSet<u64> = rows.values().map(|it| it["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..600).collect());
        assert!(rows.values().all(|it| it["_lw_key"].as_str().unwrap().starts_with("user-")));
        let (_, poison) = poison.first_key_value().unwrap();
        assert_eq!((&poison["reason"], &poison["_lw_source"]), (&json!("no_json"), &json!(arn)));
        cloud.expect(&["web.clicks", "lakeward.quarantine"]);
    });
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn two_mappings_on_one_stream_double_nothing() {
    run_async(async {
        let cloud = Cloud::of("twice").await;
        let (stream, arn) = cloud.stream("clicks", 1).await;
        let record = |n| ("user".to_owned(), json!({"n": n}).to_string().into_bytes());
        let first = cloud.deploy(CLICKS, &[("KinesisStreams", &arn)]).await;
        let second = cloud.deploy_zip("other", zip(), CLICKS, &[("KinesisStreams", &arn)]).await;
        cloud.put_records(&stream, &(0..100).map(record).collect::<Vec<_>>()).await;
        cloud.wait_for_rows("web.clicks", 100).await;
        // Both have reported all records, and one of each landed.
        wait_for("both functions", async || {
            let mut told = (0.0, 0.0);
            for line in [first.log().await, second.log().await].concat() {
                if line.contains_key("request_id") {
                    told.0 += line["Records"].as_f64()?;
                    told.1 += line["Landed"].as_f64().unwrap_or_default();
                }
            }
            (told == (200.0, 100.0)).then_some(())
        })
        .await;
        cloud.wait_for_rows("web.clicks", 100).await;
        cloud.expect(&["web.clicks"]);
    });
}
