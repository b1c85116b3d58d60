//! `lakeward redrive failed`: lands failed batches of streams, as Lambda stored them.

use std::io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory};
use std::sync::Arc;

use crate::cli::args::RedriveOptions;
use crate::cli::failure::Failure;
use crate::cli::print::counted;
use crate::cli::redrive::report::{self, RedriveReport};
use crate::cli::summary::Summary;
use crate::cli::terminal::Terminal;
use crate::cli::trouble::Trouble;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::recovery::{FailedBatch, RecoveryReport, Streams};
use crate::store::StoreError;
use crate::store::files::{self, Files, Place};

/// Lands the failed batches under a folder or prefix, or of one object, and prints what became of
/// them.
pub(in crate::cli) async fn run(
    config: Config,
    location: &str,
    options: RedriveOptions,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = report::open(config, options)?;
    let Place { files, location: root, .. } =
        files::at(location).map_err(StoreError::files("open", location))?;
    let streams = Streams::default();
    let mut summary = Summary::default();
    let (mut batches, mut gaps) = (0_u64, 0_u64);
    for path in objects(&files, &root).await? {
        let text = match files.read(&path).await {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            // An empty folder, or an empty bucket.
            Err(error) if path == root && matches!(error.kind(), IsADirectory | InvalidInput) => {
                continue;
            }
            Err(error) => return Err(StoreError::files("read", &path)(error).into()),
        };
        batches += 1;
        let batch = match FailedBatch::read(&text) {
            Ok(batch) => batch,
            Err(problem) => {
                let remedy = "name a folder that holds only failed batches, aws/lambda/…";
                summary.add_trouble(Trouble::new(path, problem, remedy));
                continue;
            }
        };
        let mut recovery = RecoveryReport::default();
        recovery.land(&app, &streams, &batch, &Deadline::none()).await;
        gaps += report::add(&recovery, &path, &app, &mut summary);
    }
    if batches == 0 {
        return Err(Failure::Failed(format!("there is no object under {location}")));
    }
    let members = vec![("batches", batches.into()), ("gaps", gaps.into())];
    let lines = vec![format!("{} read", counted(batches, "object"))];
    RedriveReport { summary, members, lines }.finish(&app, options, true, terminal).await
}

/// Lists everything under a location, however deep, in the order of names. If there is nothing
/// under it, it may be an object itself.
async fn objects(files: &Arc<dyn Files>, root: &str) -> Result<Vec<String>, Failure> {
    let (mut objects, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let names = match files.list(&folder).await {
            Ok(names) => names,
            Err(error) if error.kind() == NotADirectory => Vec::new(),
            Err(error) => return Err(StoreError::files("list", &folder)(error).into()),
        };
        if names.is_empty() {
            objects.push(folder);
        } else {
            folders.extend(names.iter().map(|name| format!("{folder}/{name}")));
        }
    }
    objects.sort();
    Ok(objects)
}
