"""The demo's screen fits the terminal that it is on, and says what was seen."""

import random

import pytest
from rich.console import Console

from ledger.instants import instant
from streams import screen
from streams.company import Company
from streams.onlooker import Seen

NOON = instant("2026-03-16T12:00:00Z")


def seen() -> Seen:
    """A while into the demo."""
    company = Company(random.Random(1), NOON)
    found = Seen(company.customers)
    for said in company.opening():
        found.told(said)
    for n in range(30):
        found.refused(b"aurora-design", {"seatstream.code": b"too_late", "seatstream.message": b"long " * 50})
        found.published(balance("aurora-design", {"seat_id": f"s{n}"}, f"{n}.5", "500", "0" if n else "3"))
    found.published(balance("boreal-bank", {"pool": True}, "75000", "80000"))
    alert = {
        "customer_id": "boreal-bank",
        "metric": "balance_percent",
        "level": "25",
        "value": "24.5",
        "state": "in_alarm",
    }
    found.alerted(alert)
    found.alerted(alert | {"seat_id": "ana@boreal.example", "state": "resolved", "value": None})
    found.measured(20, 30)
    return found


def balance(
    customer_id: str, scope: dict[str, object], left: str, granted: str, overage: str = "0"
) -> dict[str, object]:
    return {
        "type": "balance.snapshot", "customer_id": customer_id, "scope": scope, "credit_type": "credits", "part": 1,
        "balance": left, "granted": granted, "overage": overage, "expired": "0",
    }  # fmt: skip


def drawn(seen: Seen, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(screen.screen(seen, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(116, 36), (100, 24), (80, 24), (60, 20), (200, 60)])
def test_it_fits_the_terminal(width: int, height: int) -> None:
    lines = drawn(seen(), width, height)

    # The last line is the cursor's.
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_it_says_how_fast_how_much_and_who_has_the_least_left() -> None:
    said = "\n".join(drawn(seen(), 116, 36))

    assert "10 behind" in said and "31 snapshots" in said and "30 refused" in said
    assert "too_late: long long" in said
    assert "2 alerts" in said
    assert "the pool: 24.50%, the level is 25%" in said
    assert "resolved  boreal-bank    ana@boreal.example: nothing to compare, the level is 25%" in said
    poorest = [line for line in said.splitlines() if line.startswith("│ s")]
    assert [line.split()[1:3] for line in poorest[:2]] == [["s0", "3.00"], ["s1", "1.50"]]


def test_until_something_is_folded_it_says_that_the_worker_is_starting() -> None:
    fresh = Seen(Company(random.Random(1), NOON).customers)

    assert "the worker is starting" in "\n".join(drawn(fresh, 80, 24))


def test_a_seat_that_was_taken_away_is_not_among_the_poorest() -> None:
    found = seen()
    counts = {"quantity": 1, "unassigned": 0, "previous_quantity": 2, "added": []}
    found.published({"type": "seats.changed", "customer_id": "aurora-design", "removed": ["s0"]} | counts)

    assert [name for name, _ in found.accounts["aurora-design"].poorest(2)] == ["s1", "s2"]


def test_without_a_terminal_it_is_plain_lines_and_each_news_once() -> None:
    found = seen()

    first, second = list(screen.plain(found)), list(screen.plain(found))

    assert sum("refused" in line and "too_late" in line for line in first) == 30
    assert not any("too_late" in line for line in second)
    assert any("75,000.00 left of 80,000.00" in line for line in second)
