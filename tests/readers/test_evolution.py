"""PyIceberg changes a table between two replays of the binary, in every way that analysts may.

Nothing may show under a wrong name, and no record may be there twice. The binary is
`target/debug/lakeward`, or what LAKEWARD_BIN names.
"""

import base64
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import verify
from catalog import open_table
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DecimalType,
    DoubleType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
)
from readers import PyIceberg

_BINARY = Path(__file__).resolve().parents[2] / "target" / "debug" / "lakeward"
BINARY = Path(os.environ.get("LAKEWARD_BIN", _BINARY)).absolute()

CONFIG = """
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/orders"
table = "shop.orders"

[table."shop.orders".columns]
count = "int"
ratio = "float"
total = "decimal(9,2)"
"""

SHARD = "shardId-000000000000"


class Lake:
    """A lake in a folder, and what was sent to it."""

    def __init__(self, home: Path):
        self.home = home
        self.directory = home / "lake" / "shop" / "orders"
        self.sent: dict[int, dict] = {}
        (home / "lakeward.toml").write_text(CONFIG)

    def replay(self, *numbers: int, **fields) -> subprocess.CompletedProcess:
        """Delivers orders of these numbers, and everything that was delivered before once more."""
        self.sent |= {n: order(n) | {name: of(n) for name, of in fields.items()} for n in numbers}
        # The old ones last: the new ones must not depend on them.
        chunks = [list(numbers), [n for n in self.sent if n not in numbers]]
        process = self.start("events", chunks)
        printed = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, *printed)

    def start(self, name: str, chunks: list) -> subprocess.Popen:
        """Delivers orders that were sent, one event for each chunk of numbers."""
        events = self.home / f"{name}.jsonl"
        lines = [event({n: self.sent[n] for n in chunk}) for chunk in chunks if chunk]
        events.write_text("\n".join(lines))
        command = [BINARY, "replay", "--config", self.home / "lakeward.toml"]
        command += ["--lake", self.home / "lake", events]
        environment = {"PATH": os.environ["PATH"]}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, **pipes)

    def lands(self, *numbers: int, **fields):
        done = self.replay(*numbers, **fields)
        assert done.returncode == 0, done.stdout + done.stderr

    def expect(self, values: dict[int, dict], **columns: str):
        """What every row holds, by the order's number."""
        values = [{"_lw_id": identity(n), **row} for n, row in values.items()]
        orders = {"rows": len(values), "values": values, "columns": columns}
        expected = json.dumps({"tables": {"shop.orders": orders}})
        (self.home / "expected.json").write_text(expected)

    def table(self):
        return open_table(self.directory)


def order(n: int) -> dict:
    return {
        "name": f"name {n}",
        "colour": f"colour {n}",
        "price": n,
        "count": n,
        "ratio": n + 0.5,
        "total": n + 0.25,
    }


def row(n: int) -> dict:
    """An order as it reads in the columns that it was sent for."""
    return order(n) | {"total": f"{n}.25"}


def identity(n: int) -> str:
    return f"{SHARD}:{sequence(n)}"


def sequence(n: int) -> str:
    return f"4967458219001122334455667788990011223344556677889{n:07}"


def arrival(n: int) -> float:
    return 1795428000 + n / 8


def event(orders: dict[int, dict]) -> str:
    def record(n: int, payload: dict) -> dict:
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "k",
                "sequenceNumber": sequence(n),
                "data": base64.b64encode(json.dumps(payload).encode()).decode(),
                "approximateArrivalTimestamp": arrival(n),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": identity(n),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lakeward",
            "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        }

    return json.dumps({"Records": [record(n, payload) for n, payload in orders.items()]})


@pytest.fixture
def lake(tmp_path):
    assert BINARY.exists(), f"no {BINARY}: build it, or name another with LAKEWARD_BIN"
    lake = Lake(tmp_path)
    lake.lands(0, 1, 2, 3)
    return lake


OLD, NEW = range(0, 4), range(4, 8)
ALL = range(0, 8)


def without(n: int, *columns: str) -> dict:
    return {name: value for name, value in row(n).items() if name not in columns}


def agree(lake: Lake, duck):
    report = verify.check(lake.home, duck)
    assert report.problems == []


def test_nothing_is_changed(lake, duck):
    lake.lands(*NEW)
    lake.expect({n: row(n) for n in ALL}, price="long", total="decimal(9,2)", ratio="float")
    agree(lake, duck)


def test_a_dropped_column_is_not_made_again(lake, duck):
    with lake.table().update_schema() as change:
        change.delete_column("price")
    lake.lands(*NEW)
    extra = {n: {"_lw_extra": json.dumps({"price": n}, separators=(",", ":"))} for n in NEW}
    lake.expect({n: without(n, "price") | extra.get(n, {}) for n in ALL})
    agree(lake, duck)


def test_a_renamed_column_is_still_its_fields_own(lake, duck):
    with lake.table().update_schema() as change:
        change.rename_column("price", "cost")
    lake.lands(*NEW)
    lake.expect({n: without(n, "price") | {"cost": n} for n in ALL})
    agree(lake, duck)


def test_columns_that_exchange_their_names_keep_their_values(lake, duck):
    for old, new in [("name", "other"), ("colour", "name"), ("other", "colour")]:
        with lake.table().update_schema() as change:
            change.rename_column(old, new)
    lake.lands(*NEW)
    exchanged = {n: row(n) | {"name": f"colour {n}", "colour": f"name {n}"} for n in ALL}
    lake.expect(exchanged)
    agree(lake, duck)


def test_a_column_that_is_dropped_and_added_again_begins_empty(lake, duck):
    with lake.table().update_schema(allow_incompatible_changes=True) as change:
        change.delete_column("price")
    with lake.table().update_schema() as change:
        change.add_column("price", LongType())
    lake.lands(*NEW)
    lake.expect({n: without(n, "price") if n in OLD else row(n) for n in ALL})
    agree(lake, duck)


def test_a_column_that_comes_back_with_another_type_takes_nothing_that_is_not_exact(lake, duck):
    with lake.table().update_schema(allow_incompatible_changes=True) as change:
        change.delete_column("price")
        change.delete_column("name")
    with lake.table().update_schema() as change:
        change.add_column("price", BooleanType())
        change.add_column("name", LongType())
    lake.lands(*NEW)
    agree(lake, duck)
    for found in PyIceberg(lake.directory).read().rows:
        n = int(found["_lw_id"][-7:])
        assert "price" not in found and "name" not in found
        extra = json.loads(found.get("_lw_extra", "{}"))
        elsewhere = [found.get("price__double"), extra.get("price")]
        assert [it for it in elsewhere if it is not None] == ([n] if n in NEW else [])
        elsewhere = [found.get("name__text"), extra.get("name")]
        assert [it for it in elsewhere if it is not None] == ([f"name {n}"] if n in NEW else [])


def test_columns_in_another_order_are_the_same_columns(lake, duck):
    with lake.table().update_schema() as change:
        change.move_first("colour")
        change.move_after("price", "_lw_id")
        change.move_before("_lw_extra", "name")
    lake.lands(*NEW, added=lambda n: f"added {n}")
    added = {n: {"added": f"added {n}"} for n in NEW}
    lake.expect({n: row(n) | added.get(n, {}) for n in ALL})
    agree(lake, duck)
    names = [field.name for field in PyIceberg(lake.directory).schema.fields]
    assert names[0] == "colour" and names.index("price") == names.index("_lw_id") + 1


def test_wider_columns_stay_wide_and_take_what_narrow_ones_took(lake, duck):
    with lake.table().update_schema() as change:
        change.update_column("count", LongType())
        change.update_column("ratio", DoubleType())
        change.update_column("total", DecimalType(18, 2))
    lake.lands(*NEW)
    lake.expect(
        {n: row(n) for n in ALL}, count="long", ratio="double", total="decimal(18,2)", price="long"
    )
    agree(lake, duck)


def test_a_column_of_a_name_that_is_needed_is_used_where_it_fits(lake, duck):
    with lake.table().update_schema() as change:
        change.add_column("size", StringType(), doc="theirs")
        change.add_column("weight", BooleanType())
        change.add_column("price__text", LongType())
    lake.lands(*NEW, size=lambda n: f"size {n}", weight=lambda n: n + 0.5, price=lambda n: "many")
    agree(lake, duck)
    for found in PyIceberg(lake.directory).read().rows:
        n = int(found["_lw_id"][-7:])
        extra = json.loads(found.get("_lw_extra", "{}"))
        assert "weight" not in found and "price__text" not in found
        if n in OLD:
            assert found["price"] == n and "size" not in found and extra == {}
            continue
        assert found["size"] == f"size {n}" and "price" not in found
        weights = [found.get("weight__double"), extra.get("weight")]
        assert [it for it in weights if it is not None] == [n + 0.5]
        own = {name: value for name, value in found.items() if value == "many"}
        assert len(own) + ("price" in extra) == 1, found
        assert all(name.startswith("price__text_") for name in own)


def _by_name(change):
    change.add_field("name", IdentityTransform(), "by_name")


def _not_by_day(change):
    change.remove_field("arrived_day")


def _by_bucket(change):
    change.remove_field("arrived_day")
    change.add_field("_lw_id", BucketTransform(4), "by_name")


def _renamed(change):
    change.rename_field("arrived_day", "by_name")


@pytest.mark.parametrize("spec", [_by_name, _not_by_day, _by_bucket, _renamed])
def test_files_are_written_under_the_spec_there_is(lake, duck, spec):
    with lake.table().update_spec() as change:
        spec(change)
    # One of the fields is named like a partition.
    lake.lands(*NEW, by_name=lambda n: f"by {n}")
    agree(lake, duck)
    for found in PyIceberg(lake.directory).read().rows:
        n = int(found["_lw_id"][-7:])
        assert {name: found[name] for name in row(n)} == row(n)
        by = [value for name, value in found.items() if name.startswith("by_name")]
        by += [value for value in json.loads(found.get("_lw_extra", "{}")).values()]
        assert by == ([f"by {n}"] if n in NEW else [])
    # And once more, while files of two specs are there.
    with lake.table().update_spec() as change:
        change.add_field("colour", IdentityTransform(), "by_colour")
    lake.lands(8, 9)
    assert len(PyIceberg(lake.directory).read().rows) == 10
    agree(lake, duck)


NAMES = ["../../../../escaped", "x" * 300, "?x", "#x", "a b/c", "a%2Fb", ".", "plain"]


def test_what_senders_write_names_no_folder_but_plain_ones(lake, duck):
    with lake.table().update_spec() as change:
        change.add_identity("name")
    numbers = range(4, 4 + len(NAMES))
    lake.lands(*numbers, name=lambda n: NAMES[n - 4])
    found = {found["_lw_id"]: found["name"] for found in PyIceberg(lake.directory).read().rows}
    assert [found[identity(n)] for n in numbers] == NAMES
    outside = [it for it in lake.home.rglob("*.parquet") if lake.directory not in it.parents]
    assert outside == []
    assert len(list(lake.directory.glob("data/*/name=plain/*.parquet"))) == 1
    agree(lake, duck)


def test_what_is_required_within_a_value_may_be_missing_all_the_same(lake, duck):
    with lake.table().update_schema(allow_incompatible_changes=True) as change:
        change.add_column("tags", ListType(99, StringType(), element_required=True))
        change.add_column("place", StructType(NestedField(98, "city", StringType(), required=True)))
    lake.lands(*NEW, tags=lambda n: ["x", None], place=lambda n: {"zip": "1"})
    rows = {found["_lw_id"]: found for found in PyIceberg(lake.directory).read().rows}
    for n in NEW:
        found = rows[identity(n)]
        assert json.loads(found["tags__json"]) == ["x", None]
        assert json.loads(found["place__json"]) == {"zip": "1"}
    agree(lake, duck)


def test_a_quarantine_that_can_not_hold_a_record_fails_instead(lake, duck):
    lines = [event({n: order(n)}) for n in (20, 21)]
    text = base64.b64encode(json.dumps(order(20)).encode()).decode()
    broken = lines[0].replace(text, base64.b64encode(b"no json").decode())
    (lake.home / "bad.jsonl").write_text(broken)
    command = [BINARY, "replay", "--config", lake.home / "lakeward.toml"]
    command += ["--lake", lake.home / "lake", lake.home / "bad.jsonl"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    quarantine = open_table(lake.home / "lake" / "lakeward" / "quarantine")
    with quarantine.update_schema(allow_incompatible_changes=True) as change:
        change.delete_column("record")
    (lake.home / "bad.jsonl").write_text(broken.replace(sequence(20), sequence(21)))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "someone dropped one of its columns" in " ".join((done.stdout + done.stderr).split())


def test_tags_and_branches_stay_where_they_are(lake, duck):
    table = lake.table()
    before = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_tag(before, "quarter_close").create_branch(
        before, "audit"
    ).commit()
    for n in range(4, 40):
        lake.lands(n)
    table = lake.table()
    assert {name: ref.snapshot_id for name, ref in table.refs().items() if name != "main"} == {
        "quarter_close": before,
        "audit": before,
    }
    tagged = table.scan(snapshot_id=before).to_arrow()
    assert sorted(tagged["price"].to_pylist()) == [0, 1, 2, 3]
    lake.expect({n: row(n) for n in range(0, 40)})
    agree(lake, duck)


def stripped(lake: Lake):
    """The table without any property, and without a partition, which PyIceberg could not write."""
    table = lake.table()
    with table.transaction() as change:
        change.remove_properties(*table.properties)
    with table.update_spec() as change:
        change.remove_field("arrived_day")
    return table


def test_a_table_that_was_rewritten_without_our_properties_and_statistics(lake, duck):
    """Other engines' upkeep: what exactly-once needs is in the rows themselves."""
    lake.lands(*NEW)
    table = stripped(lake)
    with table.transaction() as change:
        change.set_properties({"write.metadata.metrics.default": "none"})
    table.overwrite(table.scan().to_arrow())
    manifests = table.current_snapshot().manifests(table.io)
    (file,) = (it for manifest in manifests for it in manifest.fetch_manifest_entry(table.io))
    assert file.data_file.record_count == len(ALL) and not file.data_file.lower_bounds
    lake.lands(8, 9, added=lambda n: f"added {n}")
    added = {n: {"added": f"added {n}"} for n in (8, 9)}
    lake.expect({n: row(n) | added.get(n, {}) for n in range(0, 10)})
    agree(lake, duck)
    properties = lake.table().properties
    assert properties["write.metadata.metrics.column._lw_position"] == "full"
    assert properties["write.metadata.metrics.default"] == "none"


def test_rows_that_someone_else_appends_are_found(lake, duck):
    """PyIceberg cuts its bounds of text at 16 characters."""
    numbers = range(100, 104)
    table = stripped(lake)
    theirs = table.scan().to_arrow()
    for name, values in {
        "_lw_id": [identity(n) for n in numbers],
        "_lw_position": [sequence(n).zfill(60) for n in numbers],
        "_lw_arrived_at": [datetime.fromtimestamp(arrival(n), UTC) for n in numbers],
    }.items():
        column = theirs.schema.get_field_index(name)
        naive = [it.replace(tzinfo=None) if isinstance(it, datetime) else it for it in values]
        field = theirs.schema.field(column)
        theirs = theirs.set_column(column, field, pa.array(naive, field.type))
    table.append(theirs)
    source = table.schema().find_field("_lw_source").field_id
    manifest = table.current_snapshot().manifests(table.io)[0]
    (file,) = manifest.fetch_manifest_entry(table.io)
    assert file.data_file.lower_bounds[source] == b"arn:aws:kinesis:"
    lake.lands(*NEW)
    lake.lands(*numbers)
    theirs = {100 + n: row(n) for n in OLD}
    lake.expect({n: row(n) for n in ALL} | theirs)
    agree(lake, duck)


def test_pyiceberg_commits_while_we_do(lake, duck):
    numbers = range(0, 60)
    lake.sent |= {n: order(n) for n in numbers}
    processes = [
        lake.start(f"at-once-{at}", [range(n, n + 12) for n in range(at * 3, 49, 6 + at)])
        for at in range(0, 4)
    ]
    added = 0
    while any(process.poll() is None for process in processes) or added < 3:
        try:
            with lake.table().update_schema() as change:
                change.add_column(f"theirs_{added}", StringType())
            added += 1
        except CommitFailedException:
            continue  # we were quicker
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, out + err
    # Whoever was last to write the hint may not have been last to commit; this repairs it.
    lake.lands(*numbers)
    lake.expect({n: row(n) for n in numbers}, **{f"theirs_{n}": "string" for n in range(added)})
    agree(lake, duck)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda it: it.delete_column("_lw_digest"), "it has no column _lw_digest"),
        (lambda it: it.rename_column("_lw_key", "key"), "it has no column _lw_key"),
        (lambda it: it.make_column_optional("_lw_id"), "someone made column _lw_id optional"),
    ],
)
def test_a_table_without_its_lineage_is_left_alone(lake, duck, change, problem):
    with lake.table().update_schema(allow_incompatible_changes=True) as update:
        change(update)
    before = sorted(lake.directory.rglob("*"))
    done = lake.replay(*NEW)
    assert done.returncode == 1
    assert problem in " ".join((done.stdout + done.stderr).split())
    assert sorted(lake.directory.rglob("*")) == before
    agree(lake, duck)
