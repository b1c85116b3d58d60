"""Values as JSON, by the rules that `rows.jsonl`, `expected.json` and `show --format json` share.

Integers and doubles are JSON numbers, a decimal is text with all digits of its scale, times are UTC
text without a zone and without trailing zeros, binary is base64. A field of a struct that is null
is left out.
"""

import base64
import math
import struct
from datetime import UTC
from uuid import UUID

from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    StructType,
    TimestampType,
    TimestamptzType,
    UUIDType,
)


class Misfit(Exception):
    """An expected value that no column of that type can hold."""


def type_name(ty: IcebergType) -> str:
    """`decimal(12,2)`, `list<string>`, `struct<a: long>`: the names that the project prints."""
    if isinstance(ty, DecimalType):
        return f"decimal({ty.precision},{ty.scale})"
    if isinstance(ty, ListType):
        return f"list<{type_name(ty.element_type)}>"
    if isinstance(ty, StructType):
        fields = (f"{field.name}: {type_name(field.field_type)}" for field in ty.fields)
        return f"struct<{', '.join(fields)}>"
    return str(ty)


def read_cell(value, ty: IcebergType):
    """A value that a reader returned, as JSON."""
    if value is None:
        return None
    if isinstance(ty, ListType):
        return [read_cell(item, ty.element_type) for item in value]
    if isinstance(ty, StructType):
        cells = {field.name: read_cell(value[field.name], field.field_type) for field in ty.fields}
        return {name: cell for name, cell in cells.items() if cell is not None}
    if isinstance(ty, (FloatType, DoubleType)):
        return str(value) if math.isnan(value) or math.isinf(value) else value
    if isinstance(ty, DecimalType):
        return format(value, "f")
    if isinstance(ty, DateType):
        return value.isoformat()
    if isinstance(ty, (TimestampType, TimestamptzType)):
        return _time(value)
    if isinstance(ty, (BinaryType, FixedType)):
        return base64.b64encode(value).decode()
    if isinstance(ty, UUIDType):
        return str(value if isinstance(value, UUID) else UUID(bytes=value))
    return value


def expected_cell(value, ty: IcebergType):
    """A value of `expected.json`, brought to the form of `read_cell`; `Misfit` if it has none."""
    if value is None:
        return None
    if isinstance(ty, ListType):
        return [expected_cell(item, ty.element_type) for item in _of(list, value, ty)]
    if isinstance(ty, StructType):
        types = {field.name: field.field_type for field in ty.fields}
        unknown = [name for name in _of(dict, value, ty) if name not in types]
        if unknown:
            raise Misfit(f"{type_name(ty)} has no field {unknown[0]!r}")
        cells = {name: expected_cell(cell, types[name]) for name, cell in value.items()}
        return {name: cell for name, cell in cells.items() if cell is not None}
    if isinstance(ty, BooleanType):
        return _of(bool, value, ty)
    # In Python a bool is an int, and 1 == 1.0 == True.
    if isinstance(value, bool):
        raise Misfit(f"{value!r} is no {type_name(ty)}")
    if isinstance(ty, (IntegerType, LongType)):
        return _of(int, value, ty)
    if isinstance(ty, DoubleType):
        return float(_of((int, float), value, ty))
    if isinstance(ty, FloatType):
        return struct.unpack("f", struct.pack("f", _of((int, float), value, ty)))[0]
    return _of(str, value, ty)


def same(left, right) -> bool:
    """Whether two cells are the same, kind and all: `1`, `1.0` and `True` are three values."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


def _of(kind, value, ty: IcebergType):
    if not isinstance(value, kind):
        raise Misfit(f"{value!r} is no {type_name(ty)}")
    return value


def _time(value) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    text = value.isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".")
