"""How rules stand, over real HTTP: what the watch has in its rows is what is answered, page by page."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from alerts.watcher import Memory, Watcher
from ledger.instants import instant
from ledger.outcome import Folded
from tests.ledger.language import facts
from tests.web.cluster import Partition, Server, served
from tests.web.test_api import shaped
from web import shapes
from wire.rules import Rule, read_rule

STORY = """
    contract c-1 from 2026-01-01 bringing
    subscription team seats ana bo cy included 3
    recurring monthly 20 per seat of team every P1M
    grant pooled 500 from 2026-01-01
    burn 17 by ana at 2026-01-16T09:30 id run-1
    burn 19.5 by bo at 2026-01-17 id run-2
"""
ALERTS = "/v1/customers/acme/alerts"
RULES: list[dict[str, Any]] = [
    {"rule_id": "low", "name": "Low", "metric": "balance", "scope": "seat", "levels": ["5", "1"]},
    {"rule_id": "pool", "name": "Pool", "metric": "balance_percent", "scope": "pool", "levels": ["10"]},
    {"rule_id": "seats", "name": "Seats", "metric": "seats_used_percent", "scope": "subscription", "levels": ["100"]},
]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with served() as running:
        partition = running.worker.shared.all[running.worker.shared.of("acme")]
        watch(partition)
        yield running


def watch(partition: Partition) -> None:
    rules = [read_rule(None, orjson.dumps(rule)) for rule in RULES]
    watcher = Watcher(partition.rows, Memory())
    for rule in rules:
        assert isinstance(rule, Rule)
        watcher.rule(rule, instant("2026-01-01T00:00:00Z"))
    list(watcher.close(instant("2026-01-01T00:00:00Z")))
    for fact, arrived_at in facts(STORY):
        watcher = Watcher(partition.rows, Memory())
        outcome = partition.fold(fact, arrived_at)
        assert isinstance(outcome, Folded)
        watcher.note(fact, outcome)
        list(watcher.close(partition.clock))


async def ask(server: Server, query: str = "") -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = shaped(await server.get(f"{ALERTS}?{query}"), shapes.Alerts)["data"]
    return data


async def test_every_rule_stands_somewhere_for_every_subject(server: Server) -> None:
    rows = await ask(server)

    assert [
        (row["rule_id"], row["subject"].get("seat_id"), row["state"], row["level"], row["value"]) for row in rows
    ] == [
        ("low", "ana", "in_alarm", "5", "3"),
        ("low", "bo", "in_alarm", "1", "0.5"),
        ("low", "cy", "ok", None, "20"),
        ("pool", None, "ok", None, None),  # the customer's, which was never given anything
        ("pool", None, "ok", None, "100"),
        ("seats", None, "in_alarm", "100", "100"),
    ]
    assert rows[0]["since"] == "2026-01-16T09:30:00Z" and rows[0]["alert_id"]
    assert rows[2]["alert_id"] is None
    assert [row["subject"] for row in rows[3:5]] == [{}, {"contract_id": "c-1"}]
    assert rows[5]["subject"] == {"contract_id": "c-1", "subscription_id": "team"}


async def test_filters_of_alerts(server: Server) -> None:
    counts = {"rule_id=low": 3, "seat_id=bo": 1, "state=in_alarm": 3, "contract_id=c-2": 0, "state=ok&rule_id=low": 1}
    for query, count in counts.items():
        assert len(await ask(server, query)) == count, query
    assert len(await ask(server, "contract_id=c-1")) == 5


async def test_alerts_page_by_page_are_those_at_once(server: Server) -> None:
    rows, cursor = [], ""
    while True:
        held = await server.get(f"{ALERTS}?limit=2{cursor}")
        rows += held["data"]
        if held["next_cursor"] is None:
            break
        cursor = f"&cursor={held['next_cursor']}"

    assert rows == await ask(server)


async def test_what_cannot_be_asked_of_alerts_names_its_field(server: Server) -> None:
    for query, field in (("state=loud", "state"), ("cursor=abc", "cursor"), ("level=1", "level")):
        assert (await server.get(f"{ALERTS}?{query}", 400))["field"] == field
