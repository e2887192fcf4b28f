"""The OpenAPI document, written from what the handlers check and answer, and a page to read it."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
import orjson
from aiohttp import web

from web import api, asked
from web.api import Path
from web.facts import TOPICS
from web.problems import ProblemBody

#: What may come back instead of an answer.
_PROBLEMS = {
    "400": "A parameter does not fit; `field` names it",
    "401": "No token, or none that counts",
    "403": "The token is for something else",
    "404": "Not known",
    "406": "Not in this form",
    "410": "Further back than anything of the customer is kept",
    "421": "Where no tokens are set: `Host` is not this machine's loopback address",
    "429": "Too many questions",
    "503": "Not now: nobody folds the partition yet, or it takes too long; `Retry-After` says when",
}
#: And where facts are published.
_OF_FACTS = {
    "413": "More than 1,000 facts, or more than 32 MB",
    "504": "In the log, and not folded in time; `ids` names them, and a retry is safe",
}
_FACT = {
    "type": "object",
    "description": "What goes over this topic; docs/events has the schemas. A rule counts for every partition once it is folded;"
    " a tick (`control`) goes to all of them, where ticks move time (SEATSTREAM_CLOCK=topic).",
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"oneOf": [_FACT, {"type": "array", "items": _FACT, "maxItems": 1000}]}},
        "application/x-ndjson": {"schema": {"type": "string"}},
    },
}


def routes() -> Iterable[web.RouteDef]:
    async def openapi(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(document()), content_type="application/json")

    yield web.get("/openapi.json", openapi)


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    shapes: list[type[msgspec.Struct]] = [*(path.answers for path in api.PATHS), ProblemBody]
    refs, components = msgspec.json.schema_components(
        shapes, schema_hook=asked.schema_of, ref_template="#/components/schemas/{name}"
    )
    answers = dict(zip((shape.__name__ for shape in shapes), refs, strict=True))
    paths: dict[str, Any] = {}
    for path in api.PATHS:
        paths.setdefault(path.path, {})[path.method.lower()] = _operation(path, answers)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SeatStream",
            "version": _version(),
            "summary": "How many credits are left, for whom, and why",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
        "security": [{"bearer": []}, {"key": []}],
    }


def _operation(path: Path, answers: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": answers[path.answers.__name__]}}
    if path.sheet is not None:
        content["text/csv"] = {"schema": {"type": "string"}}
    posts = path.method == "POST"
    problem = {"application/problem+json": {"schema": answers[ProblemBody.__name__]}}
    return {
        "operationId": path.name,
        "summary": path.summary,
        "parameters": [*_in_path(path), *_in_query(path)],
        "responses": {
            "200": {"description": path.summary, "content": content},
            **({"422": {"description": "As 200, and some were refused", "content": content}} if posts else {}),
            **{status: {"description": said, "content": problem} for status, said in _PROBLEMS.items()},
            **(
                {status: {"description": said, "content": problem} for status, said in _OF_FACTS.items()}
                if posts
                else {}
            ),
        },
        **({"requestBody": _BODY} if posts else {}),
    }


def _in_path(path: Path) -> list[dict[str, Any]]:
    if "{topic}" in path.path:
        topics = {"type": "string", "enum": list(TOPICS)}
        return [
            {
                "name": "topic",
                "in": "path",
                "required": True,
                "description": "Where to; `alert-rule` and `control` are for tokens of all customers",
                "schema": topics,
            }
        ]
    if "{customer_id}" not in path.path:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": api.NAME_LENGTH}
    said = (
        "The customer, percent-encoded where need be. The ids `.` and `..`, which no client sends as they are, have a `~`"
        " before them here, and so has any of `~`s and these: `~..` means `..`, `~~..` means `~..`"
    )
    return [{"name": "customer_id", "in": "path", "required": True, "description": said, "schema": schema}]


def _in_query(path: Path) -> list[dict[str, Any]]:
    _, shapes = msgspec.json.schema_components([path.asks], schema_hook=asked.schema_of)
    shape = shapes[path.asks.__name__]
    return [_parameter(name, schema, name in shape.get("required", ())) for name, schema in shape["properties"].items()]


def _parameter(name: str, schema: dict[str, Any], required: bool) -> dict[str, Any]:
    """A query has no null: what may be left out is not required, and has no default that says so."""
    schema = dict(schema)
    if "anyOf" in schema:
        [schema] = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
        schema = dict(schema)
    elif schema.get("default") in (None, []):
        schema.pop("default", None)
    description = schema.pop("description", "")
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def _version() -> str:
    try:
        return version("seatstream")
    except PackageNotFoundError:
        return "0"
