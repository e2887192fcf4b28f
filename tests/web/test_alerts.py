"""How rules stand, over real HTTP: what the watch has in its rows is what is answered, page by page."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ledger.instants import instant
from ledger.outcome import Folded
from tests.ledger.language import facts
from tests.web.cluster import Partition, Server, served
from tests.web.test_api import shaped
from tests.web.test_pages import page
from web import shapes

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
    partition.clock = instant("2026-01-01T00:00:00Z")
    for rule in RULES:
        partition.watch(rule)
    for fact, arrived_at in facts(STORY):
        assert isinstance(partition.fold(fact, arrived_at), Folded)


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


# --- in the view -----------------------------------------------------------------------------------------------------


async def seen(server: Server, path: str) -> str:
    """The alerts of a page."""
    found = await page(server, path)
    return found.text.split(" Alerts ")[1].split("As the rules that stand now")[0]


def say(server: Server, said: dict[str, Any]) -> None:
    """One more rule."""
    server.worker.shared.all[server.worker.shared.of("acme")].watch(said)


async def test_who_is_in_alarm_is_on_the_page_of_its_customer_and_its_seat(server: Server) -> None:
    customer = await seen(server, "/customers/acme")
    # The newest first; of one instant by rule and level.
    assert re.findall(
        r"(Low|Seats) (\S+|subscription team) (\S+ (?:credits|% of seats)) (\S+) (2026-\S+ \S+)", customer
    ) == [
        ("Low", "bo", "1 credits", "0.5", "2026-01-17 00:00:00"),
        ("Low", "bo", "5 credits", "0.5", "2026-01-17 00:00:00"),
        ("Low", "ana", "5 credits", "3", "2026-01-16 09:30:00"),
        ("Seats", "subscription team", "100 % of seats", "100", "2026-01-01 00:00:00"),
    ]
    assert "In alarm now" in customer and "Over" not in customer
    assert "Low 5 credits 3 2026-01-16 09:30:00" in await seen(server, "/customers/acme/seats/ana")
    assert "Nobody is in alarm" in await seen(server, "/customers/acme/seats/cy")


async def test_alarms_are_shown_as_they_were_at_an_instant(server: Server) -> None:
    server.worker.shared.all[server.worker.shared.of("acme")].pass_to(
        instant("2026-02-03T00:00:00Z")
    )  # both have their next month
    now = await seen(server, "/customers/acme/seats/ana")
    assert "Nobody is in alarm" in now
    assert "Over Rule Level Value then Since Until Low 5 credits 3 2026-01-16 09:30:00 2026-02-01 00:00:00" in now
    then = await seen(server, "/customers/acme/seats/ana?at=2026-01-31T23:59:59")
    assert "In alarm then" in then and "Over" not in then
    before = await seen(server, "/customers/acme?at=2026-01-16T12:00:00")
    assert " ana 5 credits" in before and " bo " not in before


async def test_levels_are_in_the_curve(server: Server) -> None:
    say(
        server, {"rule_id": "percent", "name": "Little", "metric": "balance_percent", "scope": "seat", "levels": ["25"]}
    )
    say(
        server,
        {"rule_id": "other", "name": "Bo's", "metric": "balance", "scope": "seat", "levels": ["7"], "seat_id": "bo"},
    )
    found = await page(server, "/customers/acme/seats/ana?at=2026-01-20T00:00:00")
    [chart] = [attrs["aria-label"] or "" for tag, attrs in found.tags if tag == "svg" and attrs.get("class") == "chart"]
    assert chart.endswith("Somebody is warned at: Low: 5; Low: 1; Little: 25 %.")
    drawn = {attrs["d"] for tag, attrs in found.tags if tag == "path" and attrs.get("class") == "level"}
    # 240 high, of which 192 are for 20 credits: 5 of them, and 25 % of 20, lie 48 above the floor at 214.
    ends = {(d or "").rpartition("V")[2] for d in drawn}
    assert ends == {"166.0", "204.4"} and len(drawn) == 3
    assert {"Low: 5", "Low: 1", "Little: 25 %"} <= {said.strip() for said in found.seen}
    assert "Seats: 100" not in found.text


async def test_what_rules_are_called_is_data(server: Server) -> None:
    name = "<script>alert(1)</script>"
    say(server, RULES[0] | {"name": name})
    found = await page(server, "/customers/acme/seats/ana")
    assert any(name in said for said in found.seen)
    assert [tag for tag, attrs in found.tags if tag == "script" and "src" not in attrs] == []


async def test_what_cannot_be_asked_of_alerts_names_its_field(server: Server) -> None:
    for query, field in (("state=loud", "state"), ("cursor=abc", "cursor"), ("level=1", "level")):
        assert (await server.get(f"{ALERTS}?{query}", 400))["field"] == field
