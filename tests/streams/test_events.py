"""What leaves is what the published schemas say: all of it, and nothing else."""

from typing import Any

import orjson
import pytest

from streams.fold import Output
from tests.streams.test_alerting import rule
from tests.streams.test_bookkeeper import Desk, History, contract
from tests.wire.exact import Exact, closed, loads
from wire.schemas import documents

SNAPSHOT_SCHEMA = closed(documents()["history-snapshot.schema.json"])
HEADERS_SCHEMA = documents()["dead-letter.headers.schema.json"]
SNAPSHOT, HEADERS = Exact(SNAPSHOT_SCHEMA), Exact(HEADERS_SCHEMA)
ALERT = Exact(closed(documents()["threshold-alert.schema.json"]))


def told() -> list[Output]:
    """What follows from random histories, from one that is corrected, and from what nobody can read."""
    outputs = [output for seed in range(12) for output in History(seed).play(restarts=False)]
    desk = Desk()
    contract(desk)
    edit = {
        "id": "e",
        "contract_id": "c",
        "subscription_id": "team",
        "operations": [{"op": "add_seats", "seat_ids": ["cy"]}],
    }
    desk.say("seat-change", **edit)
    outputs += desk.fold(desk.record("seat-change", b'{"id": "late", "customer_id": "acme", "contract_id": "c", '
        b'"subscription_id": "team", "time": "2026-03-15T00:00:00Z", '
        b'"operations": [{"op": "remove_seats", "seat_ids": ["bo"]}]}'))  # fmt: skip
    return outputs + desk.fold(desk.record("credit-burn", b"\xff"), desk.record("credit-burn", b'{"id": "b"}'))


@pytest.fixture(scope="module")
def outputs() -> list[Output]:
    return told()


def test_every_snapshot_is_valid_and_says_nothing_that_is_not_declared(outputs: list[Output]) -> None:
    said = [loads(output.value or b"") for output in outputs if output.kind == "history-snapshot"]

    assert len(said) > 200
    for one in said:
        SNAPSHOT.validate(one)


def test_every_alert_is_valid_and_says_nothing_that_is_not_declared() -> None:
    desk = Desk()
    contract(desk)
    rules = [
        ("balance", "seat", ["4", "2"]),
        ("balance_percent", "pool", ["50"]),
        ("seats_over", "subscription", ["1"]),
    ]
    outputs = [
        output
        for metric, scope, levels in rules
        for output in rule(desk, rule_id=metric, metric=metric, scope=scope, levels=levels)
    ]
    for number, seat_id in enumerate(("ana", "bo", None)):
        held = {
            "id": f"b{number}",
            "customer_id": "acme",
            "seat_id": seat_id,
            "amount": "60",
            "time": "2026-03-16T11:00:00Z",
        }
        outputs += desk.fold(desk.record("credit-burn", orjson.dumps(held)))
    outputs += desk.at("2026-04-01T00:00:00Z").tick()
    said = [loads(output.value or b"") for output in outputs if output.kind == "threshold-alert"]

    assert {one["metric"] for one in said} == {metric for metric, _, _ in rules}
    assert {one["state"] for one in said} >= {"in_alarm", "resolved"}
    for one in said:
        ALERT.validate(one)


def test_every_dead_letter_says_why_in_the_headers_that_are_declared(outputs: list[Output]) -> None:
    letters = [output for output in outputs if output.kind == "dead-letter"]
    declared = set(HEADERS_SCHEMA["properties"])

    assert len(letters) > 20
    for letter in letters:
        headers = {name: (value or b"").decode() for name, value in letter.headers}
        HEADERS.validate(headers)
        assert {name for name in headers if name.startswith("seatstream.")} <= declared


def test_nothing_is_declared_that_never_leaves(outputs: list[Output]) -> None:
    said = [loads(output.value or b"") for output in outputs if output.kind == "history-snapshot"]
    seen: set[str] = set()
    for one in said:
        _names(one, seen)
    declared: set[str] = set()
    _declared(SNAPSHOT_SCHEMA, declared)

    assert declared - seen == set()


def _names(held: Any, found: set[str]) -> None:
    match held:
        case dict():
            found |= held.keys()
            for one in held.values():
                _names(one, found)
        case list():
            for one in held:
                _names(one, found)


def _declared(schema: Any, found: set[str]) -> None:
    match schema:
        case dict():
            found |= schema.get("properties", {}).keys()
            for one in schema.values():
                _declared(one, found)
        case list():
            for one in schema:
                _declared(one, found)
