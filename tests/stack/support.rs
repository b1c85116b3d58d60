//! LocalStack, and stacks of the template in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_cloudformation::types::{Capability, Parameter, StackStatus};
use aws_sdk_s3::config::Credentials;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::compare::Object;
use crate::support::process::{by_id, lakeward, printed, run};

/// Where configs, zips and lakes of all tests are.
const BUCKET: &str = "lakeward-tests";
/// Time after which a test calls something stuck; nothing is measured by it.
const STUCK: Duration = Duration::from_secs(120);

/// Time after which a test lands pending rows itself.
const SWEEP_AFTER: Duration = Duration::from_secs(8);

/// The address of LocalStack, as `localstack/up` prints it.
pub fn endpoint() -> String {
    std::env::var("AWS_ENDPOINT_URL").unwrap_or_else(|_| "http://127.0.0.1:4566".to_owned())
}

/// The zip that `deploy/package` makes.
pub fn zip() -> Vec<u8> {
    let path = repository().join("target/lambda/lakeward/bootstrap.zip");
    fs::read(&path).unwrap_or_else(|_| panic!("no {}: make it with deploy/package", path.display()))
}

/// Leaves a file for who comes after the tests.
pub fn leave(name: &str, text: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("stack");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a test's future.
pub fn run_async<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Waits until `found` has something.
pub async fn wait_for<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(began.elapsed() < STUCK, "gave up waiting for {what}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// LocalStack, for one test: its names end with one of its own.
pub struct Cloud {
    pub s3: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub kinesis: aws_sdk_kinesis::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    stacks: aws_sdk_cloudformation::Client,
    test: &'static str,
    unique: String,
    lake: RefCell<String>,
}

impl Cloud {
    /// Fails where LocalStack is not up.
    pub async fn of(test: &'static str) -> Self {
        let endpoint = endpoint();
        let address = endpoint.trim_start_matches("http://");
        let up = std::net::TcpStream::connect(address);
        assert!(up.is_ok(), "no LocalStack at {endpoint}: start it with localstack/up");
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(endpoint)
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await;
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let unique: String = Uuid::new_v4().simple().to_string().chars().take(6).collect();
        let cloud = Self {
            lake: RefCell::new(format!("s3://{BUCKET}/{test}-{unique}/lake")),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::new(&config),
            kinesis: aws_sdk_kinesis::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            stacks: aws_sdk_cloudformation::Client::new(&config),
            test,
            unique,
        };
        // Who comes second finds it made.
        drop(
            cloud
                .s3
                .create_bucket()
                .bucket(BUCKET)
                .create_bucket_configuration(
                    aws_sdk_s3::types::CreateBucketConfiguration::builder()
                        .location_constraint("eu-west-1".into())
                        .build(),
                )
                .send()
                .await,
        );
        cloud
    }

    /// A name that no other test has.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{}-{name}", self.test, self.unique)
    }

    /// Where something of this machine must listen for functions to reach it, and its name for them.
    /// In containers it has another one.
    pub fn this_machine() -> (&'static str, String) {
        match std::env::var("LAKEWARD_STACK_HOST") {
            Ok(name) => ("0.0.0.0:0", name),
            Err(_) => ("127.0.0.1:0", "127.0.0.1".to_owned()),
        }
    }

    async fn put(&self, key: &str, body: Vec<u8>) {
        self.s3.put_object().bucket(BUCKET).key(key).body(body.into()).send().await.unwrap();
    }

    /// Deploys the template with the zip that `deploy/package` made.
    pub async fn deploy(&self, config: &str, parameters: &[(&str, &str)]) -> Stack<'_> {
        self.deploy_zip("stack", zip(), config, parameters).await
    }

    /// Deploys the template with another zip, or under another name.
    pub async fn deploy_zip(
        &self,
        name: &str,
        zip: Vec<u8>,
        config: &str,
        parameters: &[(&str, &str)],
    ) -> Stack<'_> {
        let toml = format!("{}/lakeward.toml", self.name(name));
        self.put(&toml, config.as_bytes().to_vec()).await;
        let prefix = self.lake_prefix();
        let mut all = BTreeMap::from([
            ("ConfigBucket", BUCKET),
            ("ConfigKey", &toml),
            ("LakeBucket", BUCKET),
            ("LakePrefix", &prefix),
            ("Freshness", "1"),
        ]);
        all.extend(parameters.iter().copied());
        self.create(&self.name(name), zip, &all).await
    }

    /// Deploys the template as it comes: with its samples, a lake of its own and the zip's config.
    pub async fn deploy_samples(&self) -> Stack<'_> {
        let name = self.name("samples");
        let parameters = BTreeMap::from([("Samples", "true"), ("Freshness", "1")]);
        let stack = self.create(&name, zip(), &parameters).await;
        self.lake.replace(stack.outputs["LakeLocation"].clone());
        stack
    }

    async fn create(
        &self,
        name: &str,
        zip: Vec<u8>,
        parameters: &BTreeMap<&str, &str>,
    ) -> Stack<'_> {
        let code = format!("{name}/bootstrap.zip");
        self.put(&code, zip).await;
        let template = fs::read_to_string(repository().join("deploy/template.yaml")).unwrap();
        // What `aws cloudformation package` does: upload the zip, and say where it is.
        let local = "CodeUri: ../target/lambda/lakeward/bootstrap.zip";
        assert!(template.contains(local), "the template does not say {local}");
        let template = template.replace(local, &format!("CodeUri: s3://{BUCKET}/{code}"));
        let mut all = BTreeMap::from([("Architecture", "x86_64")]);
        all.extend(parameters);
        let parameter = |(key, value): (&&str, &&str)| {
            Parameter::builder().parameter_key(*key).parameter_value(*value).build()
        };
        self.stacks
            .create_stack()
            .stack_name(name)
            .template_body(template)
            .capabilities(Capability::CapabilityIam)
            .capabilities(Capability::CapabilityAutoExpand)
            .set_parameters(Some(all.iter().map(parameter).collect()))
            .send()
            .await
            .unwrap();
        let outputs = wait_for("the stack", async || {
            let found = self.stacks.describe_stacks().stack_name(name).send().await.ok()?;
            let stack = found.stacks().first()?.clone();
            match stack.stack_status()? {
                StackStatus::CreateComplete => Some(stack.outputs().to_vec()),
                StackStatus::CreateInProgress => None,
                status => {
                    let events = self.stacks.describe_stack_events().stack_name(name);
                    let events = events.send().await.unwrap();
                    let reasons: Vec<String> = events
                        .stack_events()
                        .iter()
                        .filter_map(|it| {
                            let reason = it.resource_status_reason()?;
                            Some(format!("{}: {reason}", it.logical_resource_id()?))
                        })
                        .collect();
                    panic!("{status:?}: {reasons:#?}")
                }
            }
        })
        .await;
        let outputs = outputs
            .iter()
            .map(|it| (it.output_key().unwrap().to_owned(), it.output_value().unwrap().to_owned()));
        let stack = Stack { cloud: self, outputs: outputs.collect() };
        stack.wait_for_mappings().await;
        stack
    }

    fn lake_prefix(&self) -> String {
        format!("{}-{}/lake", self.test, self.unique)
    }

    /// Location of the test's lake.
    pub fn lake(&self) -> String {
        self.lake.borrow().clone()
    }

    /// A command of the real binary on the test's lake.
    pub fn lakeward(&self, arguments: &[&str]) -> Output {
        let mut command: Command = lakeward();
        command.args(arguments).args(["--lake", &self.lake()]).envs([
            ("AWS_ENDPOINT_URL", endpoint().as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "eu-west-1"),
        ]);
        run(&mut command)
    }

    /// All rows of a table, without nulls; none where there is no such table yet.
    pub fn rows(&self, table: &str) -> Vec<Object> {
        let output = self.lakeward(&["show", table, "--format", "json", "--limit", "100000"]);
        if !output.status.success() {
            let said = printed(&output);
            assert!(said.contains("the lake has no table"), "{said}");
            return Vec::new();
        }
        let lines = String::from_utf8(output.stdout).unwrap();
        let rows = lines.lines().map(|it| serde_json::from_str::<Object>(it).unwrap());
        rows.map(|it| it.into_iter().filter(|(_, value)| !value.is_null()).collect()).collect()
    }

    /// Waits until a table holds as many rows, and fails when one of them is there twice.
    pub async fn wait_for_rows(&self, table: &str, count: usize) -> BTreeMap<String, Object> {
        let what = format!("{count} rows of {table}");
        let began = Instant::now();
        wait_for(&what, async || {
            // The last rows of two functions at once may wait for upkeep, which comes in a quarter of an hour.
            if began.elapsed() > SWEEP_AFTER {
                drop(self.lakeward(&["upkeep", table]));
            }
            let rows = by_id(self.rows(table));
            assert!(rows.len() <= count, "{} rows of {table}, expected {count}", rows.len());
            (rows.len() == count).then_some(rows)
        })
        .await
    }

    /// Tells DuckDB and PyIceberg what the lake holds.
    pub fn expect(&self, tables: &[&str]) {
        let lineage: BTreeSet<&str> = BTreeSet::from(["_lw_extra"]);
        let tables: serde_json::Map<String, Value> = tables
            .iter()
            .map(|table| {
                let rows = self.rows(table);
                let values: Vec<Object> = rows
                    .iter()
                    .map(|row| {
                        let kept = |name: &str| {
                            name == "_lw_id" || !name.starts_with("_lw_") || lineage.contains(name)
                        };
                        row.clone().into_iter().filter(|(name, _)| kept(name)).collect()
                    })
                    .collect();
                ((*table).to_owned(), json!({"rows": rows.len(), "values": values}))
            })
            .collect();
        let expected = json!({"lake": self.lake(), "tables": tables});
        leave(&format!("{}.json", self.test), &expected.to_string());
    }
}

/// A deployed stack.
pub struct Stack<'a> {
    pub cloud: &'a Cloud,
    pub outputs: BTreeMap<String, String>,
}

impl Stack<'_> {
    /// Name of the function.
    pub fn function(&self) -> &str {
        &self.outputs["FunctionName"]
    }

    /// Ids of the event source mappings.
    pub async fn mappings(&self) -> Vec<String> {
        let alias = format!("{}:live", self.function());
        let list = self.cloud.lambda.list_event_source_mappings().function_name(alias);
        let found = list.send().await.unwrap();
        found.event_source_mappings().iter().filter_map(|it| it.uuid().map(str::to_owned)).collect()
    }

    async fn wait_for_mappings(&self) {
        for id in self.mappings().await {
            wait_for("an event source mapping", async || {
                let found = self.cloud.lambda.get_event_source_mapping().uuid(&id).send().await;
                found.unwrap().state().filter(|it| *it == "Enabled").map(drop)
            })
            .await;
        }
    }

    /// Points the alias at a version of the function with another environment and timeout.
    pub async fn reconfigure(&self, variables: &[(&str, &str)], timeout: i32) {
        let lambda = &self.cloud.lambda;
        let function = self.function();
        let now = lambda.get_function_configuration().function_name(function).send().await.unwrap();
        let mut all = now.environment().and_then(|it| it.variables()).cloned().unwrap_or_default();
        all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let environment = aws_sdk_lambda::types::Environment::builder().set_variables(Some(all));
        let update = lambda.update_function_configuration().function_name(function);
        update.environment(environment.build()).timeout(timeout).send().await.unwrap();
        wait_for("the function's update", async || {
            let found = lambda.get_function_configuration().function_name(function).send().await;
            let status = found.unwrap().last_update_status().cloned();
            (status == Some(aws_sdk_lambda::types::LastUpdateStatus::Successful)).then_some(())
        })
        .await;
        let version = lambda.publish_version().function_name(function).send().await.unwrap();
        let alias = lambda.update_alias().function_name(function).name("live");
        alias.function_version(version.version().unwrap()).send().await.unwrap();
    }

    /// Gives the function another config.
    pub async fn repair(&self, config: &str) {
        let toml = format!("{}/lakeward.toml", self.cloud.name("stack"));
        self.cloud.put(&toml, config.as_bytes().to_vec()).await;
        // A new version starts anew.
        self.reconfigure(&[("REPAIRED", "1")], 60).await;
    }

    /// Lines of JSON that the function has logged.
    pub async fn log(&self) -> Vec<Object> {
        // LocalStack 4.14 does not heed the group of a function's LoggingConfig.
        let group = format!("/aws/lambda/{}", self.function());
        let events = self.cloud.logs.filter_log_events().log_group_name(group).send().await;
        let Ok(events) = events else { return Vec::new() };
        let lines = events.events().iter().filter_map(|it| it.message());
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}
