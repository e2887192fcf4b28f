"""Burns that have aged: the ledger answers what it would if they had stayed single, but for what lay between two of one day."""

import random
from typing import Any

import pytest

from ledger import account_rows, ageing, balances, history
from ledger.amounts import UNIT
from ledger.answers import Entry
from ledger.facts import BurnVoided, ContractCreated, CreditBurn
from ledger.identities import earliest_change
from ledger.instants import DAY, HOUR, Instant, instant, text
from ledger.ledger import Ledger
from ledger.outcome import Refused, Scope, Waiting
from tests.ledger.duel import gist
from tests.ledger.histories import HISTORY, History, draw_history
from tests.ledger.language import BOUNDS, Played, play, play_on
from tests.ledger.memory import MemoryRows


@pytest.fixture(autouse=True)
def _short_eras(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (account_rows, ageing, balances):
        monkeypatch.setattr(module, "ERA", 36 * HOUR)


def age(ledger: Ledger, rows: MemoryRows, before: Instant, most: int) -> bool:
    """A step; whether more is to be done."""
    ledger.flush()
    ledger.horizon = max(ledger.horizon, before // account_rows.ERA * account_rows.ERA)
    gone, more = ledger.age(most)
    ledger.flush()
    for low, high in gone:
        for key, _ in list(rows.scan("trail", low, high)):
            rows.delete("trail", key)
    return more


def by_day(entries: list[Entry]) -> dict[Any, tuple[int, int]]:
    """What happened each day: sums of the lines that differ in their burns alone."""
    found: dict[Any, tuple[int, int]] = {}
    for one in entries:
        burned = one.type in ("burned", "overage")
        when = one.time // DAY if burned else one.time
        place = when, one.scope, one.type, one.grant_id, one.slice, one.origin
        amount, beside = found.get(place, (0, 0))
        found[place] = amount + one.amount, beside + one.beside
    return {place: sums for place, sums in found.items() if any(sums)}


def played(story: str, *, aged_before: str | None = None) -> tuple[Ledger, MemoryRows]:
    """The ledger that a story comes to; its burns before an instant have aged."""
    rows = MemoryRows()
    ledger = Ledger(rows, **BOUNDS)
    play(story, ledger)
    if aged_before is not None:
        age(ledger, rows, instant(aged_before), 1_000)
    return ledger, rows


def lines(ledger: Ledger) -> list[tuple[str, str, int, str, str]]:
    """What burned: when, of what, how much, and why."""
    return [
        (
            text(one.time)[5:16],
            one.grant_id or one.type,
            -one.amount // UNIT or one.beside // UNIT,
            one.cause_type,
            one.cause_id,
        )
        for one in ledger.entries("acme", instant("2026-03-01T00:00:00Z"))
        if one.type in ("burned", "overage")
    ]


def test_the_burns_of_a_scope_and_day_become_one_line_of_the_ledger() -> None:
    story = """
        grant pool 100
        burn 1 at 01-01T08:00 id a
        burn 2 at 01-01T09:00 id b
        burn 4 by ana at 01-01T09:30 id other
        burn 8 at 01-02T10:00 id c
        burn 16 at 01-20T10:00 id young
        burn 32 at 01-20T11:00 id younger
    """
    ledger, rows = played(story, aged_before="2026-01-10T00:00:00Z")

    assert lines(ledger) == [
        ("01-01T09:00", "pool", 3, "credit-burns", "b"),
        ("01-01T09:30", "pool", 4, "credit-burn", "other"),
        ("01-02T10:00", "pool", 8, "credit-burn", "c"),
        ("01-20T10:00", "pool", 16, "credit-burn", "young"),
        ("01-20T11:00", "pool", 32, "credit-burn", "younger"),
    ]
    assert len(list(rows.scan("trail", b"b", b"c"))) == len(list(rows.scan("trail", b"x", b"y"))) == 2


def test_burns_on_both_sides_of_the_point_at_which_a_grant_ran_dry_stay_apart() -> None:
    story = """
        grant first 10 priority 1
        grant second 10 priority 2
        burn 3 at 01-01T08:00 id a
        burn 3 at 01-01T09:00 id b
        burn 6 at 01-01T10:00 id dry
        burn 1 at 01-01T11:00 id c
        burn 1 at 01-01T12:00 id d
    """
    ledger, _ = played(story, aged_before="2026-01-10T00:00:00Z")

    assert lines(ledger) == [
        ("01-01T09:00", "first", 6, "credit-burns", "b"),
        ("01-01T10:00", "first", 4, "credit-burn", "dry"),
        ("01-01T10:00", "second", 2, "credit-burn", "dry"),
        ("01-01T12:00", "second", 2, "credit-burns", "d"),
    ]


def test_a_grant_that_comes_in_the_middle_of_a_day_keeps_its_burns_apart() -> None:
    story = """
        grant pool 100 from 01-01T09:30
        burn 1 at 01-01T09:00 id before
        burn 2 at 01-01T10:00 id after
    """
    ledger, _ = played(story, aged_before="2026-01-10T00:00:00Z")

    assert lines(ledger) == [
        ("01-01T09:00", "overage", 1, "credit-burn", "before"),
        ("01-01T10:00", "pool", 2, "credit-burn", "after"),
    ]


def test_only_what_lay_between_burns_that_became_one_cannot_be_told() -> None:
    story = """
        grant pool 100
        grant own 100 to seat ana
        burn 1 by ana at 01-01T08:00
        burn 2 by ana at 01-01T09:00
        burn 4 at 01-01T08:30
    """
    ledger, _ = played(story, aged_before="2026-01-10T00:00:00Z")
    ana = Scope(customer_id="acme", contract_id="c", seat_id="ana", credit_type="credits")
    pool = Scope(customer_id="acme", contract_id="c", credit_type="credits")

    def told(at: str, scope: Scope | None = None) -> bool:
        return history.is_told(ledger.book, "acme", instant(f"2026-01-{at}Z"), scope)

    assert [told(at) for at in ("01T00:00:00", "01T08:00:00", "01T09:00:00.000001", "02T00:00:00", "20T08:30:00")] == [
        True
    ] * 5
    assert [told(at) for at in ("01T08:00:00.000001", "01T08:30:00", "01T09:00:00")] == [False] * 3
    assert not told("01T08:30:00", ana) and not told("01T08:30:00", pool)
    assert ledger.balance(ana, instant("2026-01-02T00:00:00Z")).balance == 97 * UNIT


def test_a_burn_of_an_era_that_has_aged_is_too_late_however_it_came() -> None:
    ledger, _ = played("burn 1 at 01-01T08:00 id a", aged_before="2026-01-10T00:00:00Z")
    late = CreditBurn(id="z", customer_id="acme", time=instant("2026-01-08T00:00:00Z"), contract_id="c", amount=UNIT)

    outcome = ledger.fold(late, late.time)

    assert isinstance(outcome, Refused) and outcome.refusal.code == "too_late"


def test_what_is_played_again_while_its_burns_age_finds_them_aged() -> None:
    story = """
        contract c from 2026-01-01 until 01-02
        grant short 5 until 01-03T13:00 priority 1
        grant long 100 priority 2
        burn 1 at 01-03T10:00 id a
        burn 2 at 01-03T12:00 id b
        burn 4 at 01-03T14:00 id c
        burn 8 at 01-03T16:00 id d
    """
    found = []
    for most in (0, 1, 2, 3, 4, 100):
        ledger, rows = played(story)
        age(ledger, rows, instant("2026-01-10T00:00:00Z"), most)
        play_on(Played(ledger), "end contract at 2027-01-01 on c said 01-20")
        while age(ledger, rows, instant("2026-01-10T00:00:00Z"), 1):
            pass
        found.append((lines(ledger), ledger.balances("acme", instant("2026-01-04T00:00:00Z"))))

    assert found == [found[0]] * 6
    # All of them had become one, which counts as at the time of its last.
    assert found[0][0] == [("01-03T16:00", "long", 15, "credit-burns", "d")]


def test_ageing_goes_on_where_it_stopped_and_nothing_is_read_twice_meanwhile() -> None:
    story = "\n".join(f"burn 1 at 01-{day:02}T{hour:02}:00" for day in (1, 3, 5) for hour in range(6, 12))
    ledger, rows = played("grant pool 100\n" + story)
    left = []

    while age(ledger, rows, instant("2026-01-10T00:00:00Z"), 4):
        left.append(sum(amount for _, _, amount, _, _ in lines(ledger)))

    assert left == [18] * 4
    assert len(list(rows.scan("trail", b"b", b"c"))) == 0
    assert [amount for _, _, amount, _, _ in lines(ledger)] == [6, 6, 6]


@pytest.mark.drawn
@pytest.mark.parametrize("seed", range(30))
def test_the_answers_stay_what_they_were_when_burns_age(seed: int) -> None:
    rng = random.Random(seed)
    facts = draw_history(rng, 60)
    rows = MemoryRows()
    ledger, twin = Ledger(rows, **HISTORY), Ledger(MemoryRows(), **HISTORY)
    burned_at = {fact.id: fact.time for fact, _ in facts if isinstance(fact, CreditBurn)}
    to_come = [fact for fact, _ in facts]
    for index, (fact, arrived_at) in enumerate(facts):
        settled = [*ledger.advance(arrived_at), *twin.advance(arrived_at)]
        outcome = ledger.fold(fact, arrived_at)
        assert gist(outcome) == gist(twin.fold(fact, arrived_at)), fact
        settled += ledger.settled()
        for folded in [what for what, _ in settled] + ([] if isinstance(outcome, Waiting) else [fact]):
            if folded in to_come:
                to_come.remove(folded)
        if rng.random() < 0.3:
            # Nothing that is still to come may change what has aged, but a contract that starts where none was.
            first = [earliest_change(fact)[0] for fact in to_come if not isinstance(fact, ContractCreated)]
            first += [burned_at.get(fact.burn_id, arrived_at) for fact in to_come if isinstance(fact, BurnVoided)]
            age(ledger, rows, min(first, default=arrived_at), rng.choice((1, 3, 10, 1_000)))
        if rng.random() < 0.15 or index == len(facts) - 1:
            must_agree(ledger, twin, facts[: index + 1], rng)


def must_agree(ledger: Ledger, twin: Ledger, facts: History, rng: random.Random) -> None:
    instants = sorted({fact.time for fact, _ in facts})
    days = sorted({(at // DAY + more) * DAY for at in instants for more in (0, 1)})
    for customer_id in sorted({fact.customer_id for fact, _ in facts}):
        for at in rng.sample(instants, min(4, len(instants))) + rng.sample(days, min(4, len(days))):
            told = history.is_told(ledger.book, customer_id, at)
            assert told or at % DAY
            if told:
                assert ledger.balances(customer_id, at) == twin.balances(customer_id, at), text(at)
        until = rng.choice(days)
        mine, theirs = ledger.entries(customer_id, until - 1), twin.entries(customer_id, until - 1)
        assert by_day(mine) == by_day(theirs), text(until)
