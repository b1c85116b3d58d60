"""What manifests say about data files, held against the files themselves.

An engine skips a file whose bounds exclude a value, so a bound that is too narrow makes rows
vanish from some queries only. A bound may be wider than the data, or absent.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from places import place
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import IcebergType, PrimitiveType, StringType


def problems(table: Table) -> Iterator[str]:
    """Every statement about a live data file that is not true."""
    snapshot = table.current_snapshot()
    for manifest in snapshot.manifests(table.io) if snapshot else ():
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            yield from of_file(entry.data_file, table.schema())


def of_file(file: DataFile, schema: Schema) -> Iterator[str]:
    """Every statement about one data file that is not true."""
    path = place(file.file_path)
    if not path.is_file():
        yield f"{path.name} is not there"
        return
    parquet = pq.ParquetFile(path.open("rb"))
    if file.record_count != parquet.metadata.num_rows:
        yield f"{path.name}: {file.record_count} records said, {parquet.metadata.num_rows} there"
    if file.file_size_in_bytes != path.stat().st_size:
        yield f"{path.name}: {file.file_size_in_bytes} bytes said, {path.stat().st_size} there"
    types = {field.field_id: field.field_type for field in schema.fields}
    data = parquet.read()
    for field, column in zip(data.schema, data.columns):
        number = int(field.metadata[b"PARQUET:field_id"])
        ty = types.get(number)
        # A column that was dropped since is nobody's any more.
        if ty is not None:
            for problem in _of_column(file, number, ty, column):
                yield f"{path.name}: {field.name}: {problem}"


def _of_column(
    file: DataFile, number: int, ty: IcebergType, column: pa.ChunkedArray
) -> Iterator[str]:
    nulls = (file.null_value_counts or {}).get(number)
    if nulls is not None and nulls != column.null_count:
        yield f"{nulls} nulls said, {column.null_count} there"
    values = (file.value_counts or {}).get(number)
    if values is not None and values != len(column):
        yield f"{values} values said, {len(column)} there"
    if not isinstance(ty, PrimitiveType):
        return
    lower = (file.lower_bounds or {}).get(number)
    upper = (file.upper_bounds or {}).get(number)
    if column.null_count == len(column) or (lower is None and upper is None):
        return
    least, most = _extremes(column, ty)
    if lower is not None and _comparable(from_bytes(ty, lower), ty) > least:
        yield f"the lower bound {from_bytes(ty, lower)!r} is above {least!r}"
    if upper is not None and _comparable(from_bytes(ty, upper), ty) < most:
        yield f"the upper bound {from_bytes(ty, upper)!r} is below {most!r}"


def _extremes(column: pa.ChunkedArray, ty: PrimitiveType):
    """Smallest and largest value, in the order that bounds of the type are in."""
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
    if isinstance(ty, StringType):
        column = column.cast(pa.large_binary())
    if pa.types.is_boolean(column.type):
        values = [value for value in column.to_pylist() if value is not None]
        return min(values), max(values)
    extremes = pc.min_max(column)
    return extremes["min"].as_py(), extremes["max"].as_py()


def _comparable(bound, ty: PrimitiveType):
    """Text is ordered by its UTF-8 bytes; times are the numbers that the format stores."""
    return bound.encode() if isinstance(ty, StringType) else bound
