"""Every list that has pages, through 10,000 rows while facts flow: whoever was there throughout is told once, in one order."""

import random
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Final

import orjson
import pytest

from ledger import instants
from ledger.facts import Topic
from ledger.instants import DAY, HOUR, MINUTE, Instant
from tests.web.cluster import Partition, Server, served
from wire.codec import Unreadable, read

MANY: Final = 10_000
BEGUN: Final = instants.instant("2026-01-01T00:00:00Z")
NOW: Final = instants.instant("2026-03-01T00:00:00Z")
ACME: Final = "/v1/customers/acme"

pytestmark = pytest.mark.heavy


class Flow:
    """Facts, one after the other; each page is asked for after some more of them."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._chance = random.Random(5)
        self._said = 0
        self.now = BEGUN

    def say(self, topic: Topic, at: Instant, **said: Any) -> None:
        self._said += 1
        self.now = max(self.now, at)
        whole = {"id": f"f{self._said}", "customer_id": "acme", "time": instants.text(at)} | said
        fact = read(topic, None, orjson.dumps(whole))
        assert not isinstance(fact, Unreadable), fact
        self._partition.fold(fact, self.now)

    def contract(self, customer_id: str = "acme", **said: Any) -> None:
        self.say("contract-change", BEGUN, customer_id=customer_id, type="contract.created", contract_id="c", **said)

    def burn(self, at: Instant, seat_id: str | None = None) -> None:
        self.say("credit-burn", at, contract_id="c", seat_id=seat_id, amount="0.5")

    def edit(self, at: Instant, **operation: Any) -> None:
        self.say("seat-change", at, contract_id="c", subscription_id="team", operations=[operation])

    def some(self, what: Callable[[random.Random], None], count: int = 20) -> None:
        for _ in range(count):
            what(self._chance)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with served(partitions=1) as running:
        yield running


def names(first: int, last: int, prefix: str = "seat") -> list[str]:
    return [f"{prefix}-{n:05}" for n in range(first, last)]


async def paged(server: Server, path: str, meanwhile: Callable[[], None]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor, pages = "", 0
    while True:
        held = await server.get(f"{path}{'&' if '?' in path else '?'}limit=1000{cursor}")
        rows += held["data"]
        pages += 1
        if held["next_cursor"] is None:
            break
        cursor = f"&cursor={held['next_cursor']}"
        meanwhile()
    assert pages >= MANY / 1000
    return rows


async def all_of(server: Server, path: str, name: Callable[[dict[str, Any]], Any]) -> list[Any]:
    return [name(row) for row in await paged(server, path, lambda: None)]


async def must_be_whole(
    server: Server,
    path: str,
    name: Callable[[dict[str, Any]], Any],
    meanwhile: Callable[[], None],
    before: Collection[Any],
) -> None:
    """Nobody twice, nobody out of order, and all who were there before and after."""
    told = [name(row) for row in await paged(server, path, meanwhile)]
    after = await all_of(server, path, name)
    there_throughout = set(before) & set(after)
    assert len(before) >= MANY and len(there_throughout) >= MANY * 0.9 and set(after) - set(before)
    assert len(set(told)) == len(told)
    assert there_throughout <= set(told)
    place = {one: n for n, one in enumerate(after)}
    known = [place[one] for one in told if one in place]
    assert known == sorted(known)


def flow_of(server: Server) -> Flow:
    return Flow(server.worker.shared.all[0])


async def test_customers(server: Server) -> None:
    flow = flow_of(server)
    for name in names(0, MANY, "who"):
        flow.contract(name)
    await must_be_whole(
        server, "/v1/customers", lambda row: row["customer_id"],
        lambda: flow.some(lambda chance: flow.contract(f"who-{chance.randrange(MANY):05}-{chance.random()}")),
        names(0, MANY, "who"),
    )  # fmt: skip


def crowd(server: Server) -> Flow:
    """A contract with many seats."""
    flow = flow_of(server)
    subscription = {"subscription_id": "team", "mode": "seats", "seat_ids": names(0, MANY)}
    monthly = {"recurring_credit_id": "monthly", "subscription_id": "team", "allocation": "individual"}
    flow.contract(subscriptions=[subscription], recurring_credits=[monthly | {"amount": "9", "every": "P1M"}])
    flow.burn(NOW, "seat-00001")
    return flow


def come_and_go(flow: Flow) -> Callable[[], None]:
    """Seats come between others and go; people burn, some of it late."""

    def act(chance: random.Random) -> None:
        comes, goes, burns = (chance.randrange(MANY) for _ in range(3))
        flow.edit(flow.now + MINUTE, op="add_seats", seat_ids=[f"seat-{comes:05}-{chance.random()}"])
        # Who left already cannot leave again: such an edit is refused, and changes nothing.
        flow.edit(flow.now + MINUTE, op="remove_seats", seat_ids=[f"seat-{goes:05}"])
        flow.burn(flow.now - chance.randrange(48) * HOUR, f"seat-{burns:05}")

    return lambda: flow.some(act)


async def test_who_holds_a_seat(server: Server) -> None:
    flow = crowd(server)
    await must_be_whole(server, f"{ACME}/seats", lambda row: row["seat_id"], come_and_go(flow), names(0, MANY))


async def test_balances(server: Server) -> None:
    flow = crowd(server)
    await must_be_whole(
        server, f"{ACME}/balances", lambda row: row["scope"].get("seat_id"), come_and_go(flow), names(0, MANY)
    )


async def test_alerts(server: Server) -> None:
    """Of seats that were never assigned too, from their first burn on."""
    flow = crowd(server)
    server.worker.shared.all[0].watch(
        {"rule_id": "low", "name": "Low", "metric": "balance", "scope": "seat", "levels": ["8.6"]}
    )
    await must_be_whole(
        server, f"{ACME}/alerts", lambda row: row["subject"]["seat_id"],
        lambda: flow.some(lambda chance: flow.burn(flow.now, f"seat-{chance.randrange(MANY):05}-{chance.random()}")),
        names(0, MANY),
    )  # fmt: skip


async def test_lines(server: Server) -> None:
    """Late ones come between others, and what is burned after them leaves less: those are the same lines."""
    flow = flow_of(server)
    flow.contract(grants=[{"grant_id": "pool", "amount": "100000"}])
    for n in range(MANY):
        flow.burn(BEGUN + n * 5 * MINUTE, f"seat-{n % 10}")
    path = f"{ACME}/ledger"
    await must_be_whole(
        server, path, lambda row: row["entry_id"],
        lambda: flow.some(lambda chance: flow.burn(BEGUN + chance.randrange(MANY) * 5 * MINUTE + 1, "seat-3")),
        await all_of(server, path, lambda row: row["entry_id"]),
    )  # fmt: skip


async def test_lines_of_a_crowd_that_is_given_something_at_once(server: Server) -> None:
    """Late edits let seats come between others before it happens, and late burns leave them less."""
    flow = crowd(server)
    before = NOW - 29 * DAY
    path = f"{ACME}/ledger?from={instants.text(before)}&to={instants.text(before + HOUR)}"
    flow.say(
        "contract-change", NOW, type="recurring_credit.added", contract_id="c", recurring_credit_id="bonus",
        subscription_id="team", allocation="individual", amount="3", every="P1Y", starting_at=instants.text(before),
    )  # fmt: skip

    def late(chance: random.Random) -> None:
        comes, burns = chance.randrange(MANY), chance.randrange(MANY)
        flow.edit(before - MINUTE, op="add_seats", seat_ids=[f"seat-{comes:05}-{chance.random()}"])
        flow.burn(before - MINUTE, f"seat-{burns:05}")

    await must_be_whole(
        server, path, lambda row: row["entry_id"], lambda: flow.some(late, 5),
        await all_of(server, path, lambda row: row["entry_id"]),
    )  # fmt: skip


async def test_lines_of_a_seat_that_pools_paid_for(server: Server) -> None:
    """Her own 2,000 first, then the pools, on which others draw meanwhile: who pays changes, not when."""
    flow = flow_of(server)
    flow.contract(grants=[{"grant_id": "own", "amount": "2000", "seat_id": "ana", "priority": 1}])
    flow.say("contract-change", BEGUN, type="credits.granted", grant_id="pool", contract_id="c", amount="1000")
    flow.say("contract-change", BEGUN, type="credits.granted", grant_id="shared", amount="9000", priority=200)
    for n in range(MANY):
        flow.burn(BEGUN + n * 5 * MINUTE, "ana")
    path = f"{ACME}/ledger?seat_id=ana"
    before = await paged(server, path, lambda: None)
    assert {row["grant_id"] for row in before} == {"own", "pool", "shared"}

    def of_burn(row: dict[str, Any]) -> Any:
        return row["time"], row["cause"]["id"]

    await must_be_whole(
        server, path, of_burn,
        lambda: flow.some(
            lambda chance: flow.burn(BEGUN + chance.randrange(MANY) * 5 * MINUTE + 1, chance.choice(("ana", "bo")))
        ),
        [of_burn(row) for row in before],
    )  # fmt: skip


async def test_how_many_seats_there_were(server: Server) -> None:
    flow = flow_of(server)
    flow.contract(subscriptions=[{"subscription_id": "team", "mode": "quantity", "quantity": 1}])
    for n in range(1, MANY):
        flow.edit(BEGUN + n * 5 * MINUTE, op="set_quantity", quantity=1 + n % 7)
    await must_be_whole(
        server, f"{ACME}/history/seats", lambda row: row["from"],
        lambda: flow.some(
            lambda chance: flow.edit(BEGUN + chance.randrange(MANY) * 5 * MINUTE + 1, op="set_quantity", quantity=9),
            count=4,
        ),
        [instants.text(BEGUN + n * 5 * MINUTE) for n in range(MANY)],
    )  # fmt: skip
