"""The naive model against the pencil: worked examples of the laws and of the vendors' pages, and whole histories."""

import random
from typing import Any

import pytest

from ledger.amounts import UNIT, Amount, parse, text
from ledger.answers import Balance
from ledger.facts import (
    AddSeats,
    AddUnassignedSeats,
    AnyFact,
    AnyOperation,
    BurnVoided,
    ContractCreated,
    ContractEnded,
    CreditBurn,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    MoveSeat,
    PeriodReset,
    Price,
    Recurrence,
    RecurringCredit,
    RecurringCreditEnded,
    RemoveSeats,
    RemoveUnassignedSeats,
    Rollover,
    SeatChange,
    SeatName,
    SetQuantity,
    SetSeats,
    Subscription,
    SubscriptionChanges,
    SubscriptionUpdated,
)
from ledger.instants import DAY, FOREVER, HOUR, Every, Instant, instant
from ledger.outcome import Folded, Outcome, Refused, Repeated, Scope, Waiting
from tests.ledger.histories import HISTORY, draw_history, play, shrink
from tests.ledger.model import Model
from tests.ledger.model.account import Account
from tests.ledger.model.known import Known

MONTH, DAILY = Every(1, "month"), Every(1, "day")


def day(text: str) -> Instant:
    """06-16 is that day of 2025."""
    return instant(f"2025-{text}T00:00:00Z") if len(text) == 5 else instant(f"2025-{text}Z")


class Story:
    """One customer with one contract from 06-01 on; every fact arrives at its `time`, or at the latest arrival so far."""

    def __init__(self, *, subscriptions: Any = (), credits: Any = (), grants: Any = (), **contract: Any) -> None:
        self.model = Model(lateness=400 * DAY, ahead=DAY, wait=HOUR)
        self.number = 0
        self.now = day("06-01")
        fields: dict[str, Any] = {"contract_id": "c", "starting_at": day("06-01"), "time": day("06-01")} | contract
        self.say(
            ContractCreated,
            **fields,
            subscriptions=tuple(subscriptions),
            recurring_credits=tuple(credits),
            grants=tuple(grants),
        )

    def say(self, kind: Any, time: Instant, **fields: Any) -> Outcome:
        self.number += 1
        fields.setdefault("id", f"fact-{self.number}")
        return self.fold(kind(customer_id="acme", time=time, **fields))

    def fold(self, fact: AnyFact) -> Outcome:
        self.now = max(self.now, fact.time)
        return self.model.fold(fact, self.now)

    def burn(self, at: str, amount: str, seat_id: str | None = None, **fields: Any) -> Outcome:
        fields.setdefault("contract_id", "c")
        return self.say(CreditBurn, day(at), seat_id=seat_id, amount=parse(amount), **fields)

    def edit(self, *operations: AnyOperation, time: str | None = None, **fields: Any) -> Outcome:
        submitted = day(time) if time else max(operation.starting_at for operation in operations)
        return self.say(SeatChange, submitted, contract_id="c", subscription_id="team", operations=operations, **fields)

    def grant(self, id: str, amount: str, at: str, until: str | None = None, **fields: Any) -> Outcome:
        return self.say(CreditsGranted, day(at), grant=grant(id, amount, at, until, **fields))

    def left(self, at: str, **scope: Any) -> dict[str, str]:
        """{"grant": left} of one seat or pool, in L5 order."""
        found = self.balance(at, **scope)
        return {each.grant_id: text(each.balance) for each in found.grants}

    def balance(self, at: str, contract_id: str | None = "c", seat_id: str | None = None) -> Balance:
        rows = self.model.balances("acme", day(at))
        return next(row for row in rows if (row.scope.contract_id, row.scope.seat_id) == (contract_id, seat_id))

    def kinds(self, until: str) -> list[tuple[str, str]]:
        return [(each.type, text(each.amount)) for each in self.model.entries("acme", day(until))]

    def seats(self, at: str) -> tuple[int, int, int]:
        counts = self.model.counts("acme", "c", day(at))[0]
        return counts.total, counts.assigned, counts.unassigned


def names(*seat_ids: str) -> tuple[SeatName, ...]:
    return tuple(SeatName(seat_id=seat_id) for seat_id in seat_ids)


def team(*seat_ids: str, **fields: Any) -> Subscription:
    base: dict[str, Any] = {
        "subscription_id": "team",
        "mode": "seats",
        "starting_at": day("06-01"),
        "seat_ids": names(*seat_ids),
        "billing_period": Recurrence(every=MONTH, anchor=day("06-01")),
    }
    return Subscription(**(base | fields))


def credit(amount: str, **fields: Any) -> RecurringCredit:
    base: dict[str, Any] = {
        "recurring_credit_id": "monthly",
        "subscription_id": "team",
        "allocation": "individual",
        "amount": parse(amount),
        "every": MONTH,
        "anchor": day("06-01"),
        "starting_at": day("06-01"),
    }
    return RecurringCredit(**(base | fields))


def grant(id: str, amount: str, at: str, until: str | None = None, **fields: Any) -> Grant:
    expires_at = day(until) if until else FOREVER
    base: dict[str, Any] = {
        "grant_id": id,
        "contract_id": "c",
        "amount": parse(amount),
        "effective_at": day(at),
        "expires_at": expires_at,
    }
    return Grant(**(base | fields))


def add(at: str, *seat_ids: str) -> AddSeats:
    return AddSeats(starting_at=day(at), seat_ids=names(*seat_ids))


def remove(at: str, *seat_ids: str) -> RemoveSeats:
    return RemoveSeats(starting_at=day(at), seat_ids=names(*seat_ids))


# --- burns and grants ------------------------------------------------------------------------------------------------


def test_a_burn_takes_the_seats_grant_and_leaves_the_pool_alone() -> None:
    story = Story(grants=[grant("march", "20", "06-01", "07-01", seat_id="ana"), grant("pool", "500", "06-01")])

    outcome = story.burn("06-16T09:30:00", "1.25", "ana")

    assert outcome == Folded(result={"paid": [["march", None, parse("1.25"), "seat"]], "overage": 0})
    assert story.left("06-17", seat_id="ana") == {"march": "18.75"}
    assert story.left("06-17") == {"pool": "500"}
    scope = Scope(customer_id="acme", contract_id="c", seat_id="ana")
    assert story.model.available(scope, day("06-17"), 500 * UNIT) == (
        True,
        [("march", None, parse("18.75")), ("pool", None, parse("481.25"))],
    )
    assert not story.model.available(scope, day("06-17"), 519 * UNIT)[0]


def test_burn_order_is_class_then_priority_then_expiry_then_start_and_a_void_does_not_rank() -> None:
    story = Story(
        grants=[
            grant("late", "1", "06-01", priority=2),
            grant("soon", "1", "06-01", "08-01", priority=2),
            grant("sooner", "1", "06-01", "07-01", priority=2),
            grant("first", "1", "06-02", priority=1),
            grant("rolled", "1", "06-03", burn_class="rolled_over", priority=3),
            grant("voided", "1", "06-01", priority=2),
        ]
    )
    story.say(CreditsVoided, day("06-04"), grant_id="voided", contract_id="c", voided_at=day("06-20"))

    outcome = story.burn("06-05", "6")

    assert isinstance(outcome, Folded)
    assert [paid[0] for paid in outcome.result["paid"]] == ["rolled", "first", "sooner", "soon", "late", "voided"]


def test_a_question_about_an_instant_does_not_count_its_burns() -> None:
    story = Story(grants=[grant("g", "10", "06-01")])
    story.burn("06-02", "4")

    assert story.left("06-02") == {"g": "10"}
    assert story.left("06-02T00:00:01") == {"g": "6"}


def test_a_late_burn_draws_from_what_was_there_then() -> None:
    story = Story(grants=[grant("old", "10", "06-01", "06-10"), grant("new", "10", "06-10")])
    story.burn("06-20", "3")
    story.burn("06-09", "4")

    assert story.left("06-09T12:00:00") == {"old": "6"}
    assert story.left("06-21") == {"new": "7"}
    assert ("expired", "-6") in story.kinds("06-21")


def test_a_grant_recurs_strictly_within_its_window_and_ends_rather_than_recurs() -> None:
    daily = Recurrence(every=DAILY, anchor=day("06-01"))
    story = Story(grants=[grant("g", "5", "06-01", "06-03", recurrence=daily)])
    story.burn("06-01T12:00:00", "2")

    assert story.kinds("06-10") == [("granted", "5"), ("burned", "-2"), ("lifted", "2"), ("expired", "-5")]


def test_months_are_counted_from_the_anchor_itself() -> None:
    monthly = Recurrence(every=MONTH, anchor=instant("2025-01-31T00:00:00Z"))
    story = Story(starting_at=instant("2025-01-31T00:00:00Z"), time=instant("2025-01-31T00:00:00Z"))
    story.grant("g", "5", "01-31", recurrence=monthly)

    due = [instant("2025-01-31T00:00:00Z")]
    for _ in range(3):
        due.append(story.model.next_due("acme", due[-1]) or 0)
    assert due[1:] == [day("02-28"), day("03-31"), day("04-30")]


def test_a_reset_keeps_what_the_rollover_lets_it_and_spares_what_starts_with_it() -> None:
    story = Story(
        grants=[
            grant("some", "10", "06-01", rollover=Rollover(min=0, max=3 * UNIT)),
            grant("least", "1", "06-01", rollover=Rollover(min=2 * UNIT)),
            grant("none", "10", "06-01"),
            grant("fresh", "10", "06-15"),
        ]
    )
    story.say(PeriodReset, day("06-15"), contract_id="c")

    assert story.left("06-15") == {"fresh": "10", "least": "2", "none": "0", "some": "3"}
    assert story.balance("06-15").granted == 15 * UNIT


@pytest.mark.parametrize(("overage", "left", "over"), [("charge", "10", "4"), ("carry", "6", "0")])
def test_overage_is_charged_or_carried_as_a_debt(overage: str, left: str, over: str) -> None:
    story = Story(overage=overage)
    story.burn("06-02", "4", "ana")
    story.grant("g", "10", "06-05", seat_id="ana")

    assert story.balance("06-03", seat_id="ana").overage == 4 * UNIT
    assert story.left("06-05", seat_id="ana") == {"g": left}
    assert text(story.balance("06-05", seat_id="ana").overage) == over


def test_a_carried_debt_is_forgiven_by_a_reset_before_what_comes_then_pays_it() -> None:
    for preserve, left in ((False, "10"), (True, "6")):
        story = Story(overage="carry")
        story.burn("06-02", "4")
        story.say(PeriodReset, day("06-05"), contract_id="c", preserve_overage=preserve)
        story.grant("g", "10", "06-05")
        assert story.left("06-05") == {"g": left}


def test_a_burn_outside_the_contract_is_overage_whatever_the_customers_pool_holds() -> None:
    story = Story(ending_before=day("06-10"), overage="carry")
    story.grant("own", "10", "06-01", contract_id=None)
    story.burn("06-10", "1")
    story.burn("06-09", "1")

    assert story.left("06-20", contract_id=None) == {"own": "9"}
    assert story.balance("06-20").overage == 0  # never a debt


def test_an_adjustment_takes_what_is_left_and_the_rest_lapses() -> None:
    story = Story(grants=[grant("g", "10", "06-01", "06-10")])
    for at, amount in (("06-02", "2"), ("06-03", "-30"), ("06-10", "5")):
        story.say(CreditsAdjusted, day(at), grant_id="g", contract_id="c", amount=parse(amount), reason="r")

    entries = story.model.entries("acme", day("06-11"))
    assert [(each.type, text(each.amount), text(each.beside)) for each in entries] == [
        ("granted", "10", "0"),
        ("adjusted", "2", "0"),
        ("adjusted", "-12", "0"),
        ("lapsed", "0", "-18"),
        ("lapsed", "0", "5"),
    ]


def test_an_adjustment_takes_no_more_than_burns_left() -> None:
    story = Story(grants=[grant("g", "10", "06-01")])
    story.burn("06-02", "4")
    story.say(CreditsAdjusted, day("06-03"), grant_id="g", contract_id="c", amount=-10 * UNIT, reason="r")

    assert story.left("06-03") == {"g": "0"}
    assert text(story.balance("06-03").granted) == "4"


def test_a_voided_burn_never_was_and_its_id_stays_taken() -> None:
    story = Story(grants=[grant("g", "10", "06-01")])
    story.burn("06-02", "4", id="b")
    story.say(BurnVoided, day("06-03"), burn_id="b", id="w")

    assert story.left("06-04") == {"g": "10"}
    repeated = story.burn("06-02", "5", id="b")
    assert isinstance(repeated, Repeated) and repeated.differs


# --- seats and what they earn ----------------------------------------------------------------------------------------


def test_the_example_of_seat_updates() -> None:
    """metronome.md 2.1: 2 assigned + 1 unassigned; the removal keeps the place, two new ids fill the holes."""
    story = Story(subscriptions=[team("ana", "bo", unassigned_seats=1)])
    story.edit(remove("06-16", "bo"), AddUnassignedSeats(starting_at=day("06-16"), quantity=1))
    story.edit(add("06-20T10:00:00", "cy", "di"))

    assert [story.seats(at) for at in ("06-15", "06-16", "06-20T10:00:00")] == [(3, 2, 1), (3, 1, 2), (3, 3, 0)]
    assert story.model.holders("acme", "c", "team", day("06-21")) == ["ana", "cy", "di"]


@pytest.mark.parametrize(("prorate", "earns"), [(True, "50"), (False, "100")])
def test_a_seat_assigned_in_mid_period_earns_the_rest_of_it(prorate: bool, earns: str) -> None:
    """metronome.md 3.4: 100 x 15/30 = 50."""
    story = Story(subscriptions=[team("ana")], credits=[credit("100", prorate_increases=prorate)])
    story.edit(add("06-16", "di"))

    assert story.left("06-16", seat_id="ana") == {"monthly": "100"}
    assert story.left("06-16", seat_id="di") == {"monthly": earns}
    assert story.left("07-01", seat_id="di") == {"monthly": "100"}


def test_a_pool_is_raised_for_each_rise_above_the_highest_so_far() -> None:
    story = Story(subscriptions=[team("ana", "bo")], credits=[credit("100", allocation="pooled")])
    story.edit(remove("06-07", "bo"))
    story.edit(add("06-10", "bo"))
    story.edit(add("06-16", "cy"))

    assert [story.left(at) for at in ("06-07", "06-10", "06-16")] == [
        {"monthly": "200"},
        {"monthly": "200"},
        {"monthly": "250"},
    ]
    assert story.left("07-01") == {"monthly": "300"}


def test_a_seat_that_leaves_with_the_period_earns_nothing_and_one_that_comes_earns_once() -> None:
    story = Story(subscriptions=[team("ana")], credits=[credit("100")])
    story.edit(remove("07-01", "ana"), add("07-01", "bo"))
    story.edit(remove("07-10", "bo"), add("07-12", "bo"))

    assert story.balance("07-01", seat_id="ana").grants == ()
    assert story.left("07-15", seat_id="bo") == {"monthly": "100"}


def test_a_removal_revokes_and_a_return_within_the_period_gives_back_as_it_was_left() -> None:
    story = Story(subscriptions=[team("ana", "bo", revoke_on_removal=True)], credits=[credit("100")])
    story.burn("06-05", "30", "ana")
    story.edit(remove("06-10", "ana", "bo"))
    story.edit(add("06-20", "ana"))
    story.edit(add("07-05", "bo"))

    assert story.balance("06-15", seat_id="ana").balance == 0
    assert story.left("06-20", seat_id="ana") == {"monthly": "70"}
    # July's slice alone, 100 x 27/31: June's went with June.
    assert [(each.slice, text(each.balance)) for each in story.balance("07-05", seat_id="bo").grants] == [
        (1, "87.096774194")
    ]


def test_what_a_removal_revoked_is_gone_with_the_period_even_if_its_window_runs_on() -> None:
    story = Story(subscriptions=[team("ana", revoke_on_removal=True)], credits=[credit("100", duration_periods=3)])
    story.edit(remove("06-10", "ana"))
    story.edit(add("07-01", "ana"))

    assert [each.slice for each in story.balance("07-01", seat_id="ana").grants] == [1]


def test_who_was_removed_and_came_back_and_moved_at_one_instant_left_by_a_move() -> None:
    story = Story(subscriptions=[team("ana", revoke_on_removal=True)], credits=[credit("100")])
    moved = MoveSeat(starting_at=day("06-10"), from_seat_id="ana", to_seat_id="bo")
    story.edit(remove("06-10", "ana"), add("06-10", "ana"), moved)

    assert story.left("06-10", seat_id="ana") == {"monthly": "100"}


def test_a_void_of_one_seat_neither_follows_a_carried_grant_nor_waits_for_it() -> None:
    story = Story(subscriptions=[team("ana")], grants=[grant("g", "10", "06-01", seat_id="ana")])
    story.edit(MoveSeat(starting_at=day("06-10"), from_seat_id="ana", to_seat_id="bo", carry_balance=True))
    void = {"grant_id": "g", "contract_id": "c"}
    story.say(CreditsVoided, day("06-11"), **void, seat_id="bo", voided_at=day("06-05"))
    assert story.left("06-12", seat_id="bo") == {"g": "10"}
    story.say(CreditsVoided, day("06-12"), **void, seat_id="ana", voided_at=day("06-12"))
    assert story.left("06-12", seat_id="bo") == {"g": "10"}
    story.say(CreditsVoided, day("06-13"), **void, voided_at=day("06-13"))
    assert story.left("06-13", seat_id="bo") == {}


def test_a_carried_move_takes_credit_and_debt_along_and_earns_nothing_anew() -> None:
    story = Story(subscriptions=[team("ana")], credits=[credit("100")], overage="carry")
    story.edit(MoveSeat(starting_at=day("06-10"), from_seat_id="ana", to_seat_id="bo", carry_balance=True))
    story.burn("06-05", "30", "ana")  # late, and it changes what was carried

    assert story.seats("06-10") == (1, 1, 0)
    assert story.left("06-10", seat_id="bo") == {"monthly": "70"}
    assert story.left("06-10", seat_id="ana") == {}
    assert story.kinds("06-10") == [("granted", "100"), ("burned", "-30"), ("moved_out", "-70"), ("moved_in", "70")]
    assert story.left("07-01", seat_id="bo") == {"monthly": "100"}

    story.burn("06-06", "90", "ana")
    assert story.balance("06-10", seat_id="bo").overage == 20 * UNIT
    assert story.balance("06-10", seat_id="ana").overage == 0
    assert story.left("07-01", seat_id="bo") == {"monthly": "80"}


def test_a_move_without_the_balance_lets_the_new_one_earn() -> None:
    story = Story(subscriptions=[team("ana")], credits=[credit("100")])
    story.edit(MoveSeat(starting_at=day("06-16"), from_seat_id="ana", to_seat_id="bo"))

    assert story.left("06-16", seat_id="ana") == {"monthly": "100"}
    assert story.left("06-16", seat_id="bo") == {"monthly": "50"}


def test_edges_of_a_recurring_credit_are_cut_by_what_was_said_in_time() -> None:
    half = {"subscription_id": None, "allocation": "pooled", "starting_at": day("06-16")}
    story = Story(credits=[credit("100", **half)])
    ended = {"contract_id": "c", "recurring_credit_id": "monthly"}
    story.say(RecurringCreditEnded, day("06-20"), **ended, ending_before=day("07-11"))  # in time for July's slice
    story.say(RecurringCreditEnded, day("07-05"), **ended, ending_before=day("07-06"))  # only closes its window

    assert story.left("06-16") == {"monthly": "50"}
    assert text(story.balance("07-01").balance) == "32.258064516"  # 100 x 10/31
    assert story.left("07-06") == {}


def test_slices_of_several_periods_live_side_by_side() -> None:
    story = Story(credits=[credit("10", subscription_id=None, allocation="pooled", duration_periods=2)])

    assert [each.slice for each in story.balance("07-15").grants] == [0, 1]
    assert [each.slice for each in story.balance("08-01").grants] == [1, 2]


def test_a_late_edit_that_would_break_a_count_is_refused_whole() -> None:
    story = Story(subscriptions=[team("ana", unassigned_seats=1)])
    story.edit(add("06-10", "bo"))

    def code(outcome: Outcome) -> str | None:
        return outcome.refusal.code if isinstance(outcome, Refused) else None

    drop = RemoveUnassignedSeats(starting_at=day("06-05"), quantity=2)
    assert code(story.edit(drop, time="06-11")) == "below_zero"
    move = MoveSeat(starting_at=day("06-11"), from_seat_id="nobody", to_seat_id="cy")
    assert code(story.edit(add("06-11", "di"), move)) == "not_assigned"
    assert code(story.edit(SetQuantity(starting_at=day("06-11"), quantity=1))) == "wrong_mode"
    assert code(story.edit(add("06-12", "di"), expected_version={"team": 0})) == "version_stale"
    assert code(story.edit(add("06-12", "di"), expected_version={"team": 1})) is None
    assert story.seats("06-12") == (3, 3, 0)


def test_set_seats_removes_the_others_and_fills_the_holes_first() -> None:
    story = Story(subscriptions=[team("ana", "bo", unassigned_seats=1)])
    outcome = story.edit(SetSeats(starting_at=day("06-10"), seat_ids=names("bo", "cy")))

    assert outcome == Folded(
        result={
            "team": {
                "version": 1,
                "previous_quantity": 3,
                "quantity": 2,
                "assigned": 2,
                "added": ["cy"],
                "removed": ["ana"],
            }
        }
    )


def test_a_quantity_becomes_unassigned_seats() -> None:
    story = Story(subscriptions=[team(mode="quantity", seat_ids=(), quantity=2)])
    story.say(
        SubscriptionUpdated,
        day("06-10"),
        contract_id="c",
        subscription_id="team",
        starting_at=day("06-10"),
        changes=SubscriptionChanges(mode="seats"),
    )
    story.edit(add("06-11", "ana"))

    assert story.seats("06-11") == (2, 1, 1)


def test_a_void_without_a_slice_means_the_one_that_started_last_at_every_seat() -> None:
    story = Story(subscriptions=[team("ana", "bo")], credits=[credit("10", duration_periods=2)])
    story.say(CreditsVoided, day("07-10"), grant_id="monthly", contract_id="c", voided_at=day("07-10"))
    story.say(
        CreditsVoided, day("07-11"), grant_id="monthly", contract_id="c", voided_at=day("07-11"), slice=0, seat_id="bo"
    )

    assert [each.slice for each in story.balance("07-10", seat_id="ana").grants] == [0]
    assert [each.slice for each in story.balance("07-11", seat_id="bo").grants] == []
    assert [each.slice for each in story.balance("08-01", seat_id="bo").grants] == [2]


def test_moves_of_one_instant_carry_one_after_the_other() -> None:
    story = Story(subscriptions=[team("ana")], grants=[grant("g", "10", "06-01", seat_id="ana")])
    moves = [("ana", "bo"), ("bo", "cy")]
    story.edit(
        *(
            MoveSeat(starting_at=day("06-10"), from_seat_id=leaver, to_seat_id=comer, carry_balance=True)
            for leaver, comer in moves
        )
    )
    story.say(CreditsAdjusted, day("06-11"), grant_id="g", contract_id="c", amount=UNIT, reason="it follows")

    assert story.left("06-11", seat_id="cy") == {"g": "11"}
    assert story.left("06-11", seat_id="ana") == story.left("06-11", seat_id="bo") == {}


def test_the_end_of_a_subscription_masks_its_seats_and_revokes_nothing() -> None:
    ending = team("ana", revoke_on_removal=True, ending_before=day("06-10"))
    story = Story(subscriptions=[ending], credits=[credit("100")])
    story.edit(remove("06-12", "ana"))

    assert story.seats("06-09") == (1, 1, 0) and story.seats("06-10") == (0, 0, 0)
    assert story.left("06-13", seat_id="ana") == {"monthly": "100"}
    assert story.left("07-01", seat_id="ana") == {}


def test_a_burn_without_a_contract_means_the_one_where_its_seat_is_assigned() -> None:
    story = Story(subscriptions=[team("ana")], grants=[grant("g", "10", "06-01")])
    story.say(ContractCreated, day("06-01"), contract_id="d", starting_at=day("06-01"), subscriptions=(team("bo"),))
    story.burn("06-02", "1", "ana", contract_id=None)
    story.burn("06-02", "2", "bo", contract_id=None)
    ambiguous = story.burn("06-02", "3", "cy", contract_id=None)

    assert story.left("06-03") == {"g": "9"}
    assert story.balance("06-03", contract_id="d", seat_id="bo").overage == 2 * UNIT
    assert isinstance(ambiguous, Waiting) and ambiguous.code == "contract_ambiguous"


# --- money -----------------------------------------------------------------------------------------------------------


def test_extra_seats_are_charged_in_advance_and_a_rise_for_the_days_that_are_left() -> None:
    """commet-lumen.md: 1 x $25 x 15/30 = $12.50; a removed seat is used up first by a later rise."""
    price = Price(amount=25 * UNIT, currency="USD")
    story = Story(subscriptions=[team("ana", "bo", included_seats=1, unit_price=price)])
    story.edit(add("06-16", "cy"))
    story.edit(remove("06-20", "cy"))
    counts = story.model.counts("acme", "c", day("06-20"))[0]
    story.edit(add("06-25", "di"))

    assert (counts.extra, counts.paid, counts.pending_removals) == (1, 3, 1)
    charges = story.model.charges("acme", day("06-30"))
    assert [(each.kind, each.time, each.seats, text(each.amount or 0)) for each in charges] == [
        ("period", day("06-01"), 1, "25"),
        ("increase", day("06-16"), 1, "12.5"),
    ]
    assert [each.seats for each in story.model.charges("acme", day("07-01"))] == [1, 1, 2]


def test_a_rise_may_be_due_with_the_next_period_and_whole() -> None:
    price = Price(amount=25 * UNIT, currency="USD")
    terms = team("ana", unit_price=price, charge_increases="next_period", prorate_charges=False, minimum_seats=2)
    story = Story(subscriptions=[terms])
    story.edit(add("06-10", "bo"))
    story.edit(add("06-16", "cy"))

    assert [(each.kind, each.seats) for each in story.model.charges("acme", day("06-30"))] == [("period", 2)]
    due = [(each.kind, each.seats, text(each.amount or 0)) for each in story.model.charges("acme", day("07-01"))]
    assert due == [("period", 2, "50"), ("increase", 1, "25"), ("period", 3, "75")]


# --- waiting, lateness, identity -------------------------------------------------------------------------------------


def test_what_waited_is_folded_with_what_it_waited_for_in_the_order_of_arrival() -> None:
    story = Story()
    edit = SeatChange(
        id="e",
        customer_id="acme",
        time=day("06-02"),
        contract_id="d",
        subscription_id="team",
        operations=(add("06-03", "ana"),),
    )
    burn = CreditBurn(id="b", customer_id="acme", time=day("06-03"), contract_id="d", seat_id="ana", amount=UNIT)
    assert [type(story.fold(fact)) for fact in (edit, burn, edit)] == [Waiting, Waiting, Repeated]

    story.say(ContractCreated, day("06-03"), contract_id="d", starting_at=day("06-01"), subscriptions=(team(),))

    assert [fact.id for fact, _ in story.model.settled()] == ["e", "b"]
    assert all(isinstance(outcome, Folded) for _, outcome in story.model.settled())


def test_when_the_wait_is_over_a_burn_becomes_overage_of_the_contract_that_ended_last() -> None:
    story = Story(ending_before=day("06-10"))
    for id, ending_before in (("b", day("06-05")), ("d", day("06-08"))):
        story.say(ContractCreated, day("06-01"), contract_id=id, starting_at=day("06-01"), ending_before=ending_before)
    early = CreditBurn(id="early", customer_id="acme", time=day("06-15"), amount=UNIT)
    stray = CreditsVoided(
        id="v", customer_id="acme", time=day("06-15"), grant_id="g", contract_id="c", voided_at=day("06-15")
    )
    assert [type(story.fold(fact)) for fact in (early, stray)] == [Waiting, Waiting]

    assert story.model.advance(day("06-15T01:00:00")) == []
    (_, burned), (_, refused) = story.model.advance(day("06-15T01:00:01"))

    assert burned == Folded(result={"paid": [], "overage": UNIT})
    assert isinstance(refused, Refused) and refused.refusal.code == "wait_over"
    assert story.balance("06-16").overage == UNIT
    assert isinstance(story.fold(stray), Waiting)  # what was missing is not held against it


def test_a_fact_beyond_the_lateness_bound_is_refused_and_remembered() -> None:
    model = Model(lateness=10 * DAY, ahead=DAY, wait=HOUR)
    burn = CreditBurn(id="b", customer_id="acme", time=day("06-01"), contract_id="c", amount=UNIT)

    outcome = model.fold(burn, day("06-11") + 1)
    assert isinstance(outcome, Refused) and outcome.refusal.code == "too_late"
    assert model.fold(burn, day("06-12")) == Repeated(first=outcome, differs=False)
    assert (
        model.fold(CreditBurn(id="x", customer_id="acme", time=day("06-03") + 1, amount=UNIT), day("06-02")) != outcome
    )


def test_an_edit_may_be_late_as_a_whole_by_one_of_its_operations() -> None:
    model = Model(lateness=10 * DAY, ahead=DAY, wait=HOUR)
    edit = SeatChange(id="e", customer_id="acme", time=day("06-20"), contract_id="c", operations=(add("06-09", "ana"),))

    outcome = model.fold(edit, day("06-20"))
    assert isinstance(outcome, Refused) and outcome.refusal.code == "too_late"


def test_an_ended_contract_ends_what_it_gave() -> None:
    story = Story(grants=[grant("g", "10", "06-01")])
    story.say(ContractEnded, day("06-05"), contract_id="c", ending_before=day("06-10"))

    assert story.left("06-09") == {"g": "10"}
    assert story.left("06-10") == {}
    assert story.model.next_due("acme", day("06-05")) == day("06-10")


# --- whole histories -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(200))
def test_whole_histories_keep_the_laws(seed: int) -> None:
    """L14 within the model at every instant; entries sum to balances, counts are never negative, order is no matter."""
    rng = random.Random(seed)
    history = draw_history(rng, rng.randint(5, 40))
    model = Model(**HISTORY)
    play(model, history)

    begin, end = min(fact.time for fact, _ in history), max(arrived_at for _, arrived_at in history) + 5 * DAY
    for customer_id in model.customers():
        entries = model.entries(customer_id, end)
        assert [each.time for each in entries] == sorted(each.time for each in entries)
        for at in [rng.randrange(begin, end) for _ in range(3)] + [end]:
            sums: dict[Scope, Amount] = {}
            for entry in model.entries(customer_id, at):
                sums[entry.scope] = sums.get(entry.scope, 0) + entry.amount
            rows = model.balances(customer_id, at)
            assert len({row.scope for row in rows}) == len(rows)
            assert {row.scope: row.balance for row in rows if row.balance} == {k: v for k, v in sums.items() if v}
            for row in rows:
                assert 0 <= row.balance == sum(each.balance for each in row.grants) and row.overage >= 0
                assert all(0 <= each.balance <= each.granted for each in row.grants)
            for contract_id in ("c0", "c1", "c2"):
                for counts in model.counts(customer_id, contract_id, at):
                    holders = model.holders(customer_id, contract_id, counts.subscription_id, at)
                    assert min(counts.assigned, counts.unassigned, counts.pending_removals) >= 0
                    assert counts.total == counts.assigned + counts.unassigned and counts.assigned == len(holders)
        assert all(
            charge.seats > 0 and 0 <= charge.covered <= charge.period for charge in model.charges(customer_id, end)
        )
        _order_is_no_matter(model, customer_id, end, rng)


def _order_is_no_matter(model: Model, customer_id: str, end: Instant, rng: random.Random) -> None:
    """L15: the same accepted facts learned in another order give the same lines."""
    accepted = list(model._accepted[customer_id])
    rng.shuffle(accepted)
    ranks = ("ContractCreated", "SubscriptionAdded", "RecurringCreditAdded", "CreditsGranted")
    accepted.sort(key=lambda each: ranks.index(name) if (name := type(each.fact).__name__) in ranks else 9)
    assert Account(Known(customer_id, accepted), end).entries == model.entries(customer_id, end)


def test_shrink_keeps_what_fails() -> None:
    history = draw_history(random.Random(1), 30)

    def has_a_burn(history: list[tuple[AnyFact, Instant]]) -> bool:
        return any(isinstance(fact, CreditBurn) for fact, _ in history)

    small = shrink(history, has_a_burn)
    assert len(small) == 1 and isinstance(small[0][0], CreditBurn)
