"""A validator that is as exact as the wire: numbers without floats, the regular expressions that JSON Schema means."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import jsonschema
import regress
from jsonschema.protocols import Validator


def _whole(_: Any, value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, Decimal) and value == value.to_integral_value()
    )


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(value, str) and regress.Regex(pattern).find(value) is None:
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


Exact: type[Validator] = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    validators={"pattern": _pattern},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _whole),
)


def loads(value: bytes) -> Any:
    return json.loads(value, parse_float=Decimal)


def closed(schema: Any) -> Any:
    """The same schema, where nothing may be said that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    held = {key: closed(one) for key, one in schema.items()}
    return held | {"additionalProperties": False} if "properties" in schema else held
