//! Setup of a command: its config, its lake, its app, as the arguments name them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::{ConfigArgs, LakeArgs};
use crate::cli::failure::Failure;
use crate::config::{self, Config, FILE_NAME};
use crate::handler::App;
use crate::store::clock::Clock;
use crate::store::files;
use crate::store::files::overlay::Overlay;
use crate::store::{Lake, Settings, StoreError};
use crate::table_name::TableName;

/// Loads the config of a command, with the lake that the arguments name.
pub(super) fn load_config(args: ConfigArgs) -> Result<Config, Failure> {
    with_lake(Config::load(&args.config)?, args.lake)
}

/// Finds the config of a command that only looks at a lake. It needs none.
pub(super) fn find_config(args: LakeArgs) -> Result<Config, Failure> {
    let beside = || Some(PathBuf::from(FILE_NAME)).filter(|it| it.exists());
    // With --lake, a config that happens to lie here decides nothing, and its mistakes do no harm.
    let path = match &args.lake {
        Some(_) => args.config,
        None => args.config.or_else(beside),
    };
    let config = match path {
        Some(path) => Config::load(&path)?,
        None => Config::without_file()?,
    };
    let config = with_lake(config, args.lake.clone())?;
    let is_missing = |it: &String| !it.contains("://") && !Path::new(it).is_dir();
    match args.lake.filter(is_missing) {
        Some(lake) => Err(Failure::Usage(format!("--lake: there is no directory {lake}"))),
        None => Ok(config),
    }
}

fn with_lake(mut config: Config, lake: Option<String>) -> Result<Config, Failure> {
    let Some(lake) = lake else { return Ok(config) };
    config::check_location(&lake).map_err(|problem| {
        Failure::Usage(format!("--lake: {}: {}", problem.what, problem.remedy))
    })?;
    config.lake.location = lake;
    Ok(config)
}

/// Opens the lake that a table is in.
pub(super) fn open_lake(args: LakeArgs, table: &TableName) -> Result<Lake, Failure> {
    Ok(Lake::open(find_config(args)?.lake_of(table).clone())?)
}

/// Opens the app of a config. Lakes of a dry run only pretend to be written to.
pub(super) fn open_app(config: Config, dry_run: bool) -> Result<App, StoreError> {
    if !dry_run {
        return App::open(config);
    }
    let over = |settings: &Settings| {
        let place = files::at(&settings.location);
        let place = place.map_err(StoreError::files("open", &settings.location))?;
        let (overlay, hash) = (Arc::new(Overlay::over(&place)), settings.config_hash.clone());
        let removal = Arc::clone(&overlay);
        let lake = Lake::with(overlay, place.location, hash, Clock::system());
        Ok(lake.removing(removal).never_leaving())
    };
    let lake = over(&config.lake)?;
    let quarantine = config.quarantine.lake.as_ref().map(over).transpose()?;
    Ok(App::on(config, lake, quarantine))
}

/// Reads the name of a table.
pub(super) fn table_name(text: &str) -> Result<TableName, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("`{text}` is not a table name: {error}")))
}

/// Returns the failure of a command whose table does not exist; it names the tables there are.
pub(super) async fn no_such_table(lake: &Lake, name: &TableName) -> Failure {
    let known = lake.tables().await.unwrap_or_default();
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let remedy = if known.is_empty() {
        "it has none; name another lake with --lake".to_owned()
    } else {
        format!("its tables are {}", known.join(", "))
    };
    Failure::Failed(format!("the lake has no table {name}: {remedy}"))
}
