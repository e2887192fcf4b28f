"""A seat's ledger says who paid for each of its burns: its own grants, the contract's pool, the customer's, or nobody."""

import random
from collections import defaultdict
from itertools import islice
from typing import Any, Final

import pytest

from ledger import paging
from ledger.amounts import text
from ledger.answers import Entry
from ledger.facts import CreditBurn
from ledger.instants import DAY, ORIGIN, Instant, instant
from ledger.ledger import Ledger
from ledger.order import Place
from tables.memory import MemoryRows
from tests.ledger.histories import draw_history
from tests.ledger.language import BOUNDS, facts
from tests.web.cluster import Server, served
from tests.web.test_api import shaped
from web import shapes

ACME: Final = "/v1/customers/acme"
#: Ana's burn of 38 empties her own 5, what Bo has left of the contract's 20, and the customer's 7; 8 go over.
STORY: Final = """
    contract c from 2026-01-01 bringing
    subscription team seats ana bo
    grant own 5 to seat ana priority 1
    grant pool 20 priority 2
    burn 2 by bo at 01-02 id bos
    grant shared 7 to customer priority 3
    burn 38 by ana at 01-03 id hers
    burn 1 at 01-04 id nobodys
"""


async def told(server: Server, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = shaped(await server.get(f"{ACME}/ledger?{query}"), shapes.Ledger)["data"]
    return rows


def of_burns(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Which burn, whose contract, which grant, what it paid, and what went over."""
    return [
        (row["cause"]["id"], row["contract_id"], row["grant_id"], row["amount"], row.get("beside", "0"))
        for row in rows
        if row["cause"]["type"] == "credit-burn"
    ]


async def test_all_burns_of_a_seat_with_all_who_paid() -> None:
    async with served([fact for fact, _ in facts(STORY)]) as server:
        rows = await told(server, "seat_id=ana")
        assert of_burns(rows) == [
            ("hers", None, "shared", "-7", "0"),
            ("hers", "c", "pool", "-18", "0"),
            ("hers", "c", "own", "-5", "0"),
            ("hers", "c", None, "0", "8"),
        ]
        # What a pool had left is everybody's doing, and is told by the pool's own lines.
        assert [(row["seat_id"], row["balance_after"]) for row in rows if row["type"] == "burned"] == [
            (None, None),
            (None, None),
            ("ana", "0"),
        ]
        whole = {row["entry_id"]: row for row in await told(server, "")}
        assert all(whole[row["entry_id"]]["amount"] == row["amount"] for row in rows)


async def test_filters_of_a_seats_ledger() -> None:
    async with served([fact for fact, _ in facts(STORY)]) as server:
        of_contract = of_burns(await told(server, "seat_id=ana&contract_id=c"))
        # The customer's pool is of no contract, but what it paid was burned in this one.
        assert of_contract == of_burns(await told(server, "seat_id=ana"))
        assert await told(server, "seat_id=ana&contract_id=other") == []
        assert of_burns(await told(server, "seat_id=ana&grant_id=pool")) == [("hers", "c", "pool", "-18", "0")]
        assert await told(server, "seat_id=ana&credit_type=tokens") == []
        assert of_burns(await told(server, "seat_id=ana&from=2026-01-03T00:00:00.000001Z")) == []


async def test_a_sheet_leaves_empty_what_is_not_said() -> None:
    async with served([fact for fact, _ in facts(STORY)]) as server:
        _, _, sheet = await server.raw("GET", f"{ACME}/ledger?seat_id=ana", headers={"Accept": "text/csv"})
        header, *rows = [line.split(",") for line in sheet.splitlines()]
        after = {
            (row[header.index("grant_id")], row[header.index("balance_after")])
            for row in rows
            if row[header.index("type")] == "burned"
        }
        assert after == {("shared", ""), ("pool", ""), ("own", "0")}


def test_what_pools_paid_of_a_seats_debt() -> None:
    ledger = played(
        """
        contract c carry from 2026-01-01 bringing
        subscription team seats ana bo
        burn 4 by ana at 01-02 id hers
        burn 3 by bo at 01-02 id bos
        grant pool 100 from 01-05
        """
    )
    paid = [
        (line.type, text(line.amount))
        for line in lines(ledger, "ana", instant("2026-02-01T00:00:00Z"))
        if line.type == "debt_paid"
    ]
    assert paid == [("debt_paid", "-4")]


@pytest.mark.drawn
@pytest.mark.parametrize("seed", range(12))
def test_a_seats_ledger_is_what_the_whole_one_says_of_it(seed: int) -> None:
    """Line for line and in its order, at once and in pages; and each burn is accounted for whole (L14)."""
    rng = random.Random(seed)
    history = draw_history(rng, 40)
    ledger = Ledger(MemoryRows(), **BOUNDS)
    for fact, arrived_at in history:
        ledger.advance(arrived_at)
        ledger.fold(fact, arrived_at)
        ledger.settled()
    until = max(arrived_at for _, arrived_at in history) + DAY
    # What came first counts (L4).
    burns = {fact.id: fact for fact, _ in reversed(history) if isinstance(fact, CreditBurn)}
    for customer_id in sorted({fact.customer_id for fact, _ in history}):
        whole = lines(ledger, None, until, customer_id)
        seats = sorted({burn.seat_id for burn in burns.values() if burn.seat_id and burn.customer_id == customer_id})
        for seat_id in seats:
            his = lines(ledger, seat_id, until, customer_id)
            assert [line.entry_id for line in his] == [line.entry_id for line in whole if _is_of(line, seat_id, burns)]
            sums: defaultdict[str, int] = defaultdict(int)
            for line in his:
                if line.cause_type == "credit-burn":
                    sums[line.cause_id] += line.beside if line.type == "overage" else -line.amount
            for burn_id, amount in sums.items():
                assert amount == burns[burn_id].amount
            assert in_pages(ledger, seat_id, until, customer_id, rng) == his


def _is_of(line: Entry, seat_id: str, burns: dict[str, CreditBurn]) -> bool:
    if line.scope.seat_id == seat_id:
        return True
    if line.type == "burned":
        return burns[line.cause_id].seat_id == seat_id
    return line.type == "debt_paid" and line.scope.seat_id is None and line.cause_id.split(":")[1] == seat_id


def lines(ledger: Ledger, seat_id: str | None, until: Instant, customer_id: str = "acme") -> list[Entry]:
    found = paging.lines(ledger.book, customer_id, (ORIGIN, until), seat_id=seat_id, payers=True)
    return [line for _, line in found if line is not None]


def in_pages(ledger: Ledger, seat_id: str, until: Instant, customer_id: str, rng: random.Random) -> list[Entry]:
    """As `lines`, some at a time, each time from the place of the last one."""
    told: list[Entry] = []
    behind: Place | None = None
    while True:
        wanted = rng.choice((5, 20, 60))
        found = paging.lines(
            ledger.book, customer_id, (ORIGIN, until), seat_id=seat_id, behind=behind, wanted=wanted, payers=True
        )
        page = list(islice(found, wanted))
        told += [line for _, line in page if line is not None]
        if not page:
            return told
        behind = page[-1][0]


def played(story: str) -> Ledger:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    for fact, arrived_at in facts(story):
        ledger.advance(arrived_at)
        ledger.fold(fact, arrived_at)
    return ledger
