"""Two engines that know nothing of this project read the same table directory."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from cells import read_cell, type_name
from duckdb.sqltypes import DuckDBPyType
from places import ENDPOINT, REGION, SECRET, S3Path
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable

_METADATA = re.compile(r"v(\d+)\.metadata\.json")


@dataclass
class Contents:
    """What an engine sees: the name of each column's type, and rows of JSON cells."""

    columns: dict[str, str]
    rows: list[dict]


def newest_version(table: Path | S3Path) -> int:
    """The highest `vN.metadata.json`; 0 where there is none."""
    names = (_METADATA.fullmatch(path.name) for path in (table / "metadata").iterdir())
    return max((int(name[1]) for name in names if name), default=0)


class PyIceberg:
    """Opens the newest metadata file, whatever the hint says."""

    _S3 = {
        "s3.endpoint": ENDPOINT,
        "s3.region": REGION,
        "s3.access-key-id": SECRET,
        "s3.secret-access-key": SECRET,
    }

    def __init__(self, directory: Path | S3Path):
        metadata = directory / "metadata" / f"v{newest_version(directory)}.metadata.json"
        properties = self._S3 if isinstance(directory, S3Path) else {}
        self.table = StaticTable.from_metadata(str(metadata), properties)
        self.schema: Schema = self.table.schema()

    def read(self) -> Contents:
        """All rows."""
        columns = {field.name: type_name(field.field_type) for field in self.schema.fields}
        return Contents(columns, _rows(self.table.scan().to_arrow(), self.schema))


class DuckDb:
    """One connection for all tables, with the extensions that its Python packages carry."""

    def __init__(self):
        # The files are the signed ones of DuckDB's site, but a signature counts only there.
        self.connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        self.connection.execute("SET autoinstall_known_extensions = false")
        for name in ("avro", "iceberg"):
            self.connection.execute(f"LOAD '{_extension(name)}'")

    def reach_s3(self):
        """Reads tables in S3 from now on, too."""
        self.connection.execute(f"LOAD '{_extension('httpfs')}'")
        self.connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{SECRET}', SECRET '{SECRET}', REGION '{REGION}',"
            f" ENDPOINT '{ENDPOINT.removeprefix('http://')}', USE_SSL false, URL_STYLE 'path')"
        )

    def read(self, directory: Path | S3Path, schema: Schema) -> Contents:
        """All rows of a table, found through `version-hint.text`."""
        scan = self.connection.sql("SELECT * FROM iceberg_scan(?)", params=[str(directory)])
        columns = dict(zip(scan.columns, map(_duckdb_name, scan.types)))
        return Contents(columns, _rows(scan.to_arrow_table(), schema))

    def count(self, directory: Path | S3Path, wanted: dict[str, str]) -> int:
        """Rows that filters find, which may skip files and row groups by their bounds."""
        filters = " AND ".join('"{}" = ?'.format(name.replace('"', '""')) for name in wanted)
        query = f"SELECT count(*) FROM iceberg_scan(?) WHERE {filters}"
        return self.connection.execute(query, [str(directory), *wanted.values()]).fetchone()[0]


def _extension(name: str) -> Path:
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    (root,) = package.submodule_search_locations
    (path,) = Path(root).rglob(f"{name}.duckdb_extension")
    return path


def _rows(table: pa.Table, schema: Schema) -> list[dict]:
    """Rows without their nulls, because a column that a row does not name is null."""
    types = {field.name: field.field_type for field in schema.fields}
    columns = [
        [(name, read_cell(value, types[name])) for value in table.column(name).to_pylist()]
        for name in table.column_names
        if name in types
    ]
    cells = zip(*columns) if columns else ()
    return [{name: cell for name, cell in row if cell is not None} for row in cells]


def _duckdb_name(ty: DuckDBPyType) -> str:
    """The Iceberg name of a DuckDB type, as `type_name` prints it."""
    if ty.id == "decimal":
        (_, precision), (_, scale) = ty.children
        return f"decimal({precision},{scale})"
    if ty.id == "list":
        ((_, element),) = ty.children
        return f"list<{_duckdb_name(element)}>"
    if ty.id == "struct":
        fields = (f"{name}: {_duckdb_name(field)}" for name, field in ty.children)
        return f"struct<{', '.join(fields)}>"
    return _DUCKDB_NAMES.get(ty.id, ty.id)


_DUCKDB_NAMES = {
    "varchar": "string",
    "integer": "int",
    "bigint": "long",
    "blob": "binary",
    "timestamp with time zone": "timestamptz",
}
