"""The queries that `lakeward sql` prints, and those of the pages, run by DuckDB and ClickHouse."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from pyiceberg.types import StringType
from readers import PyIceberg
from test_evolution import Lake, identity

_ROOT = Path(__file__).resolve().parents[2]
_BINARY = os.environ.get("LAKEWARD_BIN", str(_ROOT / "target" / "debug" / "lakeward"))
# Tables of changes with keys, and rows that a query for the newest must leave out.
_TABLES = [
    ("quickstart-shop", "shop.orders_changes"),
    ("quickstart-shop", "shop.customers_changes"),
    ("golden/transform-steps-reach-keys-and-both-images", "lab.t"),
    ("golden/packed-changes-of-items-through-kinesis-land-like-changes", "lab.t"),
    ("golden/recipes-one-dynamodb-table-with-several-entities", "shop.orders_changes"),
]


def _lake(pytestconfig, name):
    lake = pytestconfig.getoption("lakes") / name / "lake"
    assert lake.is_dir(), f"no lake {lake}: run the tests that write it first"
    return lake


def _sql(lake, table, *options):
    command = [_BINARY, "sql", table, "--lake", str(lake), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _query(text):
    """The statement without its comments and its semicolon."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return "\n".join(lines).strip().rstrip(";")


def _newest(rows):
    """Ids of the newest rows of each key that are not deleted, told without SQL."""
    newest = {}
    for row in rows:
        key = (row["_lw_source"], row["_lw_key"])
        place = (row["_lw_shard"] or "", row["_lw_position"])
        if key not in newest or place > newest[key][0]:
            newest[key] = (place, row)
    return sorted(row["_lw_id"] for _, row in newest.values() if row["_lw_op"] != "delete")


def _rows(lake, table):
    namespace, name = table.split(".")
    return PyIceberg(lake / namespace / name).table.scan().to_arrow().to_pylist()


def _clickhouse(query):
    chdb = pytest.importorskip("chdb", reason="ClickHouse has no wheel for this machine")
    text = str(chdb.query(query, "JSONEachRow"))
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("lake", "table"), _TABLES)
@pytest.mark.parametrize("engine", ["duckdb", "clickhouse"])
def test_printed_queries_run(lake, table, engine, duck, pytestconfig):
    lake = _lake(pytestconfig, lake)
    rows = _rows(lake, table)

    def run(*options):
        query = _query(_sql(lake, table, "--engine", engine, *options))
        if engine == "clickhouse":
            return _clickhouse(query)
        return duck.connection.sql(query).to_arrow_table().to_pylist()

    plain = sorted(row["_lw_id"] for row in run())
    assert plain == sorted(row["_lw_id"] for row in rows)
    latest = run("--latest")
    assert sorted(row["_lw_id"] for row in latest) == _newest(rows)
    assert all("lw_newest" not in row for row in latest)


@pytest.mark.parametrize("engine", ["duckdb", "clickhouse"])
def test_names_that_others_chose_are_only_names(tmp_path, engine, duck, monkeypatch):
    names = ['a"b', "c`d", "e\\", "f'g; --", '"; DROP TABLE x; --', "h\\`i", "j\nk"]
    # ClickHouse reads nothing outside of the working directory.
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "it's a lake"
    home.mkdir()
    lake = Lake(home)
    lake.lands(0, 1)
    with lake.table().update_schema() as change:
        for name in names:
            change.add_column((name,), StringType())
    lake.lands(2)
    options = [("--engine", engine), ("--engine", engine, "--latest")]
    options.append(("--engine", engine, "--latest", "--key", names[0], "--key", "e\\"))
    expected = [identity(n) for n in range(3)]
    for option, ids in zip(options, [expected, expected[2:], expected], strict=True):
        query = _query(_sql(home / "lake", "shop.orders", *option))
        if engine == "clickhouse":
            rows = _clickhouse(query)
        else:
            rows = duck.connection.sql(query).to_arrow_table().to_pylist()
        assert sorted(row["_lw_id"] for row in rows) == ids
        assert all(set(names) <= set(row) for row in rows)


def test_a_table_without_keys_asks_for_one(duck, pytestconfig):
    lake = _lake(pytestconfig, "quickstart-shop")
    command = [_BINARY, "sql", "billing.invoices", "--lake", str(lake), "--latest"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "--key" in refused.stderr
    query = _query(_sql(lake, "billing.invoices", "--latest", "--key", "invoice_id"))
    ids = [row["invoice_id"] for row in duck.connection.sql(query).to_arrow_table().to_pylist()]
    expected = {row["invoice_id"] for row in _rows(lake, "billing.invoices")}
    assert sorted(map(str, ids)) == sorted(map(str, expected))


@pytest.mark.parametrize("page", ["README.md", "docs/ANALYSTS.md", "docs/OPERATING.md"])
def test_queries_of_the_pages_run(page, duck, pytestconfig):
    text = (_ROOT / page).read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    assert queries
    for query in queries:
        query = query.replace("INSTALL iceberg; LOAD iceberg;", "")
        # What was resolved is in a lake that something was redriven in.
        lake = "redrive-quarantine" if "/resolved'" in query else "quickstart-shop"
        lake = _lake(pytestconfig, lake)
        query = query.replace("'lake/", f"'{lake}/").strip().rstrip(";")
        duck.connection.execute(query).fetchall()
