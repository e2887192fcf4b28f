"""Burns that have aged: the ledger answers what it would if they had stayed single, but for what lay between two of one day."""

import random
from collections.abc import Iterator
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
from ledger.rows import Table
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


def test_a_burn_is_paid_by_what_those_that_have_aged_left_of_it() -> None:
    story = """
        grant own 10 to seat ana
        burn 2 by ana at 01-01T08:00
        burn 2 by ana at 01-01T09:00 id one
        burn 1 by ana at 01-02T08:00
        burn 1 by ana at 01-02T09:00 id two
        burn 6 by ana at 01-20T09:00 id young
    """
    ledger, _ = played(story, aged_before="2026-01-10T00:00:00Z")

    assert lines(ledger) == [
        ("01-01T09:00", "own", 4, "credit-burns", "one"),
        ("01-02T09:00", "own", 2, "credit-burns", "two"),
        ("01-20T09:00", "own", 4, "credit-burn", "young"),
        ("01-20T09:00", "overage", 2, "credit-burn", "young"),
    ]


def test_a_late_burn_is_paid_by_what_those_that_have_aged_left_of_it() -> None:
    aged = "\n".join(f"burn 1 by ana at 01-{day:02}T{hour:02}:00" for day in (1, 2) for hour in (8, 9, 10))
    young = "\n".join(f"burn 1 by ana at 02-20T{hour}:00" for hour in range(10, 20))
    ledger, _ = played(f"grant own 10 to seat ana\n{aged}\n{young}", aged_before="2026-01-10T00:00:00Z")

    late = play_on(Played(ledger), "tick 02-21\nburn 6 by ana at 01-20T08:00 on c id late")

    assert late.paid("late") == ["4 of own", "2 over"]


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


def test_a_microsecond_into_a_day_lies_between_its_burns_and_those_of_another_type_do_not_matter() -> None:
    story = """
        grant words 100 tokens
        burn 1 by ana tokens at 01-01T00:00
        burn 2 by ana tokens at 01-01T09:00
        burn 4 by ana at 01-01T10:00
    """
    ledger, _ = played(story, aged_before="2026-01-10T00:00:00Z")
    at = instant("2026-01-01T00:00:00.000001Z")

    def told(credit_type: str) -> tuple[bool, bool]:
        ana = Scope(customer_id="acme", contract_id="c", seat_id="ana", credit_type=credit_type)
        return (
            history.is_told(ledger.book, "acme", at, ana),
            history.is_told(ledger.book, "acme", at, credit_type=credit_type),
        )

    assert (told("tokens"), told("credits")) == ((False, False), (True, True))


def test_a_burn_of_an_era_that_has_aged_is_too_late_however_it_came() -> None:
    ledger, _ = played("burn 1 at 01-01T08:00 id a", aged_before="2026-01-10T00:00:00Z")
    late = CreditBurn(id="z", customer_id="acme", time=instant("2026-01-08T00:00:00Z"), contract_id="c", amount=UNIT)

    outcome = ledger.fold(late, late.time)

    assert isinstance(outcome, Refused) and outcome.refusal.code == "too_late"


def test_a_day_begins_with_its_first_instant_also_for_burns() -> None:
    story = """
        grant pool 100
        burn 1 at 01-01T23:00 id late
        burn 2 at 01-02T00:00 id midnight
        burn 4 at 01-02T05:00 id early
    """
    ledger, _ = played(story, aged_before="2026-01-10T00:00:00Z")

    assert lines(ledger) == [
        ("01-01T23:00", "pool", 1, "credit-burn", "late"),
        ("01-02T05:00", "pool", 6, "credit-burns", "early"),
    ]


def test_burns_of_every_type_age_to_the_last_billionth() -> None:
    story = """
        grant pool 100
        grant words 100 tokens
        burn 0.000000001 at 01-01T08:00
        burn 0.000000002 at 01-01T09:00
        burn 0.000000004 tokens at 01-01T08:00
        burn 0.000000008 tokens at 01-01T09:00
        burn 0.00000001 tokens at 01-20T09:00
    """
    ledger, _ = played(story, aged_before="2026-01-10T00:00:00Z")

    burned = [one for one in ledger.entries("acme", instant("2026-02-01T00:00:00Z")) if one.type == "burned"]
    assert [(one.grant_id, one.amount) for one in burned] == [("pool", -3), ("words", -12), ("words", -10)]


@pytest.mark.parametrize(
    ("history", "lateness", "wait", "before"),
    [(10, 20, 1, "02-09T00:00"), (50, 20, 1, "01-29T12:00"), (0, 5, 20, "02-24T00:00"), (7, 1, 1, "03-14T00:00")],
)
def test_what_ages_is_older_than_the_history_and_than_whatever_may_still_burn(
    history: int, lateness: int, wait: int, before: str
) -> None:
    """A fact may wait, or be the second of two that are late by the bound."""
    ledger = Ledger(MemoryRows(), lateness=lateness * DAY, ahead=DAY, wait=wait * DAY)

    ledger.come_to(instant("2026-03-21T12:00:00Z"), history * DAY)

    assert text(ledger.horizon) == f"2026-{before}:00Z"


def test_a_step_says_what_is_gone_once_all_of_an_era_has_aged() -> None:
    nothing = Ledger(MemoryRows(), **BOUNDS)
    nothing.horizon = instant("2026-01-10T00:00:00Z")
    assert nothing.age(10) == ([], False)
    assert ageing.aged_until(nothing.book) == nothing.horizon

    story = "\n".join(f"burn 1 at 01-{day:02}T{hour:02}:00" for day in (1, 3, 5) for hour in range(6, 12))
    ledger, rows = played("grant pool 100\n" + story)
    ledger.flush()
    ledger.horizon = instant("2026-01-10T00:00:00Z")
    kept = []
    more = True
    while more:
        gone, more = ledger.age(4)
        ledger.flush()
        kept.append([18 - sum(len(list(rows.scan("trail", low, high))) for low, high in gone if low[:1] == b"b")])

    assert kept == [[18], [12], [6], [18], [0]]
    assert ageing.aged_until(ledger.book) == ledger.horizon


def test_an_account_whose_burns_had_to_age_at_once_ages_on() -> None:
    """What is older than the first horizon aged before its turn, and not what is as old as that to the instant."""
    story = """
        contract c from 2026-01-01
        grant pool 100
        burn 1 at 01-01T08:00 id a
        burn 2 at 01-01T09:00 id b
        burn 4 at 01-07T00:00 id c
        burn 8 at 01-07T09:00 id d
        burn 16 at 01-08T12:00 id e
        burn 32 at 01-08T13:00 id f
    """
    ledger, rows = played(story)
    ledger.flush()
    ledger.horizon = instant("2026-01-07T00:00:00Z")

    play_on(Played(ledger), "grant other 1 until 01-02 priority 1 at 01-01 on c said 01-20")
    ledger.flush()
    first = lines(ledger)
    play_on(Played(ledger), "take back d at 01-21")
    age(ledger, rows, instant("2026-01-10T00:00:00Z"), 100)

    assert first == [
        ("01-01T09:00", "other", 1, "credit-burns", "b"),
        ("01-01T09:00", "pool", 2, "credit-burns", "b"),
        ("01-07T00:00", "pool", 4, "credit-burn", "c"),
        ("01-07T09:00", "pool", 8, "credit-burn", "d"),
        ("01-08T12:00", "pool", 16, "credit-burn", "e"),
        ("01-08T13:00", "pool", 32, "credit-burn", "f"),
    ]
    assert lines(ledger)[2:] == [
        ("01-07T00:00", "pool", 4, "credit-burn", "c"),
        ("01-08T13:00", "pool", 48, "credit-burns", "f"),
    ]


class FewLooks:
    """Rows over other rows, which may be looked through so often."""

    def __init__(self, rows: MemoryRows, most: int) -> None:
        self.get, self.put, self.delete = rows.get, rows.put, rows.delete
        self._scan = rows.scan
        self.left = most

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        self.left -= 1
        assert self.left, "so many looks"
        return self._scan(table, start, end, reverse)


def test_before_anything_aged_a_fact_about_the_past_looks_at_no_era_before_the_first_burn() -> None:
    """It looked at each since the year 1, and the partition stood still for a second and more."""
    ledger, rows = played("grant pool 100\nburn 1 at 01-01T08:00")
    ledger.flush()
    few = FewLooks(rows, 200)
    ledger = Ledger(few, **BOUNDS)
    ledger.horizon = instant("2026-01-10T00:00:00Z")

    play_on(Played(ledger), "grant other 1 until 01-02 at 01-01 on c said 01-20")

    assert few.left < 200


@pytest.mark.parametrize("most", [0, 2, 3])
def test_what_is_at_hand_of_one_type_stays_while_another_ages_at_once(most: int) -> None:
    story = """
        contract c from 2026-01-01
        grant pool 100
        grant words 100 tokens
        burn 1 at 01-01T08:00 id a
        burn 2 at 01-01T09:00 id b
        burn 4 at 01-01T10:00 id c
        burn 8 at 01-01T11:00 id d
        burn 1 tokens at 01-01T08:00 id e
        burn 2 tokens at 01-01T09:00 id f
    """
    ledger, rows = played(story)
    age(ledger, rows, instant("2026-01-10T00:00:00Z"), most)
    play_on(Played(ledger), "grant more 1 tokens until 01-02 priority 1 at 01-01 on c said 01-20")
    while age(ledger, rows, instant("2026-01-10T00:00:00Z"), 1):
        pass

    assert lines(ledger) == [
        ("01-01T09:00", "more", 1, "credit-burns", "f"),
        ("01-01T09:00", "words", 2, "credit-burns", "f"),
        ("01-01T11:00", "pool", 15, "credit-burns", "d"),
    ]


def test_what_a_seat_is_played_again_for_finds_its_burns_aged() -> None:
    story = """
        contract c from 2026-01-01
        grant own 5 to seat ana
        burn 1 by ana at 01-03T10:00 id a
        burn 2 by ana at 01-03T12:00 id b
    """
    ledger, _ = played(story)
    ledger.flush()
    ledger.horizon = instant("2026-01-10T00:00:00Z")

    play_on(Played(ledger), "void own at 01-03T11:00 on c said 01-20")

    # Both count as at the time of the last, which is after the void.
    assert lines(ledger) == [("01-03T12:00", "overage", 3, "credit-burns", "b")]


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
