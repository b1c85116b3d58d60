//! Column names of every kind.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

#[test]
fn names_by_every_rule() {
    for (original, lower, keep) in [
        ("createdAt", "createdat", "createdAt"),
        ("with -- dash", "with_dash", "with -- dash"),
        ("größe", "gr_e", "größe"),
        ("a.b", "a_b", "a_b"),
        ("say \"x\"", "say_x_", "say _x_"),
        ("", "_", "_"),
        ("日本", "_", "日本"),
        ("1st", "n1st", "n1st"),
        ("POS", "pos_field", "POS_field"),
        ("_LW_id", "_lw_id_field", "_LW_id_field"),
        ("line\nbreak", "line_break", "line_break"),
    ] {
        assert_eq!(short(original, Names::Lower), lower, "{original}");
        assert_eq!(short(original, Names::Keep), keep, "{original}");
    }
    let long = "ü".repeat(100);
    assert!(short(&long, Names::Keep).len() <= MAX_COLUMN_BYTES);
}

#[test]
fn snake_names() {
    for (original, name) in [
        ("createdAt", "created_at"),
        ("PK", "pk"),
        ("GSI1PK", "gsi1_pk"),
        ("HTTPStatus", "http_status"),
        ("userID", "user_id"),
        ("OrderId", "order_id"),
        ("aB", "a_b"),
        ("ABc", "a_bc"),
        ("with -- dash", "with_dash"),
        ("already_snake", "already_snake"),
        ("Mixed_Case", "mixed_case"),
        ("keeps__both", "keeps__both"),
        ("a_-b", "a_b"),
        ("a-_b", "a_b"),
        ("detail.type", "detail_type"),
        ("$ref", "_ref"),
        ("price€", "price_"),
        ("größe", "gr_e"),
        ("日本", "_"),
        ("", "_"),
        ("---", "_"),
        ("1st", "n1st"),
        ("2FA", "n2_fa"),
        ("_id", "_id"),
        ("__v", "__v"),
        ("_file", "_file_field"),
        ("_pos", "_pos_field"),
        ("pos", "pos_field"),
        ("POS", "pos_field"),
        ("filePath", "file_path_field"),
        ("arrived_day", "arrived_day_field"),
        ("_lw_id", "_lw_id_field"),
        ("_LW_ID", "_lw_id_field"),
        ("_lwId", "_lw_id_field"),
        ("_lw_", "_lw__field"),
        ("_lw_id_field", "_lw_id_field_field"),
        ("position", "position"),
        ("../../etc/passwd", "_etc_passwd"),
        ("a\"; drop table x;--", "a_drop_table_x_"),
    ] {
        assert_eq!(snake(original), name, "{original:?}");
    }
}

#[test]
fn second_owners_and_siblings() {
    assert_eq!(second("pk", "PK"), nth("pk", "PK", 1));
    assert_eq!(nth("pk", "PK", 0), "pk");
    assert_eq!(second("pk", "PK").len(), "pk_".len() + 4);
    assert!(nth("pk", "PK", 2).starts_with(&second("pk", "PK")));
    assert_ne!(second("pk", "PK"), second("pk", "Pk"));
    assert_eq!(sibling("price", "double"), "price__double");
    let tries: HashSet<_> = (0..40).map(|n| nth("pk", "PK", n)).collect();
    assert_eq!(tries.len(), 40);
}

#[test]
fn long_names_are_cut_with_a_hash() {
    let (one, two) = (format!("{}1", "x".repeat(300)), format!("{}2", "x".repeat(300)));
    assert_eq!(snake(&one).len(), MAX_COLUMN_BYTES);
    assert_ne!(snake(&one), snake(&two));
    assert_ne!(sibling(&snake(&one), "text"), sibling(&snake(&two), "text"));
    assert_eq!(snake(&"x".repeat(120)), "x".repeat(120));
}

fn assert_safe(name: &str) {
    assert!(!name.is_empty() && name.len() <= MAX_COLUMN_BYTES, "{name}");
    assert!(name.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
    assert!(!name.starts_with(|it: char| it.is_ascii_digit()), "{name}");
    assert!(!is_reserved(name), "{name}");
}

/// Texts that come near every rule: any Unicode, and pieces of reserved names.
fn original() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        ".{0,6}",
        "[a-zA-Z0-9_]{0,60}",
        proptest::sample::select(vec!["_lw_", "_LW_", "_field", "pos", "_file", "filePath", "_"])
            .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_has_a_safe_name(original in original(), other in original(), n in 0_usize..20) {
        let short = snake(&original);
        assert_safe(&short);
        assert_safe(&nth(&short, &other, n));
        assert_safe(&sibling(&short, "decimal"));
        assert_safe(&nth(&sibling(&short, "double"), &other, n));
        prop_assert_eq!(&short, &snake(&original));
        prop_assert!(!is_lineage(&sibling(&nth(&short, &other, n), "text")));
    }
}
