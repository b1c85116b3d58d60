//! One case per rule of the contract.

use super::support::{Lake, declare, n, ns, row, t};
use super::*;
use crate::table::layout::Misfits;
use crate::value::Set;

fn inferred() -> Policy {
    Policy::default()
}

#[test]
fn the_first_value_decides_the_kind() {
    for (values, columns) in [
        (vec![t("a")], vec!["f: string"]),
        (vec![Value::Bool(true)], vec!["f: boolean"]),
        (vec![Value::Binary(vec![1])], vec!["f: binary"]),
        (vec![n("1"), n("2.0"), n("1e3")], vec!["f: long"]),
        (vec![n("20"), n("19.99")], vec!["f: double"]),
        (vec![n("9223372036854775808")], vec!["f: double", "f__decimal: decimal(38,9)"]),
        (vec![Value::Null, n("1"), t("x")], vec!["f: long", "f__text: string"]),
        (vec![Value::Set(Set::Text(vec!["a".into()]))], vec!["f: list<string>"]),
        (vec![Value::Set(Set::Binary(vec![]))], vec!["f: list<binary>"]),
        (vec![ns(&["1", "2"])], vec!["f: list<long>"]),
        (vec![ns(&["1"]), ns(&["2.5"])], vec!["f: list<double>"]),
        (vec![Value::List(vec![])], vec!["f: string"]),
        (vec![Value::Null], vec![]),
    ] {
        let mut lake = Lake::default();
        lake.land_field("f", &values, &inferred());
        assert_eq!(lake.columns(), columns, "{values:?}");
    }
}

#[test]
fn an_inexact_value_goes_to_a_sibling() {
    let mut lake = Lake::default();
    let digits = "12345678901234567890.123456789";
    let many = "1".repeat(60);
    let values = [
        n("20"),
        n("1.0"),
        n(digits),
        n(&many),
        n("1E-130"),
        n("1E+200"),
        t("n/a"),
        Value::Bool(false),
        Value::Map(vec![("b".into(), n("1.50")), ("a".into(), Value::Binary(vec![1]))]),
        ns(&["1"]),
        Value::Binary(vec![2]),
    ];
    lake.land_field("price", &values[..1], &inferred());
    assert_eq!(
        lake.land_field("price", &values, &inferred()),
        [
            "price=20".to_owned(),
            "price=1".to_owned(),
            format!("price__decimal=\"{digits}\""),
            format!("price__text=\"{many}\""),
            "price__double=1e-130".to_owned(),
            "price__double=1e200".to_owned(),
            "price__text=\"n/a\"".to_owned(),
            "price__bool=false".to_owned(),
            r#"price__json="{\"b\":1.50,\"a\":\"AQ==\"}""#.to_owned(),
            "price__json=\"[1]\"".to_owned(),
            "price__json=\"\\\"Ag==\\\"\"".to_owned(),
        ]
    );
    let owner = lake.layout.owners.last().unwrap();
    assert_eq!((owner.original.as_str(), owner.role), ("price", Role::Json));
}

#[test]
fn a_string_column_is_text_or_json_for_life() {
    let mut lake = Lake::default();
    let list = Value::List(vec![n("1")]);
    lake.land_field("text", &[t("a")], &inferred());
    lake.land_field("json", std::slice::from_ref(&list), &inferred());
    assert_eq!(
        lake.land_field("text", std::slice::from_ref(&list), &inferred()),
        ["text__json=\"[1]\""]
    );
    assert_eq!(
        lake.land_field("json", &[t("[1]"), list], &inferred()),
        ["json__text=\"[1]\"", "json=\"[1]\""]
    );
}

#[test]
fn sets_go_whole() {
    let mut lake = Lake::default();
    lake.land_field("s", &[ns(&["1"])], &inferred());
    assert_eq!(
        lake.land_field(
            "s",
            &[ns(&["1", "2.5"]), ns(&[]), Value::Set(Set::Text(vec!["a".into()]))],
            &inferred()
        ),
        ["s__json=\"[1,2.5]\"", "s=[]", "s__json=\"[\\\"a\\\"]\""]
    );
}

#[test]
fn names_have_owners_whatever_the_order() {
    let both = row(&[("pk", t("small")), ("PK", t("big"))]);
    let mut lake = Lake::default();
    let second = name::second("pk", "PK");
    // Of two new fields the one that is called exactly so gets the name, else the first one.
    let shown = lake.land(std::slice::from_ref(&both), &inferred());
    assert_eq!(shown, [format!("{second}=\"big\" pk=\"small\"")]);
    let mut lake = Lake::default();
    lake.land(&[row(&[("PK", t("big"))])], &inferred());
    let second = name::second("pk", "pk");
    assert_eq!(lake.land(&[both], &inferred()), [format!("pk=\"big\" {second}=\"small\"")]);
}

#[test]
fn a_third_clash_takes_more_of_the_hash() {
    let mut lake = Lake::default();
    lake.land(&[row(&[("pk", n("1"))])], &inferred());
    let id = lake.new_id();
    lake.add(id, &name::second("pk", "PK"), ColumnType::Long);
    let longer = name::nth("pk", "PK", 2);
    assert_eq!(lake.land(&[row(&[("PK", n("2"))])], &inferred()), [format!("{longer}=2")]);
}

#[test]
fn a_records_own_field_may_be_called_like_a_sibling() {
    let mut lake = Lake::default();
    lake.land(&[row(&[("price", n("1")), ("price__double", t("mine"))])], &inferred());
    let hashed = name::second("price__double", "price");
    assert_eq!(
        lake.land(&[row(&[("price", n("1.5")), ("price__double", t("mine"))])], &inferred()),
        [format!("price__double=\"mine\" {hashed}=1.5")]
    );
}

#[test]
fn a_dropped_column_stays_dropped_until_someone_adds_it() {
    let mut lake = Lake::default();
    lake.land_field("a", &[n("1"), n("1.5"), t("x")], &inferred());
    assert_eq!(lake.columns(), ["a: double", "a__text: string"]);
    lake.drop_column("a");
    assert_eq!(
        lake.land_field("a", &[n("1"), t("x")], &inferred()),
        ["+{\"a\":1}", "+{\"a\":\"x\"}"]
    );
    assert_eq!(
        lake.land_field("A", &[n("1")], &inferred()),
        [format!("{}=1", name::second("a", "A"))]
    );
    let id = lake.new_id();
    lake.add(id, "A", ColumnType::Int);
    assert_eq!(
        lake.land_field("a", &[n("1"), n("5e9"), t("x")], &inferred()),
        ["A=1", "a__double=5000000000.0", "a__text=\"x\""]
    );
    lake.drop_column("a__text");
    assert_eq!(lake.land_field("a", &[t("x")], &inferred()), ["+{\"a\":\"x\"}"]);
}

#[test]
fn a_renamed_or_widened_column_is_still_the_fields() {
    let mut lake = Lake::default();
    lake.land_field("price", &[n("1")], &inferred());
    lake.layout.columns[0].name = "Cost".to_owned();
    lake.layout.columns[0].ty = ColumnType::Decimal { precision: 10, scale: 2 };
    assert_eq!(
        lake.land_field("price", &[n("1.5"), n("1.555")], &inferred()),
        ["Cost=\"1.50\"", "price__double=1.555"]
    );
    // The free name still belongs to its first owner.
    let second = name::second("price", "Price");
    assert_eq!(lake.land_field("Price", &[n("1")], &inferred()), [format!("{second}=1")]);
}

#[test]
fn a_column_that_someone_added_takes_what_fits() {
    let mut lake = Lake::default();
    lake.add(7, "Total", ColumnType::Long);
    lake.add(8, "shape", ColumnType::Other("geometry".to_owned()));
    assert_eq!(
        lake.land_field("total", &[n("1"), t("x")], &inferred()),
        ["Total=1", "total__text=\"x\""]
    );
    assert_eq!(lake.land_field("shape", &[t("x")], &inferred()), ["shape__text=\"x\""]);
}

#[test]
fn columns_end_at_the_limit_in_a_stable_order() {
    let policy = Policy { max_columns: 2, ..declare(&[("z", "long")]) };
    let mut lake = Lake::default();
    let rows = [row(&[("c", n("1")), ("b", n("1")), ("z", n("9"))]), row(&[("b", t("x"))])];
    assert_eq!(lake.land(&rows, &policy), ["z=9 b=1 +{\"c\":1}", "+{\"b\":\"x\"}"]);
    let policy = Policy { max_columns: 2, ..declare(&[("z", "long"), ("y", "string")]) };
    assert_eq!(lake.land(&[row(&[("y", t("1"))])], &policy), ["y=\"1\""]);
}

/// The fields of one record leave columns to those of others.
#[test]
fn one_record_takes_half_of_the_free_columns() {
    let names = |count: usize, prefix: &str| -> Vec<String> {
        (0..count).map(|it| format!("{prefix}{it:03}")).collect()
    };
    let junk = |prefix: &str| {
        let fields: Vec<_> = names(300, prefix).into_iter().map(|it| (it, n("1"))).collect();
        row(&fields)
    };
    let mut lake = Lake::default();
    lake.land(&[junk("a")], &inferred());
    assert_eq!(lake.layout.columns.len(), 100);
    // What two records have comes first, and takes any.
    let honest = row(&names(10, "z").into_iter().map(|it| (it, n("1"))).collect::<Vec<_>>());
    let mut other = honest.clone();
    other.lineage.position = Some("1".repeat(60));
    // However many rows one record holds.
    lake.land(&[junk("b"), junk("b"), honest, other], &inferred());
    assert_eq!(lake.layout.columns.len(), 150);
    assert!(names(10, "z").iter().all(|it| lake.position(it).is_some()));
    for sum in [175, 191, 200, 200] {
        lake.land(&[junk("c")], &inferred());
        assert_eq!(lake.layout.columns.len(), sum);
    }
    // A record of few fields is not limited.
    let policy = Policy { max_columns: 16, ..inferred() };
    let mut lake = Lake::default();
    lake.land(&[junk("a")], &policy);
    assert_eq!(lake.layout.columns.len(), 16);
}

#[test]
fn huge_names_make_no_column() {
    let long = "x".repeat(MAX_ORIGINAL_BYTES + 1);
    let mut lake = Lake::default();
    assert_eq!(lake.land_field(&long, &[n("1")], &inferred()), [format!("+{{\"{long}\":1}}")]);
}

#[test]
fn extra_is_sorted_by_original_name() {
    let policy = Policy { max_columns: 0, ..inferred() };
    let rows = [row(&[("b", n("1.50")), ("a\"", Value::Null), ("B", t("x"))])];
    assert_eq!(Lake::default().land(&rows, &policy), [r#"+{"B":"x","b":1.50}"#]);
}

#[test]
fn declared_columns_are_added_and_take_only_what_fits() {
    let policy = declare(&[("created_at", "timestamp(ms)"), ("orderId", "long"), ("doc", "json")]);
    let mut lake = Lake::default();
    assert_eq!(lake.land(&[], &policy), [] as [&str; 0]);
    assert_eq!(lake.columns(), ["created_at: timestamp", "order_id: long", "doc: string"]);
    assert_eq!(lake.layout.owners[1].original, "orderId");
    assert_eq!(
        lake.land(
            &[
                row(&[("createdAt", n("1500")), ("orderId", n("7")), ("doc", t("x"))]),
                row(&[("createdAt", t("soon")), ("orderId", t("7"))]),
            ],
            &policy
        ),
        [
            r#"created_at="1970-01-01T00:00:01.5" order_id=7 doc="\"x\"""#,
            r#"+{"createdAt":"soon","orderId":"7"}"#
        ]
    );
}

#[test]
fn a_declared_column_has_one_field_of_a_batch() {
    let policy = declare(&[("created_at", "long")]);
    let mut lake = Lake::default();
    let second = name::second("created_at", "createdAt");
    let rows = [row(&[("createdAt", n("1")), ("created_at", n("2"))])];
    assert_eq!(lake.land(&rows, &policy), [format!("created_at=2 {second}=1")]);

    let mut lake = Lake::default();
    lake.land(&[row(&[("createdAt", n("1"))])], &policy);
    let second = name::second("created_at", "created_at");
    assert_eq!(lake.land(&rows, &policy), [format!("created_at=1 {second}=2")]);
    assert_eq!(lake.land(&[row(&[("created_at", n("2"))])], &policy), [format!("{second}=2")]);
}

#[test]
fn a_declared_column_that_someone_dropped_is_not_added() {
    let policy = declare(&[("a", "long")]);
    let mut lake = Lake::default();
    lake.land_field("a", &[n("1")], &policy);
    lake.drop_column("a");
    assert_eq!(lake.land_field("a", &[n("1")], &policy), ["+{\"a\":1}"]);
    assert_eq!(lake.columns(), [] as [&str; 0]);
}

#[test]
fn declared_types_widen_or_leave_the_table_as_it_is() {
    for (from, to, then) in [
        ("int", "long", "long"),
        ("float", "double", "double"),
        ("decimal(9,2)", "decimal(12,2)", "decimal(12,2)"),
        ("decimal(12,2)", "decimal(9,2)", "decimal(12,2)"),
        ("decimal(9,2)", "decimal(12,3)", "decimal(9,2)"),
        ("long", "int", "long"),
        ("int", "double", "int"),
        ("string", "long", "string"),
        ("timestamp(ms)", "long", "timestamp"),
    ] {
        let mut lake = Lake::default();
        lake.land(&[], &declare(&[("a", from)]));
        lake.land(&[], &declare(&[("a", to)]));
        assert_eq!(lake.columns(), [format!("a: {then}")], "{from} → {to}");
    }
}

#[test]
fn where_the_table_keeps_its_type_values_go_where_they_are_exact() {
    let mut lake = Lake::default();
    lake.land_field("a", &[n("1")], &inferred());
    assert_eq!(
        lake.land_field("a", &[n("1"), n("1.5"), t("x")], &declare(&[("a", "string")])),
        ["a=1", "a__double=1.5", "a__text=\"x\""]
    );
    let mut lake = Lake::default();
    lake.land_field("a", &[t("x")], &inferred());
    let list = Value::List(vec![]);
    assert_eq!(
        lake.land_field("a", &[t("x"), list], &declare(&[("a", "json")])),
        ["a=\"x\"", "a__json=\"[]\""]
    );
    let mut lake = Lake::default();
    lake.add(7, "a", ColumnType::Timestamptz);
    assert_eq!(
        lake.land_field("a", &[n("1")], &declare(&[("a", "timestamp(s)")])),
        ["a=\"1970-01-01T00:00:01\""]
    );
}

#[test]
fn a_table_without_the_columns_still_loses_nothing() {
    let rows = [row(&[("a", n("1")), ("b", Value::Null)])];
    let placed = place(&rows, &Layout::default(), &declare(&[("a", "long")]));
    assert_eq!(
        placed,
        Placement {
            columns: vec![],
            extra: vec![Some("{\"a\":1}".to_owned())],
            spread: placed.spread.clone()
        }
    );
}

/// A declared column belongs to the first field that fills it.
#[test]
fn a_declared_column_waits_for_its_field() {
    let policy = declare(&[("created_at", "long")]);
    let mut lake = Lake::default();
    lake.land(&[row(&[("a", n("1"))])], &policy);
    assert_eq!(lake.land(&[row(&[("createdAt", n("1"))])], &policy), ["created_at=1"]);
    let second = name::second("created_at", "CreatedAt");
    assert_eq!(lake.land(&[row(&[("CreatedAt", n("2"))])], &policy), [format!("{second}=2")]);
    let third = name::second("created_at", "created_at");
    let all = [("CreatedAt", n("3")), ("createdAt", n("4")), ("created_at", n("5"))];
    let shown = lake.land(&[row(&all)], &policy);
    assert_eq!(shown, [format!("created_at=4 {second}=3 {third}=5")]);
}

#[test]
fn a_value_is_a_misfit_even_where_the_column_is_wider_than_declared() {
    let policy = Policy { misfits: Misfits::Reject, ..declare(&[("count", "int")]) };
    let mut lake = Lake::default();
    let id = lake.new_id();
    lake.add(id, "count", ColumnType::Long);
    let rows = [n("1"), n("3000000000"), t("many"), n("1.5")].map(|it| row(&[("count", it)]));
    let rejects = judge::judge(&rows, &lake.layout, &policy);
    let indexes: Vec<usize> = rejects.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [2, 3]);
}
