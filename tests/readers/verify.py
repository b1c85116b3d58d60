"""One lake, read by two engines and compared with what was sent.

A lake is a directory `lake/<namespace>/<table>/{data,metadata}`. What was sent may stand beside it
in `expected.json`:

    {"tables": {"shop.orders": {"rows": 2, "values": [{"_lw_id": "a", "price": 1}],
                                "columns": {"price": "long"}}}}

A row of `values` names all columns of its record that are not null; lineage columns it may leave
out, but for `_lw_extra`. A table that is not listed must be readable all the same.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bounds
from cells import Misfit, expected_cell, same
from places import S3Path
from pyiceberg.schema import Schema
from pyiceberg.types import StringType
from readers import Contents, DuckDb, PyIceberg, newest_version

# Columns that an expected row may leave out although they are not null.
LINEAGE = frozenset(
    "_lw_id _lw_source _lw_shard _lw_key _lw_position _lw_op _lw_deleted_by"
    " _lw_event_at _lw_arrived_at _lw_digest".split()
)

# A lake that is wrong in one way is often wrong in every row.
_MOST_PROBLEMS = 20


@dataclass
class Report:
    """What was found in a lake."""

    tables: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """`3 tables, 117 rows: shop.orders 92, …`"""
        rows = ", ".join(f"{name} {count}" for name, count in self.tables.items())
        return f"{len(self.tables)} tables, {sum(self.tables.values())} rows: {rows}"


def find(root: Path) -> list[Path]:
    """Folders under `root` that hold a lake, or the expectation of one."""
    homes = {path.parent for path in root.rglob("expected.json")}
    homes |= {hint.parents[4] for hint in root.rglob("lake/*/*/metadata/v*.metadata.json")}
    return sorted(homes)


def check(home: Path, duck: DuckDb) -> Report:
    """Reads every table of the lake in `home`."""
    expected = {}
    if (home / "expected.json").exists():
        expected = json.loads((home / "expected.json").read_text())["tables"]
    return check_lake(home / "lake", expected, duck)


def check_lake(lake: Path | S3Path, expected: dict, duck: DuckDb) -> Report:
    """Reads every table of a lake."""
    report = Report()
    directories = sorted((path.parent for path in lake.glob("*/*/metadata")), key=str)
    found = {f"{path.parent.name}.{path.name}": path for path in directories}
    for name, directory in found.items():
        # A table whose making was cut off before its first version was there.
        if newest_version(directory) == 0:
            continue
        try:
            problems = list(_of_table(directory, expected.get(name, {}), duck, report, name))
        except Exception as error:  # an engine that can't read the table is the finding
            problems = [f"{type(error).__name__}: {error}"]
        report.problems += [f"{name}: {problem}" for problem in problems[:_MOST_PROBLEMS]]
    for name in expected.keys() - report.tables.keys():
        if name not in found and expected[name].get("rows", 1) > 0:
            report.problems.append(f"{name}: expected, but not there")
    return report


def _of_table(directory: Path | S3Path, expected: dict, duck: DuckDb, report: Report, name: str):
    hint = (directory / "metadata" / "version-hint.text").read_text().strip()
    newest = newest_version(directory)
    if hint != str(newest):
        yield f"version-hint.text says {hint}, the newest version is {newest}"
    iceberg = PyIceberg(directory)
    contents = iceberg.read()
    report.tables[name] = len(contents.rows)
    other = duck.read(directory, iceberg.schema)
    yield from _engines_agree(contents, other)
    yield from _no_duplicates(contents)
    yield from _as_expected(contents, iceberg.schema, expected)
    yield from bounds.problems(iceberg.table)
    yield from _filters_find(directory, contents, iceberg.schema, duck)


def _engines_agree(iceberg: Contents, duck: Contents) -> Iterator[str]:
    # Whether UUIDs are handed over as such or as text depends on the versions of both.
    columns, others = (
        {name: "string" if ty == "uuid" else ty for name, ty in it.columns.items()}
        for it in (iceberg, duck)
    )
    if columns != others:
        names = sorted(columns.items() ^ others.items())
        yield f"PyIceberg and DuckDB differ in columns: {names}"
    if len(iceberg.rows) != len(duck.rows):
        yield f"PyIceberg reads {len(iceberg.rows)} rows, DuckDB {len(duck.rows)}"
    pairs = zip(sorted(iceberg.rows, key=_order), sorted(duck.rows, key=_order))
    for left, right in pairs:
        for column in sorted(left.keys() | right.keys()):
            if not same(left.get(column), right.get(column)):
                values = f"{left.get(column)!r} in PyIceberg, {right.get(column)!r} in DuckDB"
                yield f"row {left.get('_lw_id')}: {column} is {values}"


def _order(row: dict) -> tuple:
    """Rows have one order whatever engine returns them; the rest only matters for duplicates."""
    return (row.get("_lw_source", ""), row.get("_lw_id", ""), repr(sorted(row.items())))


def _no_duplicates(contents: Contents) -> Iterator[str]:
    """An id that AWS gave, and one that a route took or a sender gave, are of two records."""
    identities = Counter(
        (row.get("_lw_source"), row.get("_lw_id"), row.get("_lw_digest") is None)
        for row in contents.rows
    )
    for (source, identity, _), count in identities.items():
        if source is None or identity is None:
            yield f"{count} rows lack _lw_source or _lw_id"
        elif count > 1:
            yield f"{identity} of {source} is there {count} times"


def _as_expected(contents: Contents, schema: Schema, expected: dict) -> Iterator[str]:
    if expected.get("rows", len(contents.rows)) != len(contents.rows):
        yield f"{len(contents.rows)} rows, expected {expected['rows']}"
    for column, ty in expected.get("columns", {}).items():
        if contents.columns.get(column) != ty:
            yield f"{column} is {contents.columns.get(column, 'no column')}, expected {ty}"
    rows: dict[str, list[dict]] = {}
    for row in contents.rows:
        rows.setdefault(row.get("_lw_id"), []).append(row)
    for value in expected.get("values", []):
        yield from _row_is_there(value, rows.get(value["_lw_id"], []), schema)


def _row_is_there(value: dict, candidates: list[dict], schema: Schema) -> Iterator[str]:
    """Takes the row out of its candidates, so that each row is expected once."""
    types = {field.name: field.field_type for field in schema.fields}
    wanted = {}
    for column, cell in value.items():
        if column in types:
            try:
                wanted[column] = expected_cell(cell, types[column])
            except Misfit as misfit:
                yield f"row {value['_lw_id']}: {column}: {misfit}"
                return
        elif cell is not None:
            yield f"row {value['_lw_id']}: there is no column {column}"
            return
    closest = None
    for row in candidates:
        differences = list(_differences(wanted, row))
        if not differences:
            candidates.remove(row)
            return
        if closest is None or len(differences) < len(closest):
            closest = differences
    for difference in closest or ["is not there"]:
        yield f"row {value['_lw_id']}: {difference}"


def _differences(wanted: dict, row: dict) -> Iterator[str]:
    silent = LINEAGE - wanted.keys()
    for column in sorted((wanted.keys() | row.keys()) - silent):
        if not same(wanted.get(column), row.get(column)):
            yield f"{column} is {row.get(column)!r}, expected {wanted.get(column)!r}"


def _filters_find(directory: Path | S3Path, contents: Contents, schema: Schema, duck: DuckDb):
    """Looks up rows by all of their texts at once: a bound of any column that hides them shows.

    The rows are those with the largest text of some column, because an upper bound that was cut
    and not raised hides these.
    """
    texts = [field.name for field in schema.fields if isinstance(field.field_type, StringType)]
    rows = [{name: row[name] for name in texts if name in row} for row in contents.rows]
    for row in _with_extremes(rows, texts):
        wanted = sum(row.items() <= other.items() for other in rows)
        found = duck.count(directory, row)
        if found != wanted:
            yield f"row {row.get('_lw_id')}: filters on {list(row)} find {found} of {wanted} rows"


def _with_extremes(rows: list[dict], names: list[str]) -> list[dict]:
    chosen = []
    for name in names:
        values = [row for row in rows if name in row]
        if values:
            row = max(values, key=lambda row: row[name])
            # Among equals, one that is already chosen.
            if not any(other.get(name) == row[name] for other in chosen):
                chosen.append(row)
    return chosen
