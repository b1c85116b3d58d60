//! The tables that placeholders fill in. A route counts those that exist, because it may add only so
//! many.

use std::collections::{BTreeSet, HashMap};

use crate::arn::Arn;
use crate::deadline::Deadline;
use crate::handler::app::App;
use crate::handler::sort::{CrowdedRow, SortedRecords};
use crate::record::{Content, Delivery};
use crate::route::{self, Route, Target, Template};
use crate::source::Redelivery;
use crate::store::{Lake, StoreError};
use crate::table_name::TableName;

/// The number of tables that are looked for one by one; more are found in a list.
const MAX_LOOKS: usize = 16;

/// Returns the tables that are known to exist, if records name their tables themselves; else none. The
/// sorter needs them to count a placeholder's tables, and can't ask the store itself, because it is not
/// async.
///
/// # Errors
/// If the lake can't be listed before the deadline.
pub(super) async fn known_tables(
    app: &App,
    deliveries: &[Delivery<'_>],
    deadline: &Deadline,
) -> Result<BTreeSet<TableName>, StoreError> {
    if !app.config.routes.iter().any(|it| matches!(it.target, Target::Tables(..))) {
        return Ok(BTreeSet::new());
    }
    for (template, table) in unknown_tables(app, deliveries) {
        if !app.tables().is_listed(template) {
            let found = in_time(deadline, &table, list(&app.lake, template)).await?;
            app.tables().add_list(template, found);
        }
    }
    Ok(app.tables().all().clone())
}

/// Returns the templates with which records fill in a table that is not known, and one such table of
/// each.
fn unknown_tables<'a>(app: &'a App, deliveries: &[Delivery<'_>]) -> Vec<(&'a Template, TableName)> {
    let routes = &app.config.routes;
    let known = app.tables();
    let mut unknown: Vec<(&Template, TableName)> = Vec::new();
    let mut of_source: HashMap<&Arn, Vec<&Route>> = HashMap::new();
    for delivery in deliveries {
        let routes = of_source
            .entry(&delivery.source)
            .or_insert_with(|| route::of_source(routes, &delivery.source));
        let Content::Parts(parts) = &delivery.content else { continue };
        for record in parts.iter().filter_map(|it| it.record.as_ref().ok()) {
            let target = route::choose(routes, record).map(|it| &it.target);
            let Some(Target::Tables(template, _)) = target else { continue };
            let Ok(table) = template.fill(record) else { continue };
            if !known.all().contains(&table) && unknown.iter().all(|(it, _)| *it != template) {
                unknown.push((template, table));
            }
        }
    }
    unknown
}

/// Lists the tables that a template makes.
async fn list(lake: &Lake, template: &Template) -> Result<Vec<TableName>, StoreError> {
    let namespaces = match template.namespace() {
        Some(namespace) => vec![namespace.to_owned()],
        None => lake.namespaces().await?,
    };
    let mut found = Vec::new();
    for namespace in namespaces.iter().filter(|it| template.makes_namespace(it)) {
        found.extend(lake.names(namespace).await?.into_iter().filter(|it| template.makes(it)));
    }
    Ok(found)
}

/// Rejects the rows of tables that a placeholder may not add, but for those whose table another copy of
/// the function has added by now.
///
/// # Errors
/// If the lake can't be asked. If only time is up, these records fail.
pub(super) async fn admit<'a>(
    app: &'a App,
    sorted: &mut SortedRecords<'a>,
    redelivery: Redelivery,
    deadline: &Deadline,
) -> Result<(), StoreError> {
    let crowded = std::mem::take(&mut sorted.crowded);
    let Some(first) = crowded.first().map(|it| it.table.clone()) else { return Ok(()) };
    let there = match in_time(deadline, &first, existing(app, &crowded)).await {
        Err(error @ StoreError::OutOfTime(_)) => {
            sorted.fail(crowded.iter().map(|it| it.origin.record));
            sorted.report.trouble.push(error.to_string());
            return Ok(());
        }
        there => there?,
    };
    for CrowdedRow { table, row, origin, reject } in crowded {
        if there.contains(&table) {
            sorted.add_row(app, table, row, origin);
        } else {
            sorted.reject(redelivery, origin, reject);
        }
    }
    Ok(())
}

/// Returns those tables that exist: a few are looked for one by one, of many the templates' tables are
/// listed, and the lists remembered.
async fn existing(
    app: &App,
    crowded: &[CrowdedRow<'_>],
) -> Result<BTreeSet<TableName>, StoreError> {
    let tables: BTreeSet<&TableName> = crowded.iter().map(|it| &it.table).collect();
    let mut there = BTreeSet::new();
    if tables.len() <= MAX_LOOKS {
        for table in tables {
            if app.lake.exists(table).await? {
                there.insert(table.clone());
            }
        }
        return Ok(there);
    }
    let mut templates: Vec<&Template> = Vec::new();
    for target in crowded.iter().filter_map(|it| it.origin.route).map(|it| &it.target) {
        if let Target::Tables(template, _) = target
            && !templates.contains(&template)
        {
            templates.push(template);
        }
    }
    for template in templates {
        let found = list(&app.lake, template).await?;
        there.extend(found.iter().cloned());
        app.tables().add_list(template, found);
    }
    Ok(there)
}

/// Waits for an answer of the lake about a table for as long as there is time.
async fn in_time<T>(
    deadline: &Deadline,
    table: &TableName,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = deadline.wait_for(call).await;
    answer.unwrap_or_else(|| Err(StoreError::OutOfTime(table.clone())))
}
