//! The mistakes one can make in a single place of the file.

use super::problems;

/// What `@route` and `@table` stand for: a route's first lines.
const ROUTE: &str = "[[route]]\nsource = \"arn:aws:kinesis:r:1:stream/s\"\n";
const TABLE: &str = "table = \"a.b\"\n";

const PLACES: &[(&str, &str)] = &[
    ("tabel = 1", "f:2: unknown key `tabel` in the file: did you mean `table`?"),
    ("[routes]", "f:2: unknown key `routes` in the file: write [[route]] for each route"),
    ("[lake]\nlocatoin = \"x\"", "f:3: unknown key `locatoin` in [lake]: did you mean `location`?"),
    (
        "[lake]\ncolour = \"x\"",
        "f:3: unknown key `colour` in [lake]: its keys are location, catalog, commit",
    ),
    (
        "[lake]\nlocation = 7",
        "f:3: `location` in [lake] is a number, not a text: write it in quotes",
    ),
    ("lake = \"x\"", "f:2: `lake` is a text: write [lake] and its keys below it"),
    (
        "[lake]\nlocation = \" \"",
        "f:3: the lake's location is empty: write the path of a directory, such as ./lake",
    ),
    (
        "[lake]\nlocation = \"~/lake\"",
        "f:3: `~` in the lake's location stands for no home directory: write the whole path",
    ),
    (
        "[lake]\nlocation = \"s3://acme/prod\"",
        "f:3: this release does not know lakes at s3:// yet: write the path of a local \
             directory, such as ./lake",
    ),
    (
        "[lake]\ncatalog = \"glue\"",
        "f:3: this release does not know catalog = \"glue\" yet: take it out, or use a \
             release that knows it",
    ),
    (
        "[lake]\ncommit = \"queue\"",
        "f:3: this release does not know commit = \"queue\" yet: take it out, or use a \
             release that knows it",
    ),
    ("[lake]\ncommit = \"drect\"", "f:3: unknown commit \"drect\": did you mean \"direct\"?"),
    ("[lake]\ncatalog = \"hive\"", "f:3: unknown catalog \"hive\": write catalog = \"files\""),
    (
        "[lake]\nnumbers = \"auto\"",
        "f:3: this release does not know `numbers` in [lake] yet: take it out, or use a \
             release that knows it",
    ),
    (
        "[quarantine]\nreject_limit = 50",
        "f:3: `reject_limit` in [quarantine] is no number between 0 and 1: write the share of \
             rejected records that is still normal, such as 0.5; 1.0 is no limit",
    ),
    (
        "[quarantine]\nreject_limit = nan",
        "f:3: `reject_limit` in [quarantine] is no number between 0 and 1: write the share of \
             rejected records that is still normal, such as 0.5; 1.0 is no limit",
    ),
];

const ROUTES: &[(&str, &str)] = &[
    ("[route]\n", "f:2: `route` is a table: write [[route]], with two brackets, above each route"),
    (
        "[[route]]\ntable = \"a.b\"",
        "f:2: this route has no `source`: write source = \"arn:aws:kinesis:*:*:stream/NAME\" \
             or the like",
    ),
    (
        "@route",
        "f:2: this route has no `table`: write table = \"namespace.name\", or drop = true to \
             discard its records",
    ),
    (
        "@route@tabledrop = true",
        "f:4: this route has a `table` and drop = true: take out one: a route either fills a \
             table or discards its records",
    ),
    ("@routedrop = \"yes\"", "f:4: `drop` in [[route]] is not true or false: write drop = true"),
    (
        "@routedrop = true\nevent_at = \"t\"",
        "f:5: `event_at` has no meaning on a route that drops its records: take it out",
    ),
    (
        "@routetable = \"events.{type}\"",
        "f:4: this release does not know placeholders in `table` yet: write a route with a \
             `when` and a table for each value",
    ),
    (
        "@routetable = \"lakeward.mine\"",
        "f:4: table `lakeward.mine` lies in the namespace of Lakeward's own tables: choose \
             another namespace than lakeward",
    ),
    (
        "@route@tableunwrap = \"sns\"",
        "f:5: this release does not know `unwrap` in [[route]] yet: take it out, or use a \
             release that knows it",
    ),
    (
        "@route@tablecolumns = {}",
        "f:5: unknown key `columns` in [[route]]: declare columns in [table.\"…\".columns]",
    ),
    (
        "@route@tableon_reject = \"return\"",
        "f:5: on_reject = \"return\" is for queues; a stream would stand still: take it out: \
             rejected records go to quarantine",
    ),
    (
        "@route@tableon_reject = \"retrun\"",
        "f:5: unknown on_reject \"retrun\": did you mean \"return\"?",
    ),
    (
        "@route@tableevent_at = \"items[].at\"",
        "f:5: path `items[].at` goes into a list, which only transforms can; if a bracket \
             belongs to the name, put the name in double quotes: write names joined by dots, such \
             as detail.type or \"a.b\".c",
    ),
    (
        "@route@tablewhen = { version = 2 }",
        "f:5: `when` compares `version` with a number, not a text: write it in quotes: \"2\" \
             matches the number 2, \"true\" matches true",
    ),
    (
        "@route@tablewhen = { kind = [] }",
        "f:5: `when` compares `kind` with nothing: write a text, or a list of texts",
    ),
    ("@route@tablewhen = {}", "f:5: `when` names no field: take it out to take every record"),
    (
        "@route@tablename = \"\"",
        "f:5: `name` of a route must have 1 to 120 printable bytes: choose a short name, or \
             leave it out to use the table's",
    ),
];

const TABLES: &[(&str, &str)] = &[
    (
        "[table.a.b.columns]\nx = \"long\"",
        "f:2: [table.a.b] names a table without quotes: write [table.\"a.b\"]: TOML reads a \
             bare dot as nesting",
    ),
    (
        "[table.\"a.b\"]\nmisfits = \"reject\"",
        "f:3: this release does not know `misfits` in [table.\"…\"] yet: take it out, or use a \
             release that knows it",
    ),
    (
        "[table.\"a.b\".columns]\nx = 7",
        "f:3: column `x` is a number, not a type: write its type as a text, such as \
             \"string\", or { type = \"string\", doc = \"…\" }",
    ),
    (
        "[table.\"a.b\".columns]\nx = { doc = \"x\" }",
        "f:3: column `x` has no `type`: write { type = \"string\" } or the like",
    ),
    (
        "[table.\"a.b\".columns]\nx = { type = \"long\", dok = \"x\" }",
        "f:3: unknown key `dok` in a column: did you mean `doc`?",
    ),
    (
        "[table.\"a.b\".columns]\n_lw_id = \"string\"",
        "f:3: column `_lw_id` has a name that is Lakeward's own: a record's field of that name \
             lands in `_lw_id_field`: write that",
    ),
    (
        "[table.\"a.b\".columns]\ncreated_at = \"string\"\ncreatedAt = \"string\"",
        "f:4: columns `createdAt` and `created_at` (line 3) are both stored as `created_at`: \
             declare one of them",
    ),
];

#[test]
fn every_mistake_has_a_line_and_a_remedy() {
    for (text, expected) in [PLACES, ROUTES, TABLES].concat() {
        let text = text.replace("@route", ROUTE).replace("@table", TABLE);
        assert_eq!(problems(&text), [expected], "{text}");
    }
}

#[test]
fn names_and_types_are_explained_by_their_own_words() {
    for (text, begin) in [
        ("[table.\"Shop.Orders\".columns]\nx = \"long\"", "f:2: `Shop.Orders` is no table name: "),
        ("[table.orders.columns]\nx = \"long\"", "f:2: `orders` is no table name: "),
        (
            "[table.\"a.b\".columns]\nx = \"varchar\"",
            "f:3: column `x` has no type that Lakeward knows: ",
        ),
        ("x = [1", "f:2: this is no TOML: "),
    ] {
        let found = problems(text);
        assert!(found[0].starts_with(begin), "{text}: {found:?}");
    }
}
