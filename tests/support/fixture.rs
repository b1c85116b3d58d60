//! Case folders of `fixtures/`: read, run on a lake of their own, compared, rewritten.
//!
//! `fixtures/README.md` says what the files of a case mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lakeward::config::Config;
use lakeward::deadline::Deadline;
use lakeward::handler::App;
use lakeward::intake::Intake;
use lakeward::store::Lake;
use lakeward::table_name::TableName;
use serde_json::{Value, json};

use crate::support::compare::{Object, compare_rows, exact, renew};
use crate::support::lake::fresh_folder;

/// Lineage columns that a case may leave out; all other columns it must name.
const LINEAGE: [&str; 10] = [
    "_lw_id",
    "_lw_source",
    "_lw_shard",
    "_lw_key",
    "_lw_position",
    "_lw_op",
    "_lw_deleted_by",
    "_lw_event_at",
    "_lw_arrived_at",
    "_lw_digest",
];

/// Where rejects are.
const QUARANTINE: &str = "lakeward.quarantine";

/// A case folder.
pub struct Case {
    /// `kinesis/bad-base64-costs-one-record`
    pub name: String,
    folder: PathBuf,
    steps: Vec<Step>,
    rows: Vec<Object>,
    rejects: Vec<Object>,
    columns: Object,
}

/// One delivery of a case.
struct Step {
    /// End of its file names: nothing, `-1`, `-2`, …
    suffix: String,
    event: Vec<u8>,
    config: PathBuf,
    expected: Result<String, String>,
}

/// Content of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// Type of each column.
    pub columns: BTreeMap<String, String>,
    /// Non-null cells of each row, oldest first.
    pub rows: Vec<Object>,
}

/// Content of a lake.
pub type Tables = BTreeMap<String, Contents>;

/// Folder of the fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The function on a lake in `folder`, with the routes of a config file.
pub fn function(config: &Path, folder: &Path) -> Intake {
    let mut config = Config::load(config).unwrap();
    config.lake.location = folder.join("lake").to_str().unwrap().to_owned();
    if let Some(lake) = &mut config.quarantine.lake {
        lake.location = folder.join("quarantine").to_str().unwrap().to_owned();
    }
    Intake::new(App::open(config).unwrap())
}

/// The answer to an event, or the text of the error.
pub async fn deliver(function: &Intake, event: &[u8]) -> Result<String, String> {
    let processed = function.handle(event, &Deadline::none()).await;
    processed.answer.map_err(|error| error.to_string())
}

/// All tables of an app's lakes.
async fn all_contents(app: &App) -> Tables {
    let mut tables = contents(&app.lake).await;
    if let Some(lake) = &app.quarantine {
        tables.append(&mut contents(lake).await);
    }
    tables
}

/// All tables of a lake.
pub async fn contents(lake: &Lake) -> Tables {
    let mut tables = Tables::new();
    for table in lake.tables().await.unwrap() {
        tables.insert(table.to_string(), table_contents(lake, &table).await);
    }
    tables
}

async fn table_contents(lake: &Lake, table: &TableName) -> Contents {
    let read = lake.all_rows(table).await.unwrap().unwrap();
    let row = |cells: &Vec<_>| {
        let mut row = Object::new();
        for ((name, ty), cell) in read.columns.iter().zip(cells) {
            let mut text = String::new();
            lakeward::table::Cell::write_json(cell, ty, &mut text);
            let value = exact(&text).unwrap();
            if !value.is_null() {
                row.insert(name.clone(), value);
            }
        }
        row
    };
    Contents {
        rows: read.rows.iter().rev().map(row).collect(),
        columns: read.columns.iter().map(|(name, ty)| (name.clone(), ty.to_string())).collect(),
    }
}

/// Every case folder: `fixtures/<kind>/<case>` with an event in it.
pub fn walk() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in folders(&fixtures()).filter(|it| !(it.ends_with("shop") || it.ends_with("config")))
    {
        for folder in folders(&kind) {
            let kind = kind.file_name().unwrap().to_str().unwrap();
            let name = format!("{kind}/{}", folder.file_name().unwrap().to_str().unwrap());
            cases.push(Case::read(name, folder));
        }
    }
    cases
}

fn folders(of: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(of).unwrap().map(|it| it.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|it| it.is_dir()).collect();
    folders.sort();
    folders.into_iter()
}

impl Case {
    fn read(name: String, folder: PathBuf) -> Self {
        let numbered = (1..).map(|n| format!("-{n}"));
        let there = |suffix: &String| folder.join(format!("event{suffix}.json")).exists();
        let mut suffixes: Vec<String> = numbered.take_while(there).collect();
        if there(&String::new()) {
            suffixes.insert(0, String::new());
        }
        assert!(!suffixes.is_empty(), "{name} has no event.json and no event-1.json");
        let mut config = fixtures().join("lakeward.toml");
        let mut steps = Vec::new();
        for suffix in suffixes {
            let own = if suffix == "-1" { "" } else { &suffix };
            let own = folder.join(format!("lakeward{own}.toml"));
            if own.exists() {
                config = own;
            }
            let text = |kind: &str| {
                let path = folder.join(format!("{kind}{suffix}.{}", extension(kind)));
                std::fs::read_to_string(path).ok().map(|it| it.trim_end().to_owned())
            };
            let expected = match (text("answer"), text("error")) {
                (answer, None) => Ok(answer.unwrap_or_default()),
                (None, Some(error)) => Err(error),
                (Some(_), Some(_)) => panic!("{name} has both an answer and an error"),
            };
            let event = std::fs::read(folder.join(format!("event{suffix}.json"))).unwrap();
            steps.push(Step { event, config: config.clone(), expected, suffix });
        }
        let columns = std::fs::read_to_string(folder.join("columns.json"));
        let columns = columns.map(|it| parse(&name, &it)).unwrap_or_default();
        let (rows, rejects) = (lines(&folder, "rows.jsonl"), lines(&folder, "rejects.jsonl"));
        Self { name, folder, steps, rows, rejects, columns }
    }

    /// Delivers the case to a fresh lake, and then all of it once more. Returns what differs from
    /// what the case says, or with `update` makes the case say what happened.
    pub async fn check(&self, update: bool) -> Vec<String> {
        let folder = fresh_folder(&format!("golden/{}", self.name.replace('/', "-")));
        let mut differences = Vec::new();
        let last = function(&self.steps[self.steps.len() - 1].config, &folder);
        self.tell_readers(&folder, last.app.quarantine.is_none());
        let answers = self.deliver_all(&folder).await;
        let tables = all_contents(&last.app).await;
        if update {
            self.rewrite(&answers, &tables);
        } else {
            for (step, got) in self.steps.iter().zip(&answers) {
                step.compare(got, &mut differences);
            }
            compare_rows(&self.rows, &landed(&tables), &LINEAGE, &mut differences);
            compare_rejects(&self.rejects, &tables, &mut differences);
            compare_columns(&self.columns, &tables, &mut differences);
        }

        let again = self.deliver_all(&folder).await;
        if again != answers {
            differences.push(format!("delivered again: answers {again:?}, before {answers:?}"));
        }
        let after = all_contents(&last.app).await;
        if after != tables {
            differences.push(format!(
                "delivered again: the lake changed, rows {:?}, before {:?}",
                counts(&after),
                counts(&tables),
            ));
        }
        differences
    }

    async fn deliver_all(&self, folder: &Path) -> Vec<Result<String, String>> {
        let mut answers = Vec::new();
        let mut warm: Option<(&Path, Intake)> = None;
        for step in &self.steps {
            if warm.as_ref().is_none_or(|(config, _)| *config != step.config) {
                warm = Some((&step.config, function(&step.config, folder)));
            }
            if let Some((_, app)) = &warm {
                answers.push(deliver(app, &step.event).await);
            }
        }
        answers
    }

    /// Leaves `expected.json` beside the lake for the independent readers; `quarantined` says
    /// whether quarantine is in that lake.
    fn tell_readers(&self, folder: &Path, quarantined: bool) {
        let mut tables: BTreeMap<String, Vec<Object>> = BTreeMap::new();
        for row in &self.rows {
            let mut row = row.clone();
            let table = row.remove("table").unwrap();
            tables.entry(table.as_str().unwrap().to_owned()).or_default().push(row);
        }
        let mut expected: Object = tables
            .into_iter()
            .map(|(table, values)| {
                let mut columns = self.columns.get(&table).cloned().unwrap_or_else(|| json!({}));
                if let Some(columns) = columns.as_object_mut() {
                    columns.retain(|_, ty| !ty.is_null());
                }
                let rows = values.len();
                (table, json!({"rows": rows, "values": values, "columns": columns}))
            })
            .collect();
        if quarantined && !self.rejects.is_empty() {
            expected.insert(QUARANTINE.to_owned(), json!({"rows": self.rejects.len()}));
        }
        let expected = json!({"tables": expected});
        std::fs::write(folder.join("expected.json"), expected.to_string()).unwrap();
    }

    /// Makes the case say what happened; lineage columns that it named stay named.
    fn rewrite(&self, answers: &[Result<String, String>], tables: &Tables) {
        let write = |file: &str, text: &str| {
            let path = self.folder.join(file);
            match text {
                "" if path.exists() => std::fs::remove_file(path).unwrap(),
                "" => {}
                text => std::fs::write(path, text).unwrap(),
            }
        };
        for (step, got) in self.steps.iter().zip(answers) {
            let suffix = &step.suffix;
            let (answer, error) = match (got, &step.expected) {
                (Ok(answer), _) => (format!("{answer}\n"), String::new()),
                (Err(error), Err(part)) if error.contains(part) => {
                    (String::new(), part.clone() + "\n")
                }
                (Err(error), _) => (String::new(), format!("{error}\n")),
            };
            write(&format!("answer{suffix}.json"), &answer);
            write(&format!("error{suffix}.txt"), &error);
        }
        let rejects: Vec<Object> =
            tables.get(QUARANTINE).map(|it| it.rows.clone()).unwrap_or_default();
        write("rows.jsonl", &renew(&self.rows, landed(tables), &LINEAGE, &["table", "_lw_id"]));
        let all: Vec<&str> = tables
            .get(QUARANTINE)
            .map(|it| it.columns.keys().map(String::as_str).collect())
            .unwrap_or_default();
        write("rejects.jsonl", &renew(&self.rejects, rejects, &all, &["reason", "_lw_id"]));
        let mut columns = self.columns.clone();
        for (table, named) in &mut columns {
            for (column, ty) in named.as_object_mut().into_iter().flatten() {
                let found = tables.get(table).and_then(|it| it.columns.get(column));
                *ty = found.map_or(Value::Null, |it| json!(it));
            }
        }
        if !columns.is_empty() {
            write("columns.json", &(serde_json::to_string_pretty(&columns).unwrap() + "\n"));
        }
    }
}

impl Step {
    fn compare(&self, got: &Result<String, String>, differences: &mut Vec<String>) {
        let same = match (&self.expected, got) {
            (Ok(expected), Ok(got)) => expected == got,
            (Err(part), Err(error)) => error.contains(part),
            _ => false,
        };
        if !same {
            let expected = &self.expected;
            differences.push(format!(
                "event{}.json\n      expected {expected:?}\n      got      {got:?}",
                self.suffix
            ));
        }
    }
}

fn extension(kind: &str) -> &'static str {
    if kind == "error" { "txt" } else { "json" }
}

fn parse(of: &str, text: &str) -> Object {
    match exact(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => panic!("{of}: no object: {text}"),
        Err(error) => panic!("{of}: {error}: {text}"),
    }
}

fn lines(folder: &Path, file: &str) -> Vec<Object> {
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    text.lines().map(|line| parse(&path.display().to_string(), line)).collect()
}

fn counts(tables: &Tables) -> BTreeMap<&str, usize> {
    tables.iter().map(|(table, it)| (table.as_str(), it.rows.len())).collect()
}

/// The rows of all tables but quarantine, each with its `table`.
fn landed(tables: &Tables) -> Vec<Object> {
    let mut rows = Vec::new();
    for (table, contents) in tables.iter().filter(|(table, _)| *table != QUARANTINE) {
        for row in &contents.rows {
            let mut row = row.clone();
            row.insert("table".to_owned(), json!(table));
            rows.push(row);
        }
    }
    rows
}

fn compare_rejects(expected: &[Object], tables: &Tables, differences: &mut Vec<String>) {
    let Contents { columns, rows } = tables.get(QUARANTINE).cloned().unwrap_or_default();
    let optional: Vec<&str> =
        columns.keys().map(String::as_str).filter(|it| *it != "reason").collect();
    let mut found = Vec::new();
    compare_rows(expected, &rows, &optional, &mut found);
    differences.extend(found.into_iter().map(|it| format!("quarantine: {it}")));
}

fn compare_columns(expected: &Object, tables: &Tables, differences: &mut Vec<String>) {
    for (table, columns) in expected {
        for (column, ty) in columns.as_object().unwrap() {
            let found = tables.get(table).and_then(|it| it.columns.get(column));
            if ty.as_str() != found.map(String::as_str) {
                differences.push(format!("column {table} {column}: expected {ty}, got {found:?}"));
            }
        }
    }
}
