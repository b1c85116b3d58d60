"""The checks can fail: a small lake, written by PyIceberg, and what is wrongly said of it."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import bounds
import pyarrow as pa
import pytest
import verify
from catalog import Files
from pyiceberg.io import load_file_io
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.table import Table
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from readers import PyIceberg

NOON = datetime(2026, 11, 23, 12)
ADDRESS = {"city": "Köln", "postcode": None}
ROWS = pa.Table.from_pylist(
    [
        {"_lw_id": "1", "price": 1, "total": Decimal("19.90"), "at": NOON},
        {"_lw_id": "2", "weight": 20.0, "day": date(2026, 11, 23), "raw": b"\x00\xff", "ok": True},
        {"_lw_id": "3", "name": "zoë", "tags": ["a", "b"], "address": ADDRESS},
    ],
    pa.schema(
        [
            ("_lw_id", pa.string()),
            ("_lw_source", pa.string()),
            ("price", pa.int64()),
            ("total", pa.decimal128(12, 2)),
            ("at", pa.timestamp("us")),
            ("weight", pa.float64()),
            ("day", pa.date32()),
            ("raw", pa.binary()),
            ("ok", pa.bool_()),
            ("name", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("address", pa.struct([("city", pa.string()), ("postcode", pa.string())])),
        ]
    ),
).set_column(1, "_lw_source", pa.array(["arn"] * 3))

VALUES = [
    {"_lw_id": "1", "price": 1, "total": "19.90", "at": "2026-11-23T12:00:00"},
    {"_lw_id": "2", "weight": 20, "day": "2026-11-23", "raw": "AP8=", "ok": True},
    {"_lw_id": "3", "_lw_source": "arn", "name": "zoë", "tags": ["a", "b"],
     "address": {"city": "Köln"}},
]  # fmt: skip

COLUMNS = {"price": "long", "total": "decimal(12,2)", "tags": "list<string>",
           "address": "struct<city: string, postcode: string>"}  # fmt: skip


def write_lake(home: Path, *batches: pa.Table) -> Path:
    """`lake/shop/orders`, one commit for each batch."""
    directory = home / "lake" / "shop" / "orders"
    catalog = Files("test")
    schema = catalog._convert_schema_if_needed(batches[0].schema)
    metadata = new_table_metadata(
        schema, UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, str(directory)
    )
    location = catalog.write(metadata)
    table = Table(("shop", "orders"), metadata, location, load_file_io(), catalog)
    for batch in batches:
        table.append(batch)
    return directory


def expect(home: Path, **orders):
    (home / "expected.json").write_text(json.dumps({"tables": {"shop.orders": orders}}))


@pytest.fixture
def lake(tmp_path):
    home = tmp_path / "home"
    write_lake(home, ROWS)
    return home


def test_a_lake_that_is_as_expected_passes(lake, duck):
    expect(lake, rows=3, values=VALUES, columns=COLUMNS)
    report = verify.check(lake, duck)
    assert report.problems == []
    assert report.tables == {"shop.orders": 3}
    assert verify.find(lake.parent) == [lake]


def altered(row: int, **cells) -> dict:
    values = [dict(value) for value in VALUES]
    values[row].update(cells)
    return {"values": values}


def without(row: int, column: str) -> dict:
    values = [dict(value) for value in VALUES]
    del values[row][column]
    return {"values": values}


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"rows": 4}, "3 rows, expected 4"),
        (altered(0, price=2), "price is 1, expected 2"),
        (altered(0, price=1.0), "1.0 is no long"),
        (altered(0, price=True), "True is no long"),
        (altered(0, total="19.9"), "total is '19.90', expected '19.9'"),
        (altered(0, at="2026-11-23T12:00:00.000"), "at is '2026-11-23T12:00:00', expected"),
        (altered(1, weight="20.0"), "'20.0' is no double"),
        (altered(1, ok=1), "1 is no boolean"),
        (altered(1, raw="AP8"), "raw is 'AP8=', expected 'AP8'"),
        (altered(2, tags=["b", "a"]), "tags is ['a', 'b'], expected ['b', 'a']"),
        (altered(2, address={"city": "Koln"}), "address is {'city': 'Köln'}, expected"),
        (altered(2, address={"town": "Köln"}), "has no field 'town'"),
        (altered(2, _lw_source="other"), "_lw_source is 'arn', expected 'other'"),
        (altered(2, colour="red"), "there is no column colour"),
        (altered(2, _lw_id="4"), "row 4: is not there"),
        (without(0, "price"), "price is 1, expected None"),
        ({"values": [VALUES[0], VALUES[0]]}, "row 1: is not there"),
        ({"columns": {"price": "double"}}, "price is long, expected double"),
        ({"columns": {"colour": "string"}}, "colour is no column, expected string"),
    ],
)
def test_a_wrong_expectation_fails(lake, duck, expected, problem):
    expect(lake, **expected)
    (found,) = verify.check(lake, duck).problems
    assert problem in found


def test_a_table_that_is_not_there_fails(tmp_path, duck):
    expect(tmp_path, rows=1)
    assert verify.check(tmp_path, duck).problems == ["shop.orders: expected, but not there"]
    expect(tmp_path, rows=0)
    assert verify.check(tmp_path, duck).problems == []


def test_a_row_that_is_there_twice_fails_without_any_expectation(tmp_path, duck):
    write_lake(tmp_path, ROWS, ROWS.slice(0, 1))
    assert verify.check(tmp_path, duck).problems == ["shop.orders: 1 of arn is there 2 times"]


def test_a_hint_that_is_behind_fails_because_engines_follow_it(lake, duck):
    hint = lake / "lake/shop/orders/metadata/version-hint.text"
    hint.write_text("1")
    problems = verify.check(lake, duck).problems
    assert "shop.orders: version-hint.text says 1, the newest version is 2" in problems
    assert "shop.orders: PyIceberg reads 3 rows, DuckDB 0" in problems


def test_a_data_file_that_is_missing_fails(lake, duck):
    (file,) = (lake / "lake/shop/orders/data").iterdir()
    file.unlink()
    assert verify.check(lake, duck).problems != []


def test_a_filter_that_finds_too_little_fails(lake, duck, monkeypatch):
    monkeypatch.setattr(duck, "count", lambda *_: 0)
    problems = verify.check(lake, duck).problems
    filters = "['_lw_id', '_lw_source', 'name']"
    assert problems == [f"shop.orders: row 3: filters on {filters} find 0 of 1 rows"]


@pytest.mark.parametrize(
    ("statement", "value", "problem"),
    [
        ("upper_bounds", b"z", "the upper bound 'z' is below"),
        ("lower_bounds", b"zz", "the lower bound 'zz' is above"),
        ("null_value_counts", 0, "0 nulls said, 2 there"),
        ("value_counts", 1, "1 values said, 3 there"),
        ("upper_bounds", b"{", None),
        ("upper_bounds", None, None),
    ],
)
def test_what_a_manifest_says_is_held_against_the_file(lake, statement, value, problem):
    table = PyIceberg(lake / "lake/shop/orders").table
    (manifest,) = table.current_snapshot().manifests(table.io)
    (entry,) = manifest.fetch_manifest_entry(table.io)
    names = ["file_path", "record_count", "file_size_in_bytes", "value_counts"]
    names += ["null_value_counts", "lower_bounds", "upper_bounds"]
    file = SimpleNamespace(**{name: getattr(entry.data_file, name) for name in names})
    column = table.schema().find_field("name").field_id
    setattr(file, statement, {**getattr(file, statement), column: value})
    found = list(bounds.of_file(file, table.schema()))
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]
