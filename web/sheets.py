"""Rows as CSV, for those who count in a spreadsheet."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from web.cluster import Plain

#: What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def sheet(rows: Sequence[Plain], shape: type[msgspec.Struct]) -> str:
    """One line a row, under the names of its fields; what is within a row's object has a column of its own."""
    columns = _columns(shape)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        flat = _flat(row)
        writer.writerow([_cell(flat.get(column)) for column in columns])
    return out.getvalue()


def _columns(shape: type[msgspec.Struct]) -> list[str]:
    columns = []
    for field in msgspec.structs.fields(shape):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            columns += [f"{field.encode_name}_{name}" for name in _columns(field.type)]
        else:
            columns.append(field.encode_name)
    return columns


def _flat(row: Plain) -> Plain:
    flat: Plain = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{inner}": held for inner, held in value.items()}
        else:
            flat[name] = value
    return flat


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            # Somebody else's text must not become somebody's formula; an amount may begin with a minus.
            is_formula = value.startswith(_FORMULA) and not value[1:].replace(".", "", 1).isdigit()
            return f"'{value}" if is_formula else value
        case _:
            return msgspec.json.encode(value).decode()
