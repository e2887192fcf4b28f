"""The laws, each as a property of drawn histories, or of small drawn worlds where arithmetic on paper says the answer.

A failing history is reduced and shown with its seed; `SEATSTREAM_SEED=<seed>` plays from that one on again.
"""

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial, wraps
from itertools import pairwise
from typing import Any, TypeAlias

import msgspec
import pytest

from ledger.amounts import UNIT, Amount, parse, share, text
from ledger.answers import Balance, Entry
from ledger.facts import (
    AnyFact,
    BurnVoided,
    ContractCreated,
    ContractEnded,
    ContractUpdated,
    CreditBurn,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    PeriodReset,
    RecurringCreditAdded,
    SeatChange,
    topic,
)
from ledger.instants import DAY, FOREVER, HOUR, Every, Instant, instant
from ledger.ledger import Ledger
from ledger.outcome import FORGIVEN, Folded, Outcome, Refused, Repeated, Scope, Waiting
from tests.ledger.duel import duel, gist
from tests.ledger.histories import HISTORY, History, draw_history, shrink
from tests.ledger.histories import play as play_history
from tests.ledger.language import facts, play
from tests.ledger.memory import MemoryRows

#: The same for everyone, so that a red run can be repeated; `make check-long` is what looks further.
SEED = int(os.environ.get("SEATSTREAM_SEED") or 20_261_121)

#: How long a failing history is made smaller.
SHRINKING_S = 15

Law: TypeAlias = Callable[[History, random.Random], None]


def on_drawn_histories(count: int, most: int = 40) -> Callable[[Law], Callable[[], None]]:
    """The law must hold for each of so many histories of 5 to `most` facts."""

    def decorate(law: Law) -> Callable[[], None]:
        def broken(history: History, seed: int) -> Exception | None:
            try:
                law(history, random.Random(seed))
            except Exception as error:
                return error
            return None

        @wraps(law)
        def test() -> None:
            for seed in range(SEED, SEED + count):
                history = draw_history(random.Random(seed), 5 + seed % (most - 4))
                if (error := broken(history, seed)) is not None:
                    small = reduced(history, partial(broken, seed=seed))
                    shown = "\n".join(f"  {arrived_at}: {fact!r}" for fact, arrived_at in small)
                    error = broken(small, seed) or error
                    pytest.fail(
                        f"SEATSTREAM_SEED={seed}: {type(error).__name__}: {error}\nreduced to\n{shown}", pytrace=False
                    )

        # Pytest asks for a fixture where the wrapped function has an argument.
        del test.__dict__["__wrapped__"]
        return pytest.mark.drawn(test)

    return decorate


def reduced(history: History, broken: Callable[[History], Exception | None]) -> History:
    until = time.monotonic() + SHRINKING_S
    return shrink(history, lambda shorter: bool(shorter) and time.monotonic() < until and broken(shorter) is not None)


@pytest.fixture(autouse=True, scope="module")
def _say_the_seed() -> None:
    print(f"SEATSTREAM_SEED={SEED}")


# --- what the laws look at -------------------------------------------------------------------------------------------


def engine(history: History) -> Ledger:
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    return ledger


def some_instants(history: History, rng: random.Random, count: int = 3) -> list[Instant]:
    """Instants at which something happens, or next to them, and one a while ahead."""
    known = sorted({fact.time for fact, _ in history} | {arrived_at for _, arrived_at in history})
    picked = rng.sample(known, min(count, len(known)))
    return [*picked, horizon(history), rng.choice(known) + rng.choice((-1, 1, HOUR))]


def everything(ledger: Ledger, instants: list[Instant]) -> list[Any]:
    """All answers about all customers at some instants."""
    answers: list[Any] = []
    for customer_id in ledger.customers():
        for at in instants:
            answers.append(ledger.balances(customer_id, at))
            for contract_id in ledger.contracts(customer_id):
                for counts in ledger.counts(customer_id, contract_id, at):
                    answers += [counts, ledger.holders(customer_id, contract_id, counts.subscription_id, at)]
        answers += [ledger.entries(customer_id, max(instants)), ledger.charges(customer_id, max(instants))]
    return answers


def all_entries(ledger: Ledger, history: History) -> dict[str, list[Entry]]:
    until = horizon(history)
    return {customer_id: ledger.entries(customer_id, until) for customer_id in ledger.customers()}


def horizon(history: History) -> Instant:
    """A while after the last of it: as long as the history itself took, in the same coarse or fine steps."""
    first, last = history[0][1], max(max(fact.time, arrived_at) for fact, arrived_at in history)
    return last + min(30 * DAY, last - first + HOUR)


def burns_of(history: History) -> dict[tuple[str, str], CreditBurn]:
    """The first arrival of each burn."""
    found: dict[tuple[str, str], CreditBurn] = {}
    for fact, _ in history:
        if isinstance(fact, CreditBurn):
            found.setdefault((fact.customer_id, fact.id), fact)
    return found


def taken(lines: list[Entry]) -> Iterator[Entry]:
    return (line for line in lines if line.type == "burned")


def by_scope(lines: list[Entry]) -> dict[Scope, list[Entry]]:
    found: dict[Scope, list[Entry]] = defaultdict(list)
    for line in lines:
        found[line.scope].append(line)
    return found


def before_the_burns_of(at: Instant, lines: list[Entry]) -> list[Entry]:
    """What counts for a question about an instant (L3, L13)."""
    return [line for line in lines if line.time < at or (line.time == at and line.type not in ("burned", "overage"))]


# --- L1 --------------------------------------------------------------------------------------------------------------


def test_l1_amounts_go_in_and_out_exactly_and_shares_are_exact_fractions_rounded_once() -> None:
    """L1 Exact."""
    rng = random.Random(SEED)
    for _ in range(2_000):
        amount = rng.randrange(-(10**24) + 1, 10**24) // 10 ** rng.randrange(24)
        assert parse(text(amount)) == amount
        covered, whole = sorted((rng.randrange(1, 10**13), rng.randrange(1, 10**13)))
        decimals = rng.randint(-5, 9)
        exact = Fraction(amount * covered, whole)
        for method in ("floor", "ceiling", "half_up"):
            off = share(amount, covered, whole, method, decimals) - exact
            grain = 10 ** (9 - decimals)
            assert {"floor": -grain < off <= 0, "ceiling": 0 <= off < grain, "half_up": 2 * abs(off) <= grain}[method]


@on_drawn_histories(10)
def test_l1_no_answer_holds_a_binary_float(history: History, rng: random.Random) -> None:
    """L1 Exact: all amounts of all answers are whole billionths."""
    ledger = engine(history)
    for at in some_instants(history, rng):
        for customer_id in ledger.customers():
            for row in ledger.balances(customer_id, at):
                assert {type(row.balance), type(row.granted), type(row.overage)} == {int}
    for lines in all_entries(ledger, history).values():
        assert all(type(line.amount) is int and type(line.beside) is int for line in lines)


# --- L2, L3 ----------------------------------------------------------------------------------------------------------


@on_drawn_histories(20)
def test_l2_a_grant_stands_and_pays_only_within_its_window(history: History, rng: random.Random) -> None:
    """L2 Windows: the first instant is in, the last is out; and nothing is paid by what isn't active."""
    ledger = engine(history)
    for at in some_instants(history, rng):
        for customer_id in ledger.customers():
            for row in ledger.balances(customer_id, at):
                assert all(grant.effective_at <= at < grant.expires_at for grant in row.grants)
    for customer_id, lines in all_entries(ledger, history).items():
        for line in rng.sample(paid := list(taken(lines)), min(4, len(paid))):
            rows = {row.scope: row for row in ledger.balances(customer_id, line.time)}
            active = {(grant.grant_id, grant.slice) for grant in rows[line.scope].grants}
            assert (line.grant_id, line.slice) in active, line


@on_drawn_histories(20)
def test_l3_burns_from_an_instant_on_are_not_in_the_answer_about_it(history: History, rng: random.Random) -> None:
    """L3 Event time decides: a question about t counts burns stamped before t, whatever arrived when."""
    at = some_instants(history, rng)[0]
    burns = burns_of(history)
    without = [
        (fact, arrived_at)
        for fact, arrived_at in history
        if not isinstance(fact, CreditBurn) or burns[fact.customer_id, fact.id].time < at
    ]
    ledger, other = engine(history), engine(without)
    for customer_id in other.customers():
        assert standing(other.balances(customer_id, at)) == standing(ledger.balances(customer_id, at))


def standing(rows: list[Balance]) -> list[Balance]:
    """Rows that say something."""
    return [row for row in rows if row.grants or row.overage]


# --- L4 --------------------------------------------------------------------------------------------------------------


@on_drawn_histories(25)
def test_l4_a_repeat_changes_nothing_and_answers_the_first_outcome(history: History, rng: random.Random) -> None:
    """L4 Identity: whether its body is the same or another; only a refusal for what was missing is not remembered."""
    rows = MemoryRows()
    ledger = Ledger(rows, **HISTORY)
    first: dict[tuple[str, str, str], tuple[AnyFact, Instant, Outcome]] = {}
    arrived = {id(fact): arrived_at for fact, arrived_at in history}
    for fact, outcome in play_history(ledger, history):
        key = (fact.customer_id, topic(fact), fact.id)
        if not isinstance(outcome, Repeated):
            first[key] = (first[key][0] if key in first else fact, arrived.get(id(fact), 0), outcome)
    ledger.flush()
    stored = {table: dict(each) for table, each in rows.tables.items()}
    now = history[-1][1]
    for fact, _, outcome in first.values():
        forgotten = topic(fact) == "credit-burn" and now > fact.time + HISTORY["lateness"]
        if forgotten or (isinstance(outcome, Refused) and outcome.refusal.code in FORGIVEN):
            continue
        differs = rng.random() < 0.5
        again = msgspec.structs.replace(fact, time=fact.time + 1) if differs else fact
        said = ledger.fold(again, now)
        assert isinstance(said, Repeated), (fact, said)
        assert said.differs == differs
        assert gist(said.first) == gist(outcome)
    ledger.flush()
    assert rows.tables == stored


# --- L5, L6, L7 ------------------------------------------------------------------------------------------------------


def classes(history: History) -> dict[tuple[str, str], str]:
    """The class of each grant that is not standard (an id may name another contract's grant as well: then none is looked at)."""
    found: dict[tuple[str, str], str] = {}
    for fact, _ in history:
        grants: tuple[Grant, ...] = ()
        if isinstance(fact, CreditsGranted):
            grants = (fact.grant,)
        elif isinstance(fact, ContractCreated):
            grants = fact.grants
        for grant in grants:
            key = (fact.customer_id, grant.grant_id)
            found[key] = grant.burn_class if found.get(key, grant.burn_class) == grant.burn_class else "unclear"
    return found


@on_drawn_histories(20)
def test_l5_nothing_pays_while_something_before_it_in_the_order_has_anything_left(
    history: History, rng: random.Random
) -> None:
    """L5 Burn order: class, priority, expiry, start. Ties are for the pencil."""
    ledger, burns, class_of = engine(history), burns_of(history), classes(history)
    for customer_id, lines in all_entries(ledger, history).items():
        burned = list(taken(lines))
        for at in rng.sample(times := sorted({line.time for line in burned}), min(4, len(times))):
            left: dict[tuple[Scope, str, int | None], Amount] = defaultdict(int)
            rank: dict[tuple[Scope, str, int | None], Any] = {}
            for row in ledger.balances(customer_id, at):
                for grant in row.grants:
                    key = (row.scope, grant.grant_id, grant.slice)
                    left[key] += grant.balance
                    burn_class = class_of.get((customer_id, grant.grant_id), "standard")
                    if burn_class != "unclear":
                        order = (burn_class != "rolled_over", grant.priority, grant.expires_at, grant.effective_at)
                        rank[key] = order if rank.get(key, order) == order else None
            for burn_id in sorted({line.cause_id for line in burned if line.time == at}):
                payers = [line for line in burned if line.time == at and line.cause_id == burn_id]
                for line in payers:
                    left[line.scope, line.grant_id or "", line.slice] += line.amount
                burn = burns[customer_id, burn_id]
                scopes = may_draw(burn, {line.scope.contract_id for line in payers} - {None})
                for line in payers:
                    mine = rank.get((line.scope, line.grant_id or "", line.slice))
                    for key, theirs in rank.items():
                        if mine and theirs and key[0] in scopes and theirs < mine:
                            assert left[key] == 0, f"{burn_id} drew from {line.grant_id} while {key[1]} had {left[key]}"


def may_draw(burn: CreditBurn, contract_ids: set[str | None]) -> set[Scope]:
    """Whom a burn may draw from (L6), its contract told by who paid."""
    common: dict[str, Any] = {"customer_id": burn.customer_id, "credit_type": burn.credit_type}
    scopes = {Scope(**common)}
    for contract_id in contract_ids | {burn.contract_id} - {None}:
        scopes.add(Scope(contract_id=contract_id, **common))
        if burn.seat_id is not None:
            scopes.add(
                Scope(contract_id=contract_id, seat_id=burn.seat_id, seat_group_key=burn.seat_group_key, **common)
            )
    return scopes


@on_drawn_histories(25)
def test_l6_nobody_draws_from_another_seat_and_l7_what_finds_no_balance_is_overage(
    history: History, rng: random.Random
) -> None:
    """L6 Who may draw; L7 Overage: each burn is accounted for to the last billionth."""
    ledger, burns = engine(history), burns_of(history)
    for customer_id, lines in all_entries(ledger, history).items():
        accounted: dict[str, Amount] = defaultdict(int)
        contracts: dict[str, set[str | None]] = defaultdict(set)
        for line in lines:
            if line.type in ("burned", "overage"):
                burn = burns[customer_id, line.cause_id]
                assert line.time == burn.time
                accounted[burn.id] += line.beside - line.amount
                contracts[burn.id] |= {line.scope.contract_id} - {None}
                assert line.scope in may_draw(burn, {line.scope.contract_id}), line
        for burn_id, amount in accounted.items():
            assert amount == burns[customer_id, burn_id].amount
            assert len(contracts[burn_id]) <= 1


@on_drawn_histories(25)
def test_l7_no_balance_goes_below_zero(history: History, rng: random.Random) -> None:
    """L7 Overage: neither a balance nor an overage is ever negative, at no step of the account."""
    ledger = engine(history)
    for customer_id, lines in all_entries(ledger, history).items():
        for at in some_instants(history, rng, 5):
            for row in ledger.balances(customer_id, at):
                assert row.balance >= 0 and row.overage >= 0, row
                assert all(grant.balance >= 0 for grant in row.grants)
        assert all(line.balance_after >= 0 for line in lines)


# --- L8, L9 ----------------------------------------------------------------------------------------------------------

EVERIES = (Every(5, "hour"), Every(1, "day"), Every(1, "week"), Every(1, "month"), Every(2, "month"), Every(1, "year"))


def at_text(at: Instant) -> str:
    from ledger.instants import text as written  # noqa: PLC0415

    return written(at).removesuffix("Z")


def test_l8_a_grant_with_recurrence_is_set_to_its_amount_at_each_point_within_its_window() -> None:
    """L8 Recurrence: strictly between start and end, months counted from the anchor itself."""
    rng = random.Random(SEED)
    for _ in range(25):
        every = rng.choice(EVERIES)
        anchor = instant(rng.choice(("2024-01-31T00:00:00Z", "2024-02-29T12:00:00Z", "2026-03-30T23:00:00Z")))
        start = every.point(anchor, rng.randint(-2, 3)) + rng.choice((0, 0, 1, HOUR, 3 * DAY))
        points = [point for n in range(-4, 40) if start < (point := every.point(anchor, n))][:6]
        end = points[4] + rng.choice((0, 1, -1))
        unit = every.unit[0].upper()
        step = f"PT{every.count}H" if unit == "H" else f"P{every.count}{unit}"
        burns = sorted(rng.randrange(start, end) for _ in range(8))
        story = play(
            f"contract c from {at_text(start - DAY)}\n"
            f"grant g 10 from {at_text(start)} until {at_text(end)} every {step} anchor {at_text(anchor)}\n"
            + "\n".join(f"burn 2 at {at_text(at)}" for at in burns)
        )
        for at in [*points, *(point - 1 for point in points), *(burn + 1 for burn in burns), end - 1, end]:
            since = max([point for point in points if point <= at], default=start)
            used = 2 * sum(since <= burn < at for burn in burns)
            expected = {"g": str(max(0, 10 - used))} if start <= at < end else {}
            assert story.left("pool", at_text(at)) == expected, (SEED, at)


def test_l8_each_period_of_a_recurring_credit_gives_a_slice_of_its_own() -> None:
    """L8 Recurrence: it starts at its grid point and ends `duration_periods` later; n of them live side by side."""
    rng = random.Random(SEED)
    for _ in range(15):
        periods = rng.randint(1, 3)
        start = instant(rng.choice(("2024-01-31T00:00:00Z", "2026-03-30T23:00:00Z")))
        story = play(f"contract c from {at_text(start)}\nrecurring monthly 10 to pool every P1M for {periods} periods")
        for n in range(5):
            at = Every(1, "month").point(start, n) + rng.choice((0, HOUR))
            slices = story.ledger.balances("acme", at)[0].grants
            assert [each.slice for each in slices] == list(range(max(0, n - periods + 1), n + 1))
            assert [each.expires_at for each in slices] == [
                Every(1, "month").point(start, (each.slice or 0) + periods) for each in slices
            ]


def test_l9_a_reset_keeps_at_least_the_minimum_and_at_most_the_maximum() -> None:
    """L9 Rollover and reset: of every grant active before it and at it; without a rollover nothing."""
    rng = random.Random(SEED)
    for _ in range(25):
        lines, kept = [], {}
        for n in range(4):
            amount, burned = rng.randint(1, 20), rng.randint(0, 25)
            low, high = rng.randint(0, 6), rng.randint(6, 12)
            started = rng.choice(("01-01", "01-01", "01-10"))
            setting = rng.choice(("", "rollover", f"rollover max {high}", f"rollover min {low} max {high}"))
            lines.append(f"grant g{n} {amount} to seat s{n} from {started} {setting}")
            lines.append(f"burn {burned} by s{n} at 01-05" if burned else "tick 01-05")
            left = max(0, amount - burned) if started == "01-01" else amount
            if started == "01-01":
                left = 0 if not setting else left
                left = max(left, low) if "min" in setting else left
                left = min(left, high) if "max" in setting else left
            kept[f"s{n}"] = {f"g{n}": str(left)}
        story = play("\n".join(["contract c from 01-01", *lines, "reset at 01-10"]))
        assert {who: story.left(who, "01-10") for who in kept} == kept, SEED


@on_drawn_histories(20)
def test_l9_a_reset_forgives_carried_debts(history: History, rng: random.Random) -> None:
    """L9 Rollover and reset: unless it preserves overage, no debtor of its contract owes anything before the instant's burns."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    carried = {
        (fact.customer_id, fact.contract_id)
        for fact, outcome in play_history(ledger, history)
        if isinstance(fact, ContractCreated) and isinstance(outcome, Folded) and fact.overage == "carry"
    }
    ledger = Ledger(MemoryRows(), **HISTORY)
    resets = [
        fact
        for fact, outcome in play_history(ledger, history)
        if isinstance(fact, PeriodReset) and isinstance(outcome, Folded) and not fact.preserve_overage
    ]
    for reset in resets:
        if (reset.customer_id, reset.contract_id) in carried:
            for row in ledger.balances(reset.customer_id, reset.time, contract_id=reset.contract_id):
                assert row.overage == 0, (reset, row)


# --- L10, L11 --------------------------------------------------------------------------------------------------------


def test_l10_a_seat_earns_the_exact_fraction_of_the_period_that_is_left() -> None:
    """L10 Seats earn: one slice a seat and period; whole from the start, cut by a later assignment."""
    rng = random.Random(SEED)
    june, july = instant("2026-06-01T00:00:00Z"), instant("2026-07-01T00:00:00Z")
    for _ in range(25):
        amount, whole = rng.randint(1, 1000), rng.random() < 0.3
        came = {f"s{n}": june + rng.choice((0, rng.randrange(0, 30 * DAY))) for n in range(4)}
        edits = [f"add {seat} at {at_text(at)}" for seat, at in came.items()]
        edits += [f"remove {seat} at {at_text(at + 1)}" for seat, at in came.items() if rng.random() < 0.3]
        rng.shuffle(edits := sorted(edits))
        story = play(
            "contract c from 06-01\nsubscription team seats\n"
            f"recurring monthly {amount} per seat of team every P1M {'whole increases' if whole else ''}\n"
            + "\n".join(edits)
        )
        for seat, at in came.items():
            covered = 30 * DAY if whole else july - at
            exact = Fraction(amount * UNIT * covered, 30 * DAY)
            given = text(int(exact + Fraction(1, 2)))
            assert story.left(seat, "06-30T23:59:59.999999") == {"monthly": given}, (SEED, seat)
            assert story.left(seat, at_text(at - 1)) == {}


def test_l10_the_pool_earns_for_each_rise_above_the_highest_quantity_of_the_period() -> None:
    """L10 Seats earn: amount x rise for what is left; a fall takes nothing back."""
    rng = random.Random(SEED)
    june = instant("2026-06-01T00:00:00Z")
    for _ in range(25):
        steps = sorted((rng.randrange(1, 30 * DAY), rng.randint(0, 9)) for _ in range(5))
        story = play(
            "contract c from 06-01\nsubscription team quantity 3\nrecurring monthly 7 per unit of team every P1M\n"
            + "\n".join(f"quantity {to} at {at_text(june + at)}" for at, to in steps)
        )
        highest, given = 3, 21 * UNIT
        for at, to in steps:
            if to > highest:
                given += int(Fraction(7 * UNIT * (to - highest) * (30 * DAY - at), 30 * DAY) + Fraction(1, 2))
                highest = to
            assert story.balance("pool", at_text(june + at)) == text(given), SEED
        assert story.balance("pool", "07-01") == text(7 * UNIT * steps[-1][1])


@on_drawn_histories(25)
def test_l10_a_seat_has_one_slice_of_a_period(history: History, rng: random.Random) -> None:
    """L10 Seats earn: who leaves and returns within a period earns once (what was moved in stands beside it)."""
    ledger = engine(history)
    for lines in all_entries(ledger, history).values():
        seen = set()
        for line in lines:
            if line.type == "granted" and line.slice is not None and line.scope.seat_id is not None:
                key = (line.scope, line.grant_id, line.slice)
                assert key not in seen, line
                seen.add(key)


@on_drawn_histories(25)
def test_l11_counts_add_up_and_are_never_below_zero(history: History, rng: random.Random) -> None:
    """L11 Seat counts: total = assigned + unassigned, past or future; as many names as are assigned; versions count edits."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    edits: dict[tuple[str, str], int] = defaultdict(int)
    for fact, outcome in play_history(ledger, history):
        if isinstance(fact, SeatChange) and isinstance(outcome, Folded):
            for subscription_id in outcome.result:
                edits[fact.customer_id, subscription_id] += 1
    versions: dict[tuple[str, str], int] = defaultdict(int)
    instants = some_instants(history, rng, 6)
    for customer_id in ledger.customers():
        for contract_id in ledger.contracts(customer_id):
            for n, at in enumerate(instants):
                for counts in ledger.counts(customer_id, contract_id, at):
                    assert counts.total == counts.assigned + counts.unassigned
                    assert counts.assigned >= 0 and counts.unassigned >= 0
                    held = ledger.holders(customer_id, contract_id, counts.subscription_id, at)
                    assert len(set(held)) == len(held) == counts.assigned
                    if n == 0:
                        versions[customer_id, counts.subscription_id] += counts.version
    assert {key: version for key, version in versions.items() if version} == dict(edits)


# --- L12, L13, L14 ---------------------------------------------------------------------------------------------------


@on_drawn_histories(20)
def test_l12_nothing_of_a_contract_is_active_outside_its_window(history: History, rng: random.Random) -> None:
    """L12 Ends: the contract's last word about its end cuts all its grants; the customer's pool it leaves alone."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    started: dict[tuple[str, str], Instant] = {}
    ends: dict[tuple[str, str], list[tuple[Instant, str, Instant]]] = defaultdict(list)
    for fact, outcome in play_history(ledger, history):
        if isinstance(outcome, Folded) and isinstance(fact, ContractCreated | ContractEnded | ContractUpdated):
            end = fact.ending_before
            if isinstance(fact, ContractCreated):
                started[fact.customer_id, fact.contract_id] = fact.starting_at
                end = None if end == FOREVER else end
            if end is not None:
                ends[fact.customer_id, fact.contract_id].append((fact.time, fact.id, end))
    for (customer_id, contract_id), start in started.items():
        end = max(ends[customer_id, contract_id], default=(0, "", FOREVER))[2]
        for at in {start - 1, start, end - 1, end} - {FOREVER, FOREVER - 1}:
            for row in ledger.balances(customer_id, at, contract_id=contract_id):
                assert start <= at < end or not row.grants, (at, row)


#: The step of L13 in which a kind of entry may stand, first and last. A reset and a recurrence lift and forfeit alike.
STEPS = {
    "expired": (1, 1), "voided": (1, 1), "debt_forgiven": (2, 2), "forfeited": (2, 3), "lifted": (2, 3),
    "moved_out": (4, 4), "moved_in": (4, 4), "granted": (4, 4), "restored": (4, 4), "adjusted": (4, 4), "lapsed": (4, 4),
    "debt_paid": (5, 5), "burned": (6, 6), "overage": (6, 6),
}  # fmt: skip


@on_drawn_histories(25)
def test_l13_the_entries_of_one_instant_stand_in_the_order_of_its_steps(history: History, rng: random.Random) -> None:
    """L13 Order within one instant: ends, reset, recurrences, starts and adjustments, debts, burns by id."""
    for lines in all_entries(engine(history), history).values():
        assert [line.time for line in lines] == sorted(line.time for line in lines)
        for scope_lines in by_scope(lines).values():
            for one, two in pairwise(scope_lines):
                if one.time == two.time:
                    assert STEPS[one.type][0] <= STEPS[two.type][1], (one, two)
                    if one.type in ("burned", "overage") and two.type in ("burned", "overage"):
                        assert one.cause_id <= two.cause_id, (one, two)


@on_drawn_histories(40)
def test_l14_the_entries_sum_to_the_balance(history: History, rng: random.Random) -> None:
    """L14 Conservation: of each scope and of each grant, at every instant, and line by line."""
    ledger = engine(history)
    for customer_id, lines in all_entries(ledger, history).items():
        for at in some_instants(history, rng, 4):
            sums: dict[Scope, Amount] = defaultdict(int)
            of_grants: dict[tuple[Scope, str | None, int | None], Amount] = defaultdict(int)
            for line in before_the_burns_of(at, lines):
                sums[line.scope] += line.amount
                of_grants[line.scope, line.grant_id, line.slice] += line.amount
            for row in ledger.balances(customer_id, at):
                assert row.balance == sum(grant.balance for grant in row.grants) == sums.pop(row.scope, 0), (at, row)
                for grant in row.grants:
                    of_grants[row.scope, grant.grant_id, grant.slice] -= grant.balance
            assert not any(sums.values()) and not any(of_grants.values()), at
        for scope, scope_lines in by_scope(lines).items():
            running = 0
            for line in scope_lines:
                running += line.amount
                assert line.balance_after == running, (scope, line)


@on_drawn_histories(25)
def test_l14_a_carried_debt_is_the_sum_of_what_was_borrowed_and_paid(history: History, rng: random.Random) -> None:
    """L14 Conservation, of debts: overage within the contract's window, less what was paid, forgiven and moved away."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    carry = {
        (fact.customer_id, fact.contract_id)
        for fact, outcome in play_history(ledger, history)
        if isinstance(fact, ContractCreated) and isinstance(outcome, Folded) and fact.overage == "carry"
    }
    at = some_instants(history, rng)[0]
    for customer_id, lines in all_entries(ledger, history).items():
        # What was paid stands in the scope of the grant that paid; so the debts of a contract are summed whole.
        paid = -sum(line.amount for line in before_the_burns_of(at, lines) if line.type == "debt_paid")
        beside = sum(line.beside for line in before_the_burns_of(at, lines) if line.type == "debt_paid")
        assert paid == -beside
        for contract_id in ledger.contracts(customer_id):
            if (customer_id, contract_id) not in carry:
                assert not any(
                    line.type in ("debt_forgiven",) for line in lines if line.scope.contract_id == contract_id
                )


# --- L15 -------------------------------------------------------------------------------------------------------------


@on_drawn_histories(25)
def test_l15_neither_batches_nor_restarts_nor_questions_change_an_answer(history: History, rng: random.Random) -> None:
    """L15 One answer: flushed after each fact or never, rows read anew by another ledger, questions asked in between."""
    instants = some_instants(history, rng)
    plain = Ledger(MemoryRows(), **HISTORY)
    outcomes = [gist(outcome) for _, outcome in play_history(plain, history)]
    answers = everything(plain, instants)

    flushed, rows, reopened = Ledger(MemoryRows(), **HISTORY), MemoryRows(), []
    said = []
    for fact, arrived_at in history:
        said += [gist(outcome) for _, outcome in play_history(flushed, [(fact, arrived_at)])]
        flushed.flush()
    assert said == outcomes
    assert everything(flushed, instants) == answers

    for fact, arrived_at in history:
        ledger = Ledger(rows, **HISTORY)
        reopened += [gist(outcome) for _, outcome in play_history(ledger, [(fact, arrived_at)])]
        if rng.random() < 0.3:
            everything(ledger, instants)
        ledger.flush()
    assert reopened == outcomes
    assert everything(Ledger(rows, **HISTORY), instants) == answers


@on_drawn_histories(50)
def test_l15_rows_that_stay_at_hand_are_those_that_are_written(history: History, rng: random.Random) -> None:
    """L15 One answer: byte for byte the same rows, whether they are read anew for each batch or stay, all or a few."""
    fresh, kept = MemoryRows(), MemoryRows()
    staying = Ledger(kept, most=rng.choice((12, 10_000)), **HISTORY)
    while history:
        batch = rng.randint(1, 5)
        reading = Ledger(fresh, **HISTORY)
        said = play_history(staying, history[:batch])
        assert play_history(reading, history[:batch]) == said
        reading.flush()
        staying.flush()
        staying.turn_to(kept)
        history = history[batch:]
        assert fresh.tables == kept.tables


MAY_COME_ANY_TIME = (CreditBurn, BurnVoided, CreditsGranted, CreditsVoided, CreditsAdjusted, PeriodReset)


@on_drawn_histories(30)
def test_l15_the_accepted_facts_decide_and_not_their_order(history: History, rng: random.Random) -> None:
    """L15 One answer: burns, grants, voids, adjustments and resets in any order, among contracts and edits in theirs."""
    bounds: dict[str, Any] = {"lateness": 4_000 * DAY, "ahead": 400 * DAY, "wait": 4_000 * DAY}
    named = [
        (fact, arrived_at)
        for fact, arrived_at in history
        if not isinstance(fact, CreditBurn | SeatChange) or fact.contract_id is not None
    ]
    if not named:
        return
    now = max(arrived_at for _, arrived_at in named)
    first = Ledger(MemoryRows(), **bounds)
    accepted = [
        fact for fact, outcome in play_history(first, [(fact, now) for fact, _ in named]) if isinstance(outcome, Folded)
    ]
    loose = [fact for fact in accepted if isinstance(fact, MAY_COME_ANY_TIME)]
    firm = [fact for fact in accepted if not isinstance(fact, MAY_COME_ANY_TIME)]
    rng.shuffle(loose)
    places = sorted(rng.randint(0, len(firm)) for _ in loose)
    mixed: list[AnyFact] = list(firm)
    for fact, place in reversed(list(zip(loose, places, strict=True))):
        mixed.insert(place, fact)
    instants = some_instants(named, rng)
    again, in_order = Ledger(MemoryRows(), **bounds), Ledger(MemoryRows(), **bounds)
    said = play_history(again, [(fact, now) for fact in mixed])
    folded = {(fact.customer_id, topic(fact), fact.id) for fact, outcome in said if isinstance(outcome, Folded)}
    if folded != {(fact.customer_id, topic(fact), fact.id) for fact in accepted}:
        return  # accepted or not may depend on what was known: that is another set of facts
    play_history(in_order, [(fact, now) for fact in accepted])
    assert alike(everything(in_order, instants)) == alike(everything(again, instants))


def alike(answers: list[Any]) -> list[Any]:
    """Which row was made first is no answer."""
    return [sorted(map(repr, answer)) if isinstance(answer, list) else repr(answer) for answer in answers]


# --- L16, L19 --------------------------------------------------------------------------------------------------------


def first_change(fact: AnyFact) -> Instant:
    """The earlier of a fact's `time` and the first instant that it can change (L16, D23)."""
    named: list[Instant] = [fact.time]
    for holder in (
        fact,
        getattr(fact, "grant", None),
        getattr(fact, "subscription", None),
        getattr(fact, "recurring_credit", None),
    ):
        if not isinstance(fact, ContractCreated):
            for name in ("starting_at", "effective_at", "voided_at"):
                named.append(getattr(holder, name, FOREVER))
    if not isinstance(fact, ContractCreated):
        named.append(getattr(fact, "ending_before", None) or FOREVER)
    if isinstance(fact, SeatChange):
        named += [operation.starting_at for operation in fact.operations]
    return min(named)


@on_drawn_histories(25)
def test_l16_what_comes_beyond_the_bound_is_refused_and_within_it_never_for_being_late(
    history: History, rng: random.Random
) -> None:
    """L16 Lateness is bounded: counted back from the arrival to the first instant that a fact can change."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    for fact, arrived_at in history:
        ledger.advance(arrived_at)
        outcome = ledger.fold(fact, arrived_at)
        late = first_change(fact) < arrived_at - HISTORY["lateness"]
        if isinstance(outcome, Repeated) or isinstance(fact, BurnVoided):
            continue
        code = outcome.refusal.code if isinstance(outcome, Refused) else None
        assert (code == "too_late") == late, (fact, outcome)


@on_drawn_histories(25)
def test_l19_a_refused_fact_changes_nothing_and_every_fact_has_its_outcome(
    history: History, rng: random.Random
) -> None:
    """L19 Refusals are answers: with code and message; what waits is folded or refused in the end."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    instants = some_instants(history, rng, 2)
    answers: list[Any] = []
    waiting = 0
    for fact, arrived_at in history:
        advanced = ledger.advance(arrived_at)
        customers = ledger.customers()
        before = everything(ledger, instants) if rng.random() < 0.4 else None
        outcome = ledger.fold(fact, arrived_at)
        waiting += isinstance(outcome, Waiting) - len(advanced) - len(ledger.settled())
        if isinstance(outcome, Refused):
            assert outcome.refusal.code and outcome.refusal.message
        if before is not None and not isinstance(outcome, Folded) and customers == ledger.customers():
            assert everything(ledger, instants) == before, (fact, outcome)
        answers.append(outcome)
    assert len(answers) == len(history)
    over = ledger.advance(history[-1][1] + 400 * DAY)
    assert len(over) == waiting
    assert not ledger.advance(history[-1][1] + 4_000 * DAY)


# --- L17, L20 --------------------------------------------------------------------------------------------------------


@on_drawn_histories(15)
def test_l17_whatever_happens_by_itself_is_due_at_its_instant(history: History, rng: random.Random) -> None:
    """L17 Time is an event: each start, end, recurrence and removal to come is one of the due instants."""
    ledger = engine(history)
    now, until = history[-1][1], horizon(history)
    for customer_id in ledger.customers():
        due, at = set(), ledger.next_due(customer_id, now)
        while at is not None and at <= until:
            due.add(at)
            at = ledger.next_due(customer_id, at)
        for line in ledger.entries(customer_id, until):
            by_itself = line.type in ("granted", "expired", "lifted", "forfeited") and line.cause_type != "period.reset"
            assert line.time <= now or not by_itself or line.time in due, line


@on_drawn_histories(25)
def test_l20_extra_paid_and_pending_follow_from_the_counts(history: History, rng: random.Random) -> None:
    """L20 Seats count for money."""
    ledger = engine(history)
    for customer_id in ledger.customers():
        for contract_id in ledger.contracts(customer_id):
            for at in some_instants(history, rng, 5):
                for counts in ledger.counts(customer_id, contract_id, at):
                    assert counts.extra == max(0, counts.total - counts.included)
                    assert counts.pending_removals == counts.paid - counts.total >= 0
        charges = ledger.charges(customer_id, horizon(history))
        for charge in charges:
            assert charge.seats > 0 and 0 < charge.covered <= charge.period
            assert charge.period_from < charge.period_to
            assert (charge.amount is None) == (charge.unit_price is None)
        assert [charge.time for charge in charges] == sorted(charge.time for charge in charges)


def test_l20_each_seat_above_what_is_paid_is_charged_for_what_is_left_of_the_period() -> None:
    """L20 Seats count for money: `paid` is the highest total so far, not below the minimum; falls give nothing back."""
    rng = random.Random(SEED)
    june = instant("2026-06-01T00:00:00Z")
    for _ in range(25):
        included, minimum, first = rng.randint(0, 4), rng.randint(0, 4), rng.randint(0, 6)
        steps = sorted((rng.randrange(1, 30 * DAY), rng.randint(0, 9)) for _ in range(5))
        story = play(
            "contract c from 06-01\n"
            f"subscription team quantity {first} included {included} minimum {minimum} price 10\n"
            + "\n".join(f"quantity {to} at {at_text(june + at)}" for at, to in steps)
        )
        paid = max(first, minimum)
        due = max(0, paid - included) * 10 * UNIT
        for at, to in steps:
            if to > paid:
                seats = max(0, to - included) - max(0, paid - included)
                due += int(Fraction(10 * UNIT * seats * (30 * DAY - at), 30 * DAY) + Fraction(1, 2))
                paid = to
            counts = story.counts("team", at_text(june + at))
            assert (counts.paid, counts.pending_removals) == (paid, paid - to), SEED
        charged = sum(charge.amount or 0 for charge in story.ledger.charges("acme", june + 30 * DAY - 1))
        assert charged == due, SEED


# --- all of them together --------------------------------------------------------------------------------------------


@on_drawn_histories(200)
def test_engine_and_model_agree(history: History, rng: random.Random) -> None:
    """All laws at once: the engine and the naive model say the same of everything."""
    duel(history, rng)


@on_drawn_histories(10)
def test_the_law_of_each_word_is_its_fact(history: History, rng: random.Random) -> None:
    """A recurring credit added twice under one name is refused, whatever was in between (L4)."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    names: set[tuple[str, str, str]] = set()
    for fact, outcome in play_history(ledger, history):
        if isinstance(fact, RecurringCreditAdded) and isinstance(outcome, Folded):
            key = (fact.customer_id, fact.contract_id, fact.recurring_credit.recurring_credit_id)
            assert key not in names
            names.add(key)


def test_a_story_can_be_played_in_other_ways() -> None:
    """The language hands out its facts too."""
    assert [type(fact).__name__ for fact, _ in facts("burn 3 at 01-02")] == ["ContractCreated", "CreditBurn"]
