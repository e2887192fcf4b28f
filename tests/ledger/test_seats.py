"""Seats over time: worked examples by pencil, and the fold against a naive one that starts from nothing each time (L11)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import seats
from ledger.contracts import ContractRow, End, SubscriptionRow
from ledger.facts import (
    AddSeats,
    AddUnassignedSeats,
    AnyOperation,
    ChangeQuantity,
    MoveSeat,
    Recurrence,
    RemoveSeats,
    RemoveUnassignedSeats,
    SeatChange,
    SeatName,
    SetQuantity,
    SetSeats,
    Subscription,
)
from ledger.instants import DAY, FOREVER, ORIGIN, Every, Instant, instant
from ledger.outcome import Refusal
from ledger.rows import Book
from ledger.seats import Edited
from tests.ledger.memory import MemoryRows

CUSTOMER = 7
BORN = instant("2025-01-01T00:00:00Z")


def day(text: str) -> Instant:
    return instant(f"2025-{text}T00:00:00Z")


def names(*seat_ids: str) -> tuple[SeatName, ...]:
    return tuple(SeatName(seat_id=seat_id) for seat_id in seat_ids)


def add(at: Instant, *seat_ids: str, **of: Any) -> AddSeats:
    return AddSeats(starting_at=at, seat_ids=names(*seat_ids), **of)


def remove(at: Instant, *seat_ids: str, **of: Any) -> RemoveSeats:
    return RemoveSeats(starting_at=at, seat_ids=names(*seat_ids), **of)


def set_seats(at: Instant, *seat_ids: str, **of: Any) -> SetSeats:
    return SetSeats(starting_at=at, seat_ids=names(*seat_ids), **of)


def move(at: Instant, source: str, target: str, carry: bool = False, **of: Any) -> MoveSeat:
    return MoveSeat(starting_at=at, from_seat_id=source, to_seat_id=target, carry_balance=carry, **of)


def more(at: Instant, quantity: int, **of: Any) -> AddUnassignedSeats:
    return AddUnassignedSeats(starting_at=at, quantity=quantity, **of)


def fewer(at: Instant, quantity: int, **of: Any) -> RemoveUnassignedSeats:
    return RemoveUnassignedSeats(starting_at=at, quantity=quantity, **of)


def quantity(at: Instant, number: int, **of: Any) -> SetQuantity:
    return SetQuantity(starting_at=at, quantity=number, **of)


def shift(at: Instant, delta: int, **of: Any) -> ChangeQuantity:
    return ChangeQuantity(starting_at=at, delta=delta, **of)


def subscription(subscription_id: str = "team", number: int = 1, mode: str = "seats", **given: Any) -> SubscriptionRow:
    given.setdefault("starting_at", BORN)
    given.setdefault("billing_period", Recurrence(every=Every(1, "month"), anchor=given["starting_at"]))
    return SubscriptionRow(
        number,
        Subscription(subscription_id=subscription_id, mode=mode, **given),  # type: ignore[arg-type]
        BORN,
        "contract-fact",
    )


class Account:
    """One contract over rows in memory. Every edit reads and writes bytes, as a batch of its own."""

    def __init__(self, *subscriptions: SubscriptionRow) -> None:
        self.rows = MemoryRows()
        self.book = Book(self.rows)
        self.contract = ContractRow(1, "c-1", BORN, BORN, "contract-fact", subscriptions=list(subscriptions))
        self.edits = 0
        for each in subscriptions:
            seats.begin(self.book, CUSTOMER, each)
        self.book.close()

    def edit(self, *operations: AnyOperation, **fact: Any) -> Edited | Refusal:
        self.edits += 1
        fact.setdefault("id", f"edit-{self.edits}")
        fact.setdefault("time", operations[0].starting_at if operations else BORN)
        fact.setdefault("subscription_id", self.contract.subscriptions[0].subscription_id)
        outcome = seats.edit(
            self.book, CUSTOMER, self.contract, SeatChange(customer_id="acme", operations=operations, **fact)
        )
        self.book.close()
        return outcome

    def folded(self, *operations: AnyOperation, **fact: Any) -> dict[str, Any]:
        outcome = self.edit(*operations, **fact)
        assert isinstance(outcome, Edited), outcome
        return next(iter(outcome.results.values()))

    def refused(self, *operations: AnyOperation, **fact: Any) -> Refusal:
        before = {table: dict(rows) for table, rows in self.rows.tables.items()}
        versions = [each.version for each in self.contract.subscriptions]
        outcome = self.edit(*operations, **fact)
        assert isinstance(outcome, Refusal), outcome
        assert self.rows.tables == before
        assert [each.version for each in self.contract.subscriptions] == versions
        return outcome

    def counts(self, at: Instant, number: int = 0) -> tuple[int, int, int]:
        subscription = self.contract.subscriptions[number]
        counts = seats.counts(self.book, CUSTOMER, self.contract, subscription, at)
        return counts.total, counts.assigned, counts.unassigned

    def members(self, at: Instant, number: int = 0) -> list[str]:
        subscription = self.contract.subscriptions[number]
        return [seat_id for seat_id, _ in seats.members(self.book, CUSTOMER, subscription, at)]

    def intervals(self, seat_id: str, number: int = 0) -> list[seats.Interval]:
        return seats.intervals(self.book, CUSTOMER, self.contract.subscriptions[number], seat_id)

    def spans(self, seat_id: str) -> list[tuple[Instant, Instant]]:
        return [(interval.came_at, interval.left_at) for interval in self.intervals(seat_id)]


def team(*seat_ids: str, unassigned: int = 0, **given: Any) -> Account:
    return Account(subscription(seat_ids=names(*seat_ids), unassigned_seats=unassigned, **given))


# --- worked examples -------------------------------------------------------------------------------------------------


def test_removing_a_seat_and_adding_a_place_keeps_the_total_and_the_next_id_fills_it() -> None:
    # spec/metronome.md 2.1: 2 assigned + 1 unassigned = 3.
    account = team("ana", "bo", unassigned=1)

    account.folded(remove(day("06-16"), "bo"), more(day("06-16"), 1), add(instant("2025-06-20T10:00:00Z"), "cy", "di"))

    assert account.counts(day("06-16")) == (3, 1, 2)
    assert account.counts(instant("2025-06-20T09:59:59.999999Z")) == (3, 1, 2)
    assert account.counts(instant("2025-06-20T10:00:00Z")) == (3, 3, 0)
    assert account.members(day("07-01")) == ["ana", "cy", "di"]


def test_quantities_of_one_instant_apply_in_the_order_of_submission() -> None:
    # spec/metronome.md 2.1 rule 2: set 12 then -1 on one day => 11.
    account = Account(subscription(mode="quantity", quantity=10))

    result = account.folded(quantity(day("06-16"), 12), shift(day("06-16"), -1))

    assert result == {
        "version": 1,
        "previous_quantity": 10,
        "quantity": 11,
        "assigned": 0,
        "added": [],
        "removed": [],
    }


def test_edits_of_one_instant_apply_by_time_then_sequence_then_id_whatever_arrives_first() -> None:
    at = day("06-16")
    edits = [
        {"operation": quantity(at, 12), "id": "z", "time": at - 2, "sequence": 0},
        {"operation": shift(at, -1), "id": "y", "time": at - 1, "sequence": 1},
        {"operation": quantity(at, 4), "id": "a", "time": at - 1, "sequence": 2},
        {"operation": shift(at, 5), "id": "b", "time": at - 1, "sequence": 2},
    ]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        account = Account(subscription(mode="quantity", quantity=10))
        for i in order:
            fact = dict(edits[i])
            account.folded(fact.pop("operation"), **fact)  # type: ignore[arg-type]
        assert account.counts(at) == (9, 0, 9)


def test_a_scheduled_change_put_before_another_moves_its_delta_and_not_an_absolute_quantity() -> None:
    # spec/metronome.md 2.1 rule 4.
    account = Account(subscription(mode="quantity", quantity=10))
    account.folded(shift(day("07-01"), 2))
    account.folded(quantity(day("08-01"), 30))

    account.folded(shift(day("06-15"), 5))

    assert [account.counts(day(at))[0] for at in ("06-01", "06-15", "07-01", "08-01")] == [10, 15, 17, 30]


def test_add_remove_and_set_of_a_count() -> None:
    # spec/commet-lumen.md A5.
    account = Account(subscription(mode="quantity", quantity=5))
    assert account.folded(shift(day("02-01"), 3))["quantity"] == 8
    assert account.folded(shift(day("02-02"), -8))["quantity"] == 0
    assert account.folded(quantity(day("02-03"), 6))["quantity"] == 6
    assert account.folded(quantity(day("02-04"), 6))["previous_quantity"] == 6

    refusal = account.refused(shift(day("02-05"), -7))

    assert (refusal.code, refusal.field) == ("below_zero", "operations[0].delta")
    assert refusal.details == {"current": 6, "requested": 7}
    assert account.counts(day("02-05")) == (6, 0, 6)


def test_one_edit_sets_several_subscriptions_and_a_bad_one_refuses_all() -> None:
    # spec/commet-lumen.md A5 setAll: those not named stay, one invalid rejects all.
    account = Account(
        subscription("viewers", 1, "quantity", quantity=3, feature_code="view"),
        subscription("editors", 2, "quantity", quantity=4, feature_code="edit"),
        subscription("owners", 3, "quantity", quantity=1),
    )
    at = day("03-01")
    outcome = account.edit(
        quantity(at, 10, feature_code="view"), quantity(at, 2, subscription_id="editors"), subscription_id=None
    )
    assert isinstance(outcome, Edited)
    assert {name: result["quantity"] for name, result in outcome.results.items()} == {"viewers": 10, "editors": 2}
    assert [each.version for each in account.contract.subscriptions] == [1, 1, 0]

    refusal = account.refused(shift(at, 1, feature_code="view"), shift(at, -9, feature_code="edit"))
    assert (refusal.code, refusal.field) == ("below_zero", "operations[1].delta")

    refusal = account.refused(shift(at, 1), quantity(at, 1, feature_code="nobody"))
    assert (refusal.code, refusal.field) == ("unknown_subscription", "operations[1].feature_code")

    refusal = account.refused(quantity(at, 1), subscription_id="nothing")
    assert (refusal.code, refusal.field) == ("unknown_subscription", "subscription_id")


def test_operations_of_one_edit_at_one_instant_apply_in_the_order_of_the_law() -> None:
    account = team("ana", "bo")

    # Written backwards: remove bo (1), add cy (2), add a place (3), move ana to di, and nobody is refused.
    account.folded(
        move(day("02-01"), "ana", "di"), more(day("02-01"), 1), add(day("02-01"), "cy"), remove(day("02-01"), "bo")
    )

    assert account.members(day("02-01")) == ["cy", "di"]
    assert account.counts(day("02-01")) == (3, 2, 1)


def test_set_seats_comes_last_and_leaves_exactly_those() -> None:
    account = team("ana", "bo", unassigned=1)

    result = account.folded(set_seats(day("02-01"), "bo", "cy", "di", "bo"), add(day("02-01"), "ed"))

    assert account.members(day("02-01")) == ["bo", "cy", "di"]
    # ed takes the unassigned seat; set_seats removes ana and ed (total 1) and adds two (total 3).
    assert account.counts(day("02-01")) == (3, 3, 0)
    assert (result["added"], result["removed"], result["assigned"]) == (["cy", "di"], ["ana"], 3)
    assert account.intervals("ed") == []
    assert account.intervals("ana")[0].left == "removed"


def test_unknown_ids_and_ids_assigned_already_do_nothing_and_are_counted_as_an_edit() -> None:
    account = team("ana", unassigned=1)

    outcome = account.edit(remove(day("02-01"), "nobody"), add(day("02-01"), "ana"))

    assert isinstance(outcome, Edited)
    assert (outcome.seats, outcome.steps) == ([], [])
    assert outcome.results["team"]["version"] == 1
    assert account.counts(day("02-01")) == (2, 1, 1)


def test_an_edit_without_operations_is_an_edit() -> None:
    account = team("ana")
    assert account.folded(time=day("02-01")) == {
        "version": 1,
        "previous_quantity": 1,
        "quantity": 1,
        "assigned": 1,
        "added": [],
        "removed": [],
    }


def test_more_unassigned_seats_than_there_are_cannot_be_removed() -> None:
    account = team("ana", unassigned=2)

    refusal = account.refused(fewer(day("02-01"), 3))

    assert (refusal.code, refusal.field) == ("below_zero", "operations[0].quantity")
    assert refusal.details == {"current": 2, "requested": 3}
    # Only the state after the whole instant counts (D4).
    account.folded(fewer(day("02-01"), 3), more(day("02-01"), 1))
    assert account.counts(day("02-01")) == (1, 1, 0)


def test_a_late_edit_that_would_break_a_later_instant_is_refused() -> None:
    account = team("ana", unassigned=1)
    account.folded(fewer(day("03-01"), 1), id="drop")
    account.folded(move(day("04-01"), "ana", "bo"), id="handover")

    refusal = account.refused(add(day("02-01"), "cy"))
    assert (refusal.code, refusal.details) == ("below_zero", {"current": 0, "requested": 1})
    assert "edit drop" in refusal.message

    refusal = account.refused(remove(day("02-01"), "ana"))
    assert (refusal.code, "edit handover" in refusal.message) == ("not_assigned", True)

    refusal = account.refused(add(day("02-01"), "bo"), more(day("02-01"), 1))
    assert (refusal.code, "edit handover" in refusal.message) == ("already_assigned", True)


def test_a_move_keeps_the_total_and_says_who_carried_what() -> None:
    account = team("ana", "bo")
    at = day("02-01")

    account.folded(move(at, "ana", "cy", carry=True), id="m-1")

    [ana], [cy] = account.intervals("ana"), account.intervals("cy")
    assert (ana.left, ana.left_to, ana.carried_out, ana.left_by, ana.left_at) == ("moved", "cy", True, "m-1", at)
    assert (cy.came, cy.came_from, cy.carried_in, cy.came_at, cy.left_at) == ("moved", "ana", True, at, FOREVER)
    assert account.counts(at) == (2, 2, 0)
    assert account.refused(move(at, "ana", "di")).code == "not_assigned"
    assert account.refused(move(at, "bo", "cy")).code == "already_assigned"
    assert account.refused(move(at, "bo", "bo")).code == "already_assigned"
    assert account.refused(move(at, "nobody", "nobody")).code == "already_assigned"


def test_a_chain_of_moves_at_one_instant_leaves_no_trace_in_between_but_in_the_moves() -> None:
    account = team("ana")
    at = day("02-01")

    account.folded(move(at, "ana", "bo", carry=True), move(at, "bo", "cy"), id="m")

    assert account.spans("bo") == []
    found = seats.moves(account.book, CUSTOMER, account.contract.subscriptions[0], "bo", at, at + 1)
    assert [(m.from_seat_id, m.to_seat_id, m.carry_balance, m.edit_id, m.order) for m in found] == [
        ("ana", "bo", True, "m", 0),
        ("bo", "cy", False, "m", 1),
    ]
    assert account.intervals("cy")[0].came_from == "bo"


def test_a_late_move_renumbers_those_of_its_instant() -> None:
    account = team("ana", "bo")
    at = day("02-01")
    account.folded(move(at, "ana", "cy"), id="second", time=at + 1)

    outcome = account.edit(move(at, "bo", "di"), id="first", time=at)

    assert isinstance(outcome, Edited)
    [found] = seats.moves(account.book, CUSTOMER, account.contract.subscriptions[0], "cy", ORIGIN, FOREVER)
    assert (found.edit_id, found.order) == ("second", 1)
    assert [touched.seat_id for touched in outcome.seats] == ["ana", "bo", "cy", "di"]


def test_a_seat_that_leaves_and_returns_within_one_instant_never_left() -> None:
    account = team("ana")
    at = day("02-01")
    account.folded(remove(at, "ana"), time=at)
    assert account.spans("ana") == [(ORIGIN, at)]

    account.folded(add(at, "ana"), time=at + 1)

    assert account.spans("ana") == [(ORIGIN, FOREVER)]
    assert seats.next_step_after(account.book, CUSTOMER, account.contract.subscriptions[0], ORIGIN) is None


def test_a_late_edit_says_from_when_what_is_different() -> None:
    account = team("ana", unassigned=1)
    account.folded(add(day("03-01"), "bo"), add(day("04-01"), "cy"))

    outcome = account.edit(add(day("02-01"), "bo"))

    assert isinstance(outcome, Edited)
    # bo took the place a month earlier; cy and the total of 2 in March are as they were.
    assert [(touched.seat_id, touched.since) for touched in outcome.seats] == [("bo", day("02-01"))]
    assert [touched.since for touched in outcome.steps] == [day("02-01")]
    assert account.spans("bo") == [(day("02-01"), FOREVER)]
    assert [step.at for step in seats.steps(account.book, CUSTOMER, outcome.steps[0].subscription, BORN, FOREVER)] == [
        ORIGIN,
        day("02-01"),
        day("04-01"),
    ]


def test_a_stale_edit_is_refused_and_changes_no_version() -> None:
    account = Account(subscription("a", 1, feature_code="fa"), subscription("b", 2))
    account.folded(more(day("02-01"), 1), subscription_id="a")

    refusal = account.refused(more(day("02-02"), 1), subscription_id="a", expected_version={"a": 0})
    assert (refusal.code, refusal.details) == ("version_stale", {"current": 1, "requested": 0})
    assert (
        account.refused(more(day("02-02"), 1), subscription_id=None, feature_code="fa", expected_version={"fa": 2}).code
        == "version_stale"
    )
    account.folded(
        more(day("02-02"), 1, feature_code="fa"), more(day("02-02"), 1, subscription_id="b"),
        expected_version={"fa": 1, "b": 0},
    )  # fmt: skip
    assert [each.version for each in account.contract.subscriptions] == [2, 1]
    assert account.refused(more(day("02-03"), 1), expected_version={"zz": 1}).code == "unknown_subscription"


def test_an_edit_that_names_no_subscription_lacks_a_field() -> None:
    account = team("ana")
    refusal = account.refused(more(day("02-01"), 1), subscription_id=None)
    assert (refusal.code, refusal.field) == ("missing_field", "subscription_id")
    assert account.refused(subscription_id=None).code == "missing_field"
    assert account.refused(subscription_id="nothing").code == "unknown_subscription"


def test_any_integer_is_a_sequence() -> None:
    account = Account(subscription(mode="quantity", quantity=1))
    at = day("02-01")
    account.folded(quantity(at, 5), sequence=2**70, time=at)
    account.folded(quantity(at, 7), sequence=-(2**70), time=at)
    assert account.counts(at) == (5, 0, 5)


def test_operations_of_the_other_mode_are_refused() -> None:
    account = Account(subscription("s", 1), subscription("q", 2, "quantity"))
    at = day("02-01")
    for operation in (quantity(at, 1), shift(at, 1)):
        assert account.refused(operation, subscription_id="s").code == "wrong_mode"
    for other in (add(at, "a"), remove(at, "a"), set_seats(at), move(at, "a", "b"), more(at, 1), fewer(at, 1)):
        refusal = account.refused(other, subscription_id="q")
        assert (refusal.code, refusal.field) == ("wrong_mode", "operations[0].op")


def test_a_conversion_turns_the_quantity_into_unassigned_seats() -> None:
    # spec/metronome.md 2.1 rule 7, D8.
    account = Account(subscription(mode="quantity", quantity=3))
    [row] = account.contract.subscriptions
    at = day("03-01")
    account.folded(quantity(at, 5), time=at)

    assert isinstance(seats.convert(account.book, CUSTOMER, row, day("02-01")), Refusal)
    assert isinstance(seats.convert(account.book, CUSTOMER, row, at), seats.TouchedSteps)
    account.book.close()

    assert account.counts(at) == (5, 0, 5)
    assert account.refused(quantity(at, 9)).code == "wrong_mode"
    assert account.refused(add(at - 1, "ana")).code == "wrong_mode"
    account.folded(quantity(at - DAY, 4))
    # Submitted before the quantity was, and yet after the conversion.
    account.folded(add(at, "ana"), time=at - DAY)
    assert account.counts(at) == (5, 1, 4)


def test_operations_outside_a_life_fold_beneath_its_mask() -> None:
    # D5: a lifted end shows what they left.
    account = team("ana", unassigned=1)
    [row] = account.contract.subscriptions
    row.ends.append(End(BORN, "e-1", day("03-01")))

    result = account.folded(add(day("04-01"), "bo"))
    assert (result["previous_quantity"], result["quantity"], result["added"]) == (0, 0, [])
    assert account.folded(add(BORN - DAY, "cy"), more(BORN, 2))["previous_quantity"] == 0
    assert account.counts(BORN) == (4, 2, 2)
    assert account.counts(BORN - 1) == account.counts(day("03-01")) == (0, 0, 0)

    row.ends.append(End(BORN + 1, "e-2", FOREVER))
    assert account.counts(day("04-01")) == (4, 3, 1)


def test_the_last_name_said_counts_whatever_arrives_last() -> None:
    at = day("02-01")
    early = AddSeats(starting_at=at, seat_ids=(SeatName(seat_id="bo", name="Bo", email="bo@old"),))
    late = AddSeats(starting_at=at + DAY, seat_ids=(SeatName(seat_id="bo", email="bo@new"),))
    for order in ([early, late], [late, early]):
        account = team()
        for operation in order:
            account.folded(operation)
        row = seats.seat(account.book, CUSTOMER, account.contract.subscriptions[0], "bo")
        assert row is not None
        assert (row.name, row.email) == ("Bo", "bo@new")


def test_history_is_segments_of_the_life_scheduled_ones_included() -> None:
    account = team("ana", unassigned=1)
    [row] = account.contract.subscriptions
    account.folded(add(day("02-01"), "bo", "cy"))
    account.folded(set_seats(day("03-01"), "bo"))
    row.ends.append(End(BORN, "e-1", day("04-01")))

    found = list(seats.history(account.book, CUSTOMER, account.contract, row))

    assert [(s.from_at, s.to_at, s.quantity, s.assigned, s.unassigned, s.added, s.removed) for s in found] == [
        (BORN, day("02-01"), 2, 1, 1, ("ana",), ()),
        (day("02-01"), day("03-01"), 3, 3, 0, ("bo", "cy"), ()),
        (day("03-01"), day("04-01"), 1, 1, 0, (), ("ana", "cy")),
    ]
    assert list(seats.history(account.book, CUSTOMER, account.contract, row, day("02-10"), day("03-01"))) == [found[1]]
    assert list(seats.history(account.book, CUSTOMER, account.contract, row, day("04-01"))) == []
    assert list(seats.history(account.book, CUSTOMER, account.contract, row, to_at=BORN)) == []


def test_who_comes_when_a_subscription_starts_is_among_those_it_starts_with() -> None:
    account = team("ana")
    account.folded(add(BORN, "bo"))

    [segment] = seats.history(account.book, CUSTOMER, account.contract, account.contract.subscriptions[0])

    assert segment.added == ("ana", "bo")


def test_paid_is_the_highest_of_the_period_and_never_below_the_minimum() -> None:
    # L20: later rises use the pending removals up first.
    account = Account(subscription(mode="quantity", quantity=10, included_seats=4, minimum_seats=6))
    for at, number in (("01-10", 14), ("01-20", 5), ("02-10", 7)):
        account.folded(quantity(day(at), number))
    [row] = account.contract.subscriptions

    def look(at: str) -> tuple[int, int, int, int]:
        counts = seats.counts(account.book, CUSTOMER, account.contract, row, day(at))
        return counts.total, counts.extra, counts.paid, counts.pending_removals

    assert look("01-05") == (10, 6, 10, 0)
    assert look("01-15") == (14, 10, 14, 0)
    assert look("01-31") == (5, 1, 14, 9)
    assert look("02-01") == (5, 1, 6, 1)
    assert look("02-28") == (7, 3, 7, 0)


def test_an_ordinary_edit_reads_and_writes_the_seats_that_it_names_and_no_others() -> None:
    class Counting:
        def __init__(self, rows: MemoryRows) -> None:
            self.rows = rows
            self.touched = 0
            self.delete = rows.delete

        def get(self, table: Any, key: bytes) -> bytes | None:
            self.touched += 1
            return self.rows.get(table, key)

        def put(self, table: Any, key: bytes, value: bytes) -> None:
            self.touched += 1
            self.rows.put(table, key, value)

        def scan(self, *_: Any) -> Any:
            raise AssertionError("an ordinary edit scans nothing")

    def cost(already: int) -> int:
        account = team(*(f"seat-{n}" for n in range(already)))
        rows = Counting(account.rows)
        account.book = Book(rows)
        account.folded(add(day("02-01"), "x", "y"), remove(day("02-01"), "seat-1"), move(day("02-01"), "seat-2", "z"))
        account.folded(add(day("02-01"), "w"), time=day("02-02"))
        return rows.touched

    assert cost(10) == cost(3000)


# --- against a naive fold --------------------------------------------------------------------------------------------

RANK = ["RemoveSeats", "RemoveUnassignedSeats", "AddSeats", "AddUnassignedSeats", "MoveSeat", "SetSeats"]


def rank(operation: AnyOperation) -> int:
    name = type(operation).__name__
    return RANK.index(name) if name in RANK else 0


@dataclass
class Naive:
    """All that one subscription ever accepted, sorted and played from the start each time that anything is asked."""

    initial: frozenset[str]
    unassigned: int
    accepted: list[tuple[Any, SeatChange, int, AnyOperation]] = field(default_factory=list)

    @staticmethod
    def ordered(fact: SeatChange, index: int, operation: AnyOperation) -> tuple[Any, SeatChange, int, AnyOperation]:
        by_quantity = isinstance(operation, SetQuantity | ChangeQuantity)
        key = (operation.starting_at, not by_quantity, fact.time, fact.sequence, fact.id, rank(operation), index)
        return key, fact, index, operation

    def play(self, extra: Iterable[tuple[Any, SeatChange, int, AnyOperation]] = ()) -> "str | Played":
        played = Played([(ORIGIN, self.initial, self.unassigned, "")], [], {}, {})
        members, unassigned = set(self.initial), self.unassigned
        queue = sorted([*self.accepted, *extra], key=lambda entry: entry[0])
        for at in sorted({entry[0][0] for entry in queue}):
            before, was_unassigned, by = set(members), unassigned, ""
            came: dict[str, tuple[Any, ...]] = {}
            left: dict[str, tuple[Any, ...]] = {}
            order = 0
            for _, fact, _, operation in [entry for entry in queue if entry[0][0] == at]:
                members_before, unassigned_before, moved = set(members), unassigned, False
                match operation:
                    case SetQuantity(quantity=number):
                        unassigned = number
                    case ChangeQuantity(delta=delta):
                        unassigned += delta
                    case AddUnassignedSeats(quantity=number):
                        unassigned += number
                    case RemoveUnassignedSeats(quantity=number):
                        unassigned -= number
                    case MoveSeat(from_seat_id=source, to_seat_id=target, carry_balance=carry):
                        if source == target or (source in members and target in members):
                            return "already_assigned"
                        if source not in members:
                            return "not_assigned"
                        members = members - {source} | {target}
                        left[source] = ("moved", target, carry, fact.id)
                        came[target] = ("moved", source, carry, fact.id)
                        played.moves.append((at, source, target, carry, fact.id, order))
                        order += 1
                        moved = True
                    case AddSeats() | RemoveSeats() | SetSeats():
                        wanted = {named.seat_id for named in operation.seat_ids}
                        for named in operation.seat_ids:
                            if not isinstance(operation, RemoveSeats) and named.name is not None:
                                played.names[named.seat_id] = named.name
                        if isinstance(operation, RemoveSeats):
                            leaving, coming = members & wanted, set()
                        else:
                            leaving = members - wanted if isinstance(operation, SetSeats) else set()
                            coming = wanted - members
                        left.update(dict.fromkeys(leaving, ("removed", None, False, fact.id)))
                        came.update(dict.fromkeys(coming, ("assigned", None, False, fact.id)))
                        members = (members - leaving) | coming
                        unassigned -= max(0, min(unassigned, len(coming)))
                if moved or members != members_before or unassigned != unassigned_before:
                    by = fact.id
            if unassigned < 0:
                return "below_zero"
            for seat_id in members - before:
                played.ways[at, seat_id] = came[seat_id]
            for seat_id in before - members:
                played.ways[at, seat_id] = left[seat_id]
            if members != before or unassigned != was_unassigned:
                played.states.append((at, frozenset(members), unassigned, by))
        return played


@dataclass
class Played:
    states: list[tuple[Instant, frozenset[str], int, str]]
    moves: list[tuple[Instant, str, str, bool, str, int]]
    ways: dict[tuple[Instant, str], tuple[Any, ...]]
    names: dict[str, str]

    def at(self, at: Instant) -> tuple[frozenset[str], int]:
        return [(members, unassigned) for since, members, unassigned, _ in self.states if since <= at][-1]

    def intervals(self, seat_id: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        here = False
        for at, members, _, _ in self.states:
            if (seat_id in members) is here:
                continue
            here = not here
            if here:
                found.append((at, FOREVER, *self.ways.get((at, seat_id), ("assigned", None, False, "")), None))
            else:
                found[-1] = (found[-1][0], at, *found[-1][2:6], self.ways[at, seat_id])
        return found

    def known(self) -> set[str]:
        ids = {seat_id for _, members, _, _ in self.states for seat_id in members}
        return ids | {seat_id for _, source, target, *_ in self.moves for seat_id in (source, target)}


def first_difference(old: list[tuple[Any, ...]], new: list[tuple[Any, ...]]) -> Instant | None:
    """The earliest event, as (instant, what happened), that only one of two lists of intervals has."""

    def events(intervals: list[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        came = {(interval[0], "came", *interval[2:6]) for interval in intervals}
        return came | {(interval[1], "left", interval[6]) for interval in intervals if interval[6] is not None}

    return min((event[0] for event in events(old) ^ events(new)), default=None)


IDS = ["", "\0", "a", "a\0", "a\0\1", "\u00e4", "\U0001f600", "\uffff", "b"]
DAYS = [BORN - DAY, BORN, BORN + 1, BORN + 20 * DAY, BORN + 200 * DAY]

some_ids = st.lists(st.sampled_from(IDS), max_size=3)
some_names = st.lists(
    st.builds(SeatName, seat_id=st.sampled_from(IDS), name=st.sampled_from([None, None, "Bo", "Cy"])), max_size=3
).map(tuple)
small = st.integers(0, 3)
instants = st.sampled_from(DAYS)


def seat_operations(subscription_id: str) -> st.SearchStrategy[AnyOperation]:
    of = {"starting_at": instants, "subscription_id": st.just(subscription_id)}
    return st.one_of(
        st.builds(AddSeats, seat_ids=some_names, **of),
        st.builds(RemoveSeats, seat_ids=some_names, **of),
        st.builds(SetSeats, seat_ids=some_names, **of),
        st.builds(
            MoveSeat,
            from_seat_id=st.sampled_from(IDS),
            to_seat_id=st.sampled_from(IDS),
            carry_balance=st.booleans(),
            **of,
        ),
        st.builds(AddUnassignedSeats, quantity=small, **of),
        st.builds(RemoveUnassignedSeats, quantity=small, **of),
    )


quantity_operations: st.SearchStrategy[AnyOperation] = st.one_of(
    st.builds(SetQuantity, quantity=small, starting_at=instants, subscription_id=st.just("q")),
    st.builds(ChangeQuantity, delta=st.integers(-2, 3), starting_at=instants, subscription_id=st.just("q")),
)
operations = st.one_of(
    seat_operations("s"), seat_operations("s"), seat_operations("s"), seat_operations("t"), quantity_operations,
    seat_operations("q"),
)  # fmt: skip
#: An edit: its time and sequence, its operations; or an instant at which "q" is converted to seats.
edits = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 2), st.integers(-1, 1), st.lists(operations, min_size=1, max_size=4)),
        st.tuples(st.integers(0, 2), st.integers(-1, 1), st.lists(seat_operations("s"), min_size=1, max_size=2)),
        instants,
    ),
    max_size=14,
)


class Compared:
    """The fold and the naive fold, side by side."""

    def __init__(self, initial: list[str], unassigned: int) -> None:
        self.account = Account(
            subscription("s", 1, seat_ids=names(*initial), unassigned_seats=unassigned),
            subscription("t", 0xFF, seat_ids=names("a")),
            subscription("q", 0x100, "quantity", quantity=unassigned),
        )
        self.naive = {
            "s": Naive(frozenset(initial), unassigned),
            "t": Naive(frozenset("a"), 0),
            "q": Naive(frozenset(), unassigned),
        }
        self.converted_at: Instant | None = None
        self.accepted: list[SeatChange | Instant] = []

    def convert(self, at: Instant) -> None:
        naive = self.naive["q"]
        stranded = any(
            isinstance(operation, SetQuantity | ChangeQuantity) and operation.starting_at > at
            for *_, operation in naive.accepted
        )
        outcome = seats.convert(self.account.book, CUSTOMER, self.account.contract.subscriptions[2], at)
        self.account.book.flush()
        if self.converted_at is not None and self.converted_at <= at:
            assert not isinstance(outcome, Refusal)
            return
        assert isinstance(outcome, Refusal) == stranded
        if not stranded:
            self.converted_at = at
            self.accepted.append(at)

    def expected(self, fact: SeatChange) -> str | dict[str, list[tuple[Any, SeatChange, int, AnyOperation]]]:
        asked: dict[str, list[tuple[Any, SeatChange, int, AnyOperation]]] = {}
        for index, operation in enumerate(fact.operations):
            assert operation.subscription_id is not None
            asked.setdefault(operation.subscription_id, []).append(Naive.ordered(fact, index, operation))
        for name, entries in asked.items():
            for _, _, _, operation in entries:
                by_quantity = isinstance(operation, SetQuantity | ChangeQuantity)
                converted = self.converted_at is not None and operation.starting_at >= self.converted_at
                if by_quantity != (name == "q" and not converted):
                    return "wrong_mode"
        # The modes of all are looked at before the counts of any (D22).
        for name, entries in asked.items():
            played = self.naive[name].play(entries)
            if isinstance(played, str):
                return played
        return asked

    def edit(self, fact: SeatChange) -> None:
        before = {name: naive.play() for name, naive in self.naive.items()}
        rows = {table: dict(kept) for table, kept in self.account.rows.tables.items()}
        expected = self.expected(fact)
        outcome = seats.edit(self.account.book, CUSTOMER, self.account.contract, fact)
        self.account.book.flush()
        if isinstance(expected, str):
            assert isinstance(outcome, Refusal)
            assert outcome.code == expected
            assert self.account.rows.tables == rows
            return
        assert isinstance(outcome, Edited), outcome
        self.accepted.append(fact)
        touched_seats, touched_steps = set(), set()
        for name, entries in expected.items():
            self.naive[name].accepted.extend(entries)
            old, new = before[name], self.naive[name].play()
            assert isinstance(old, Played)
            assert isinstance(new, Played)
            for seat_id in old.known() | new.known():
                differ = [first_difference(old.intervals(seat_id), new.intervals(seat_id))]
                differ += [each[0] for each in set(old.moves) ^ set(new.moves) if seat_id in each[1:3]]
                if any(at is not None for at in differ):
                    touched_seats.add((name, seat_id, min(at for at in differ if at is not None)))
            counted = [
                {(at, len(members), unassigned, by) for at, members, unassigned, by in played.states}
                for played in (old, new)
            ]
            if counted[0] != counted[1]:
                touched_steps.add((name, min(counted[0] ^ counted[1])[0]))
            self.check_result(outcome.results[name], entries, old, new)
        assert {
            (each.subscription.subscription_id, each.seat_id, each.since) for each in outcome.seats
        } == touched_seats
        assert {(each.subscription.subscription_id, each.since) for each in outcome.steps} == touched_steps

    def check_result(self, result: dict[str, Any], entries: list[Any], old: Played, new: Played) -> None:
        first, last = min(entry[0][0] for entry in entries), max(entry[0][0] for entry in entries)
        lived, lives = first > BORN, last >= BORN
        were, was_unassigned = old.at(first - 1)
        are, unassigned = new.at(last)
        assert result["previous_quantity"] == (len(were) + was_unassigned if lived else 0)
        assert result["quantity"] == (len(are) + unassigned if lives else 0)
        assert result["assigned"] == (len(are) if lives else 0)
        if not lived:
            return
        added, removed = set(result["added"]), set(result["removed"])
        assert (result["added"], result["removed"]) == (sorted(added), sorted(removed))
        assert added <= are - were
        assert removed <= were - are
        # What is left out turned at that very instant by an earlier edit, which this one only followed.
        for seat_id in (are ^ were) - added - removed:
            assert (seat_id in old.at(last)[0]) == (seat_id in are)
            assert seat_id in old.at(first)[0] ^ old.at(first - 1)[0]

    def check(self) -> None:
        for subscription in self.account.contract.subscriptions:
            played = self.naive[subscription.subscription_id].play()
            assert isinstance(played, Played)
            self.check_subscription(subscription, played)

    def check_subscription(self, subscription: SubscriptionRow, played: Played) -> None:
        book = self.account.book
        steps = [
            seats.Step(at, len(members) + unassigned, len(members), unassigned, by)
            for at, members, unassigned, by in played.states
        ]
        assert seats.steps(book, CUSTOMER, subscription, ORIGIN, FOREVER) == steps
        for at in DAYS:
            members, unassigned = played.at(at)
            assert [seat_id for seat_id, _ in seats.members(book, CUSTOMER, subscription, at)] == sorted(
                members, key=lambda seat_id: seat_id.encode()
            )
            now = [step for step in steps if step.at <= at][-1:] + [step for step in steps if at < step.at < DAYS[-1]]
            assert seats.steps(book, CUSTOMER, subscription, at, DAYS[-1]) == now
            assert seats.next_step_after(book, CUSTOMER, subscription, at) == min(
                (step.at for step in steps if step.at > at), default=None
            )
            counts = seats.counts(book, CUSTOMER, self.account.contract, subscription, at)
            alive = at >= BORN
            assert (counts.total, counts.assigned) == ((len(members) + unassigned, len(members)) if alive else (0, 0))
        for seat_id in IDS:
            found = [
                (i.came_at, i.left_at, i.came, i.came_from, i.carried_in, i.came_by,
                 None if i.left is None else (i.left, i.left_to, i.carried_out, i.left_by))
                for i in seats.intervals(book, CUSTOMER, subscription, seat_id)
            ]  # fmt: skip
            assert found == played.intervals(seat_id)
            moves = seats.moves(book, CUSTOMER, subscription, seat_id, ORIGIN, FOREVER)
            assert [(m.at, m.from_seat_id, m.to_seat_id, m.carry_balance, m.edit_id, m.order) for m in moves] == [
                each for each in played.moves if seat_id in each[1:3]
            ]
            row = seats.seat(book, CUSTOMER, subscription, seat_id)
            assert (row.name if row else None) == played.names.get(seat_id)
        self.check_history(subscription, played)

    def check_history(self, subscription: SubscriptionRow, played: Played) -> None:
        here: frozenset[str] = frozenset()
        expected = []
        cuts = [at for at, *_ in played.states if at > BORN]
        for at, until in zip([BORN, *cuts], [*cuts, FOREVER], strict=True):
            members, unassigned = played.at(at)
            added, removed = tuple(sorted(members - here)), tuple(sorted(here - members))
            total = len(members) + unassigned
            expected.append(seats.Segment(at, until, total, len(members), unassigned, added, removed))
            here = members
        assert list(seats.history(self.account.book, CUSTOMER, self.account.contract, subscription)) == expected


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    initial=some_ids, unassigned=small, history=edits, closing=st.lists(st.booleans(), min_size=14, max_size=14),
    order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_l11_the_fold_agrees_with_a_naive_one_and_its_rows_depend_on_what_was_accepted_alone(
    initial: list[str], unassigned: int, history: list[Any], closing: list[bool], order: Any
) -> None:
    compared = Compared(initial, unassigned)
    for n, (each, close) in enumerate(zip(history, closing, strict=False)):
        if isinstance(each, int):
            compared.convert(each)
        else:
            time, sequence, ordered = each
            compared.edit(
                SeatChange(
                    id=f"{n * 7 % 13:x}-{n}", customer_id="acme", time=BORN + time, sequence=sequence,
                    operations=tuple(ordered),
                )
            )  # fmt: skip
        if close:
            compared.account.book.close()
        compared.check()
    compared.account.book.close()
    again = Compared(initial, unassigned)
    shuffled = list(compared.accepted)
    order.shuffle(shuffled)
    for fact in shuffled:
        if isinstance(fact, int):
            outcome: Any = seats.convert(again.account.book, CUSTOMER, again.account.contract.subscriptions[2], fact)
        else:
            outcome = seats.edit(again.account.book, CUSTOMER, again.account.contract, fact)
        if isinstance(outcome, Refusal):
            # Another order may refuse (L15): then there is nothing to compare.
            return
    again.account.book.close()
    assert again.account.rows.tables == compared.account.rows.tables


@pytest.mark.parametrize("number", [0, 0xFF, 0xFFFF_FFFF])
def test_subscriptions_with_neighbouring_numbers_keep_their_rows_apart(number: int) -> None:
    account = Account(subscription("one", number), subscription("other", number + 1 if number < 2**32 - 1 else 1))
    account.folded(add(day("02-01"), "ana"), subscription_id="one")
    account.folded(set_seats(day("01-15"), "bo"), subscription_id="other")
    assert (account.members(day("02-01"), 0), account.members(day("02-01"), 1)) == (["ana"], ["bo"])
