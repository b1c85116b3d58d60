//! Kinesis, DynamoDB Streams and SQS in memory, as far as recovery speaks to them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Records of a page; what has more needs several, and an empty one comes before each.
const PAGE: usize = 3;

/// A shard by stream and name.
type Place = (String, String);

#[derive(Default)]
struct Shard {
    /// Records as the API has them.
    records: Vec<Value>,
    /// Number of them that the stream no longer keeps.
    trimmed: usize,
    closed: bool,
}

#[derive(Default)]
struct State {
    shards: BTreeMap<Place, Shard>,
    /// Messages by queue, each with the number of times it was received.
    queues: BTreeMap<String, Vec<(Value, u32)>>,
    sources: BTreeMap<String, Vec<String>>,
    refuse: Option<(&'static str, &'static str, u32)>,
    /// Empty pages before each that has records, if not one, and how many of them there have been.
    sparse: Option<u32>,
    empty: u32,
}

/// The services; they end with the process.
#[derive(Clone)]
pub struct Aws {
    endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Aws {
    /// Services that hold nothing.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let aws = Self { endpoint, state: Arc::default() };
        let serving = aws.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || while serving.serve(&stream).is_some() {});
            }
        });
        aws
    }

    /// Returns the variables of a process that is to ask here.
    pub fn environment(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("AWS_ENDPOINT_URL_KINESIS", &self.endpoint),
            ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", &self.endpoint),
            ("AWS_ENDPOINT_URL_SQS", &self.endpoint),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
    }

    /// A command that asks here.
    pub fn asked_by(&self, mut command: Command) -> Command {
        command.envs(self.environment());
        command
    }

    /// Puts records, as Lambda delivers them, into a shard.
    pub fn put(&self, shard: &str, records: impl IntoIterator<Item = Value>) {
        for record in records {
            let stream = record["eventSourceARN"].as_str().unwrap().to_owned();
            let mut state = self.state.lock().unwrap();
            let shard = state.shards.entry((stream, shard.to_owned())).or_default();
            shard.records.push(as_api(&record));
        }
    }

    /// The oldest records of a shard are no longer kept.
    pub fn trim(&self, stream: &str, shard: &str, records: usize) {
        self.shard(stream, shard, |it| it.trimmed = records);
    }

    /// A shard gets no more records.
    pub fn close(&self, stream: &str, shard: &str) {
        self.shard(stream, shard, |it| it.closed = true);
    }

    fn shard(&self, stream: &str, shard: &str, change: impl FnOnce(&mut Shard)) {
        let place = (stream.to_owned(), shard.to_owned());
        change(self.state.lock().unwrap().shards.get_mut(&place).unwrap());
    }

    /// The next calls of an action are answered with an error.
    pub fn refuse(&self, action: &'static str, code: &'static str, times: u32) {
        self.state.lock().unwrap().refuse = Some((action, code, times));
    }

    /// So many empty pages come before each that has records.
    pub fn sparse(&self, empty: u32) {
        self.state.lock().unwrap().sparse = Some(empty);
    }

    /// A dead-letter queue of other queues, with messages as Lambda would deliver them.
    pub fn queue(&self, name: &str, sources: &[&str], messages: impl IntoIterator<Item = Value>) {
        let mut state = self.state.lock().unwrap();
        let sources = sources.iter().map(|it| (*it).to_owned()).collect();
        state.sources.insert(name.to_owned(), sources);
        let messages = messages.into_iter().map(|it| (it, 0)).collect();
        state.queues.insert(name.to_owned(), messages);
    }

    /// Ids of the messages in a queue.
    pub fn left(&self, queue: &str) -> Vec<String> {
        let mut state = self.state.lock().unwrap();
        let messages = state.queues.get_mut(queue).unwrap();
        messages.iter_mut().for_each(|(_, received)| *received = 0);
        messages.iter().map(|(it, _)| it["messageId"].as_str().unwrap().to_owned()).collect()
    }

    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (mut length, mut target, mut region) = (0, String::new(), String::new());
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|it| *it > 0)?;
        loop {
            line.clear();
            reader.read_line(&mut line).ok().filter(|it| *it > 0)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "x-amz-target" => value.trim().clone_into(&mut target),
                // Credential=KEY/DAY/REGION/SERVICE/aws4_request
                "authorization" => value.split('/').nth(2)?.clone_into(&mut region),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        let (service, action) = target.split_once('.')?;
        let answered = self.state.lock().unwrap().answer(service, action, &body);
        // A region knows of no stream of another.
        let named = ["StreamARN", "StreamArn"].into_iter().find_map(|it| body[it].as_str());
        let elsewhere = named.is_some_and(|it| it.split(':').nth(3) != Some(region.as_str()));
        let answered = if elsewhere { Err("ResourceNotFoundException") } else { answered };
        let (status, body) = match answered {
            Ok(body) => (200, body),
            Err(code) => (400, json!({"__type": code, "message": "it is so"})),
        };
        let body = body.to_string();
        write!(
            stream,
            "HTTP/1.1 {status} x\r\nContent-Type: application/x-amz-json-1.1\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()
    }
}

impl State {
    fn answer(&mut self, service: &str, action: &str, body: &Value) -> Result<Value, &'static str> {
        if let Some((refused, code, times)) = &mut self.refuse
            && *refused == action
            && *times > 0
        {
            *times -= 1;
            return Err(code);
        }
        let kinesis = service.starts_with("Kinesis");
        match action {
            "ListShards" => {
                let stream = body["StreamARN"].as_str().unwrap();
                Ok(json!({"Shards": self.shards_of(stream, kinesis)?}))
            }
            "DescribeStream" => {
                let shards = self.shards_of(body["StreamArn"].as_str().unwrap(), kinesis)?;
                Ok(json!({"StreamDescription": {"Shards": shards}}))
            }
            "GetShardIterator" => self.iterator(body, kinesis),
            "GetRecords" => self.records(body, kinesis),
            _ => self.of_queues(action, body),
        }
    }

    fn shards_of(&self, stream: &str, kinesis: bool) -> Result<Vec<Value>, &'static str> {
        let of_stream = self.shards.iter().filter(|((it, _), _)| it == stream);
        let shards: Vec<Value> =
            of_stream.map(|((_, name), shard)| shard_of_api(name, shard, kinesis)).collect();
        if shards.is_empty() { Err("ResourceNotFoundException") } else { Ok(shards) }
    }

    fn iterator(&self, body: &Value, kinesis: bool) -> Result<Value, &'static str> {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let stream = text(if kinesis { "StreamARN" } else { "StreamArn" });
        let name = text("ShardId");
        let place = (stream.clone(), name.clone());
        let shard = self.shards.get(&place).ok_or("ResourceNotFoundException")?;
        let wanted = text(if kinesis { "StartingSequenceNumber" } else { "SequenceNumber" });
        let number = |it: &&Value| number(it, kinesis) == wanted;
        let found = shard.records.iter().position(|it| number(&it));
        let at = match text("ShardIteratorType").as_str() {
            "TRIM_HORIZON" => shard.trimmed,
            "AT_SEQUENCE_NUMBER" => found.ok_or("InvalidArgumentException")?,
            "AFTER_SEQUENCE_NUMBER" => found.ok_or("InvalidArgumentException")? + 1,
            other => panic!("{other}"),
        };
        // Kinesis begins with what it has, DynamoDB says so.
        if at < shard.trimmed && !kinesis {
            return Err("TrimmedDataAccessException");
        }
        Ok(json!({"ShardIterator": format!("{stream}|{name}|{}", at.max(shard.trimmed))}))
    }

    #[expect(clippy::unwrap_in_result, reason = "a wrong question is a broken test")]
    fn records(&mut self, body: &Value, kinesis: bool) -> Result<Value, &'static str> {
        let iterator = body["ShardIterator"].as_str().unwrap();
        let parts: Vec<&str> = iterator.split('|').collect();
        let at: usize = parts[2].parse().unwrap();
        let place = (parts[0].to_owned(), parts[1].to_owned());
        let shard = self.shards.get(&place).ok_or("ResourceNotFoundException")?;
        let full = self.empty >= self.sparse.unwrap_or(1);
        self.empty = if full { 0 } else { self.empty + 1 };
        let page = if full { PAGE } else { 0 };
        let page: Vec<&Value> = shard.records.iter().skip(at).take(page).collect();
        let next = at + page.len();
        let behind = shard.records.len() - next;
        let mut answer = json!({"Records": page});
        if behind > 0 || !shard.closed {
            answer["NextShardIterator"] = json!(format!("{}|{}|{next}", parts[0], parts[1]));
        }
        if kinesis {
            answer["MillisBehindLatest"] = json!(behind * 1000);
        }
        Ok(answer)
    }

    #[expect(clippy::unwrap_in_result, reason = "a wrong question is a broken test")]
    fn of_queues(&mut self, action: &str, body: &Value) -> Result<Value, &'static str> {
        const URL: &str = "http://sqs.eu-west-1.localhost/123456789012/";
        const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:";
        if action == "GetQueueUrl" {
            let name = body["QueueName"].as_str().unwrap();
            self.queues.get(name).ok_or("AWS.SimpleQueueService.NonExistentQueue")?;
            return Ok(json!({"QueueUrl": format!("{URL}{name}")}));
        }
        let name = body["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap();
        let queue = self.queues.get_mut(name).ok_or("AWS.SimpleQueueService.NonExistentQueue")?;
        Ok(match action {
            "GetQueueAttributes" => json!({"Attributes": {"QueueArn": format!("{ARN}{name}")}}),
            "ListDeadLetterSourceQueues" => {
                let urls = self.sources[name].iter().map(|it| format!("{URL}{it}"));
                json!({"queueUrls": urls.collect::<Vec<_>>()})
            }
            "ReceiveMessage" => {
                let most = usize::try_from(body["MaxNumberOfMessages"].as_u64().unwrap()).unwrap();
                let visible = queue.iter_mut().filter(|(_, received)| *received == 0).take(most);
                let messages = visible.map(|(message, received)| {
                    *received += 1;
                    message_of_api(message)
                });
                json!({"Messages": messages.collect::<Vec<_>>()})
            }
            "DeleteMessageBatch" => {
                let handle = |it: &Value| it["ReceiptHandle"].as_str().unwrap().to_owned();
                let done: Vec<String> =
                    body["Entries"].as_array().unwrap().iter().map(handle).collect();
                queue.retain(|(it, _)| {
                    !done.contains(&it["messageId"].as_str().unwrap().to_owned())
                });
                json!({"Successful": [], "Failed": []})
            }
            "ChangeMessageVisibility" => {
                let handle = body["ReceiptHandle"].as_str().unwrap();
                let message = queue.iter_mut().find(|(it, _)| it["messageId"] == handle);
                message.unwrap().1 = 0;
                json!({})
            }
            other => panic!("{other}"),
        })
    }
}

fn shard_of_api(name: &str, shard: &Shard, kinesis: bool) -> Value {
    let first = shard.records.first().map_or("0", |it| number(it, kinesis));
    json!({
        "ShardId": name,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
        "SequenceNumberRange": {"StartingSequenceNumber": first},
    })
}

fn message_of_api(message: &Value) -> Value {
    json!({
        "MessageId": message["messageId"],
        "ReceiptHandle": message["messageId"],
        "Body": message["body"],
        "MD5OfBody": message["md5OfBody"],
        "Attributes": message["attributes"],
    })
}

fn number(record: &Value, kinesis: bool) -> &str {
    let place = if kinesis { "/SequenceNumber" } else { "/dynamodb/SequenceNumber" };
    record.pointer(place).and_then(Value::as_str).unwrap()
}

/// A record as the API has it, which for tables is nearly what Lambda delivers.
fn as_api(record: &Value) -> Value {
    let Some(kinesis) = record.get("kinesis") else {
        let mut record = record.clone();
        let members = record.as_object_mut().unwrap();
        members.remove("eventSourceARN");
        if let Some(identity) = members.get_mut("userIdentity") {
            *identity = json!({"PrincipalId": identity["principalId"], "Type": identity["type"]});
        }
        return record;
    };
    json!({
        "SequenceNumber": kinesis["sequenceNumber"],
        "ApproximateArrivalTimestamp": kinesis["approximateArrivalTimestamp"],
        "Data": kinesis["data"],
        "PartitionKey": kinesis["partitionKey"],
    })
}
