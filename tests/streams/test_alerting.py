"""Alerts leave with the batch of the fact that caused them; time alone may cause them too."""

from typing import Any

import orjson

from streams.fold import Output
from tests.streams.test_bookkeeper import SETTINGS, Desk, contract
from wire.rules import read_rule, write_rule


def rule(desk: Desk, **said: Any) -> list[Output]:
    held = {"rule_id": "low", "name": "Low", "metric": "balance", "scope": "seat", "levels": ["2"]} | said
    read = read_rule(None, orjson.dumps(held))
    return desk.fold(desk.record("control", write_rule(read)))  # type: ignore[arg-type]


def alerts(outputs: list[Output]) -> list[dict[str, Any]]:
    return [orjson.loads(output.value or b"") for output in outputs if output.kind == "threshold-alert"]


def burned(desk: Desk, id: str, amount: str, time: str, seat_id: str = "ana") -> list[dict[str, Any]]:
    held = {"id": id, "customer_id": "acme", "seat_id": seat_id, "amount": amount, "time": time}
    return alerts(desk.fold(desk.record("credit-burn", orjson.dumps(held))))


def gist(alert: dict[str, Any]) -> tuple[Any, ...]:
    return alert["state"], alert["seat_id"], alert["level"], alert["value"], alert["time"]


def test_a_burn_that_crosses_a_level_says_so_once() -> None:
    desk = Desk(SETTINGS)
    contract(desk, grants=[])
    assert alerts(rule(desk)) == []
    desk.at("2026-03-16T13:00:00Z")

    assert burned(desk, "b1", "2.5", "2026-03-16T12:30:00Z") == []
    (alert,) = burned(desk, "b2", "0.5", "2026-03-16T12:59:59Z")
    assert gist(alert) == ("in_alarm", "ana", "2", "2", "2026-03-16T12:59:59Z")
    assert alert["cause"] == {"type": "credit-burn", "id": "b2"}
    assert alert["as_of"]["offsets"]["credit-burn-0"] == 2
    assert burned(desk, "b3", "0.5", "2026-03-16T13:00:00Z") == []
    desk.restart()
    assert burned(desk, "b4", "0.5", "2026-03-16T13:00:00Z") == []


def test_a_new_period_resolves_at_its_instant_without_traffic() -> None:
    desk = Desk(SETTINGS)
    contract(desk, grants=[])
    rule(desk)
    burned(desk, "b1", "4", "2026-03-16T11:00:00Z")

    (resolved,) = alerts(desk.at("2026-04-01T00:00:00Z").tick())

    assert gist(resolved) == ("resolved", "ana", "2", "5", "2026-04-01T00:00:00Z")
    assert resolved["cause"] == {"type": "contract-change", "id": "k"}


def test_a_late_fact_takes_a_crossing_away() -> None:
    desk = Desk(SETTINGS)
    contract(desk, grants=[])
    rule(desk)
    (alert,) = burned(desk, "b1", "4", "2026-03-16T11:00:00Z")
    grant = {
        "type": "credits.granted",
        "id": "g",
        "customer_id": "acme",
        "grant_id": "gift",
        "contract_id": "c",
        "seat_id": "ana",
    }
    held = grant | {"amount": "10", "time": "2026-03-16T12:00:00Z", "effective_at": "2026-03-10T00:00:00Z"}

    (retracted,) = alerts(desk.fold(desk.record("contract-change", orjson.dumps(held))))

    assert (retracted["state"], retracted["alert_id"]) == ("retracted", alert["alert_id"])


def test_a_rule_that_is_archived_ends_its_alarms() -> None:
    desk = Desk(SETTINGS)
    contract(desk, grants=[])
    rule(desk)
    burned(desk, "b1", "4", "2026-03-16T11:00:00Z")

    (archived,) = alerts(rule(desk, archived=True))

    assert (archived["state"], archived["seat_id"]) == ("archived", "ana")
    assert burned(desk, "b2", "1", "2026-03-16T11:30:00Z") == []
