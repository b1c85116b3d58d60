//! `lakeward audit`

use std::time::Duration;

use serde_json::{Value, json};

use crate::arn::Arn;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::setup;
use crate::cli::terminal::{CONDITION_MET, DONE, FAILED, Terminal};
use crate::config::Config;
use crate::recovery::audit::{self, Audit, AuditOptions, StreamSums, Sums};
use crate::store::inspect::Origin;
use crate::time;

/// Reads the arguments; `grace` is in minutes.
pub(super) fn options(
    streams: &[String],
    since: Option<&str>,
    grace: u32,
) -> Result<AuditOptions, Failure> {
    let stream = |text: &String| {
        let arn = text.parse::<Arn>().ok().filter(audit::is_comparable);
        arn.ok_or_else(|| {
            Failure::Usage(format!(
                "--stream takes the ARN of a Kinesis stream, not `{text}`; a DynamoDB stream is not \
                 compared, because it keeps its records for only a day"
            ))
        })
    };
    let day = |text: &str| {
        time::date(text)
            .ok_or_else(|| Failure::Usage(format!("--since takes a day, YYYY-MM-DD, not `{text}`")))
    };
    Ok(AuditOptions {
        streams: streams.iter().map(stream).collect::<Result<_, _>>()?,
        since: since.map(day).transpose()?,
        grace: Duration::from_secs(u64::from(grace) * 60),
    })
}

/// Counts and compares records, and prints the result.
pub(super) async fn run(
    mut config: Config,
    options: &AuditOptions,
    json: bool,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    config.quarantine.reject_limit = 1.0;
    let app = setup::open_app(config, true)?;
    let audit = audit::audit(&app, options).await?;
    if json {
        writeln!(terminal.out, "{}", as_json(&audit))?;
    } else {
        as_table(&audit, terminal)?;
    }
    terminal.out.flush()?;
    for trouble in &audit.troubles {
        writeln!(terminal.err, "! {trouble}")?;
    }
    let missing = audit.sums.values().filter_map(|it| it.stream.as_ref()).any(|it| it.missing > 0);
    Ok(match (audit.troubles.is_empty(), missing) {
        (false, _) => FAILED,
        (true, true) => CONDITION_MET,
        (true, false) => DONE,
    })
}

fn as_table(audit: &Audit, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    if audit.sums.is_empty() {
        writeln!(terminal.out, "nothing has landed, and nothing was compared")?;
        return Ok(());
    }
    let number = |it: u64| if it == 0 { String::new() } else { it.to_string() };
    let with_stream = audit.sums.values().any(|it| it.stream.is_some());
    let row = |(origin, sums): (&Origin, &Sums)| {
        let (source, shard, day) = origin;
        let mut row = vec![
            source.clone(),
            day.map(time::date_text).unwrap_or_default(),
            shard.clone().unwrap_or_default(),
            sums.landed.to_string(),
            number(sums.quarantined),
            number(sums.resolved),
            number(sums.lost),
        ];
        if with_stream {
            let stream = sums.stream.clone();
            let cell = |of: fn(&StreamSums) -> u64| stream.as_ref().map(|it| of(it).to_string());
            let cells = [cell(|it| it.held), cell(|it| it.recent), cell(|it| it.missing)];
            row.extend(cells.map(Option::unwrap_or_default));
        }
        row
    };
    let rows: Vec<Vec<String>> = audit.sums.iter().map(row).collect();
    let all = [
        "source",
        "day",
        "shard",
        "landed",
        "quarantined",
        "resolved",
        "lost",
        "in the stream",
        "of these recent",
        "missing",
    ];
    let header = if with_stream { &all[..] } else { all.get(..7).unwrap_or(&all) };
    print::table(terminal.out, header, &rows, &[3, 4, 5, 6, 7, 8, 9])?;
    Ok(())
}

fn as_json(audit: &Audit) -> Value {
    let each = audit.sums.iter().map(|((source, shard, day), sums)| {
        let stream = sums.stream.as_ref();
        json!({
            "source": source,
            "shard": shard,
            "day": day.map(time::date_text),
            "landed": sums.landed,
            "quarantined": sums.quarantined,
            "resolved": sums.resolved,
            "lost": sums.lost,
            "in_stream": stream.map(|it| it.held),
            "recent": stream.map(|it| it.recent),
            "missing": stream.map(|it| it.missing),
        })
    });
    json!({"audit": each.collect::<Vec<_>>(), "troubles": audit.troubles})
}
