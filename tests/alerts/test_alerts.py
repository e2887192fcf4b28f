"""Alerts by pencil: what L18 says, and what others got wrong.

A story is one customer with one contract from January 1st on; `ana` and `bo` sit there unless it says otherwise.
"""

import random
from itertools import count
from typing import Any

import msgspec
import pytest

from alerts.states import States
from ledger import history
from ledger.amounts import UNIT, text
from ledger.facts import (
    AddSeats,
    ContractCreated,
    ContractEnded,
    CreditBurn,
    CreditsGranted,
    Grant,
    MoveSeat,
    Recurrence,
    RecurringCredit,
    RemoveSeats,
    SeatChange,
    SeatName,
    Subscription,
)
from ledger.instants import DAY, FOREVER, HOUR, MINUTE, ORIGIN, Every, Instant, instant
from tests.alerts.scene import Event, Scene
from wire.outputs import Alert
from wire.rules import Archived, Rule

JANUARY = instant("2026-01-01T00:00:00Z")
NUMBERS = count()


def at(day: float) -> Instant:
    """So many days after the contract's start."""
    return JANUARY + int(day * DAY)


def rule(*levels: int, rule_id: str = "low", **said: Any) -> Rule:
    held = {"name": "Low", "metric": "balance", "scope": "seat"} | said
    return Rule(rule_id=rule_id, levels=tuple(level * UNIT for level in levels), **held)


def contract(monthly: int = 0, seats: tuple[str, ...] = ("ana", "bo"), customer_id: str = "acme", **said: Any) -> Event:
    team = Subscription(
        subscription_id="team",
        mode="seats",
        starting_at=JANUARY,
        billing_period=Recurrence(every=Every(1, "month"), anchor=JANUARY),
        seat_ids=tuple(SeatName(seat_id=seat) for seat in seats),
        **said,
    )
    each = RecurringCredit(
        recurring_credit_id="monthly",
        subscription_id="team",
        allocation="individual",
        amount=monthly * UNIT,
        every=Every(1, "month"),
        anchor=JANUARY,
        starting_at=JANUARY,
    )
    fact = ContractCreated(
        id=f"contract-{customer_id}",
        customer_id=customer_id,
        time=JANUARY,
        contract_id="c",
        starting_at=JANUARY,
        subscriptions=(team,),
        recurring_credits=(each,) if monthly else (),
    )
    return fact, JANUARY


def burn(amount: float, day: float, seat: str | None = "ana", *, arrives: float | None = None, id: str = "") -> Event:
    fact = CreditBurn(
        id=id or f"b{next(NUMBERS)}",
        customer_id="acme",
        contract_id="c",
        seat_id=seat,
        amount=int(amount * UNIT),
        time=at(day),
    )
    return fact, at(day if arrives is None else arrives)


def grant(
    amount: int, day: float, seat: str | None = "ana", *, until: float | None = None, arrives: float | None = None
) -> Event:
    number = next(NUMBERS)
    given = Grant(
        grant_id=f"g{number}",
        contract_id="c",
        seat_id=seat,
        amount=amount * UNIT,
        effective_at=at(day),
        expires_at=FOREVER if until is None else at(until),
    )
    said_at = at(day if arrives is None else arrives)
    return CreditsGranted(id=f"grant-{number}", customer_id="acme", time=said_at, grant=given), said_at


def edit(operation: Any, day: float) -> Event:
    fact = SeatChange(
        id=f"e{next(NUMBERS)}",
        customer_id="acme",
        contract_id="c",
        subscription_id="team",
        time=at(day),
        operations=(operation,),
    )
    return fact, at(day)


def told(*events: Event) -> tuple[Scene, list[str]]:
    """Every event in a batch of its own; what was said."""
    scene = Scene()
    scene.batches(list(events), range(len(events)))
    return scene, lines(scene.alerts)


def lines(alerts: list[Alert]) -> list[str]:
    return [
        f"{alert.state}{' late' if alert.late else ''} {text(alert.level)} at {alert.value} for {alert.seat_id or 'all'}"
        for alert in alerts
    ]


def said(*events: Event) -> list[str]:
    return told(*events)[1]


START = (contract(), (rule(10), JANUARY))


# --- what others got wrong -------------------------------------------------------------------------------------------


def test_a_percentage_of_exactly_zero_is_an_alarm() -> None:
    events = contract(), (rule(0, metric="balance_percent"), JANUARY), grant(10, 1), burn(10, 2)
    assert said(*events) == ["in_alarm 0 at 0 for ana"]


def test_exactly_at_the_level_is_an_alarm() -> None:
    assert said(*START, grant(20, 1), burn(9, 2), burn(1, 3)) == ["in_alarm 10 at 10 for ana"]


def test_a_top_up_and_a_second_fall_in_one_period_is_a_second_alarm() -> None:
    scene, heard = told(*START, grant(20, 1), burn(11, 2), grant(5, 3), burn(5, 4))
    assert heard == ["in_alarm 10 at 9 for ana", "resolved 10 at 14 for ana", "in_alarm 10 at 9 for ana"]
    first, resolved, second = scene.alerts
    assert first.alert_id == resolved.alert_id != second.alert_id


def test_a_value_that_hovers_at_its_level_alarms_once_until_it_is_beyond_the_margin() -> None:
    hovering = [event for day in range(5) for event in (grant(1, 3 + day), burn(1, 3.5 + day))]
    events = contract(), (rule(10, margin=5 * UNIT), JANUARY), grant(20, 1), burn(10, 2), *hovering
    assert said(*events) == ["in_alarm 10 at 10 for ana"]
    assert said(*events, grant(5, 20)) == ["in_alarm 10 at 10 for ana"]
    assert said(*events, grant(6, 20)) == ["in_alarm 10 at 10 for ana", "resolved 10 at 16 for ana"]


def test_an_alarm_comes_again_in_every_period() -> None:
    burns = [burn(15, day) for day in (5, 35, 65)]
    scene, heard = told(contract(20), (rule(10), JANUARY), *burns)
    assert [line for line in heard if line.startswith("in_alarm")] == ["in_alarm 10 at 5 for ana"] * 3
    assert len({alert.alert_id for alert in scene.alerts}) == 3


def test_a_step_across_several_levels_reports_each_in_order() -> None:
    events = contract(), (rule(0, 20, 10), JANUARY), grant(50, 1), burn(60, 2), grant(100, 3)
    assert said(*events) == [
        "in_alarm 20 at 0 for ana", "in_alarm 10 at 0 for ana", "in_alarm 0 at 0 for ana",
        "resolved 0 at 100 for ana", "resolved 10 at 100 for ana", "resolved 20 at 100 for ana",
    ]  # fmt: skip


def test_500_burns_racing_across_one_level_give_one_alert() -> None:
    burns = [burn(1, 2 + n / 10_000, "ana" if n % 2 else "bo", arrives=3) for n in range(500)]
    chance = random.Random(7)
    ids = set()
    for _ in range(3):
        chance.shuffle(burns)
        scene = Scene()
        events = [contract(), (rule(100, scope="pool"), JANUARY), grant(400, 1, None), *burns]
        alerts = scene.batches(events, chance.sample(range(len(events)), 40))
        open_ids = {alert.alert_id for alert in alerts if alert.state == "in_alarm"}
        assert len(open_ids) == 1 and {alert.state for alert in alerts} == {"in_alarm"}
        ids |= open_ids
    assert len(ids) == 1


def test_only_the_first_of_many_redeliveries_counts() -> None:
    once = burn(15, 2, id="once")
    assert said(*START, grant(20, 1), once, once, once) == ["in_alarm 10 at 5 for ana"]


# --- when ------------------------------------------------------------------------------------------------------------


def test_an_expiry_alarms_at_its_instant_without_traffic() -> None:
    scene, heard = told(*START, grant(20, 1, until=5), (None, at(4.9)), (None, at(5)))
    assert heard == ["in_alarm 10 at 0 for ana"]
    assert scene.alerts[0].time == at(5)
    assert scene.alerts[0].cause_type == "contract-change"


def test_a_start_resolves_at_its_instant_without_traffic() -> None:
    ahead = grant(30, 6, arrives=1)
    scene, heard = told(*START, grant(20, 1), burn(15, 2), ahead, (None, at(5)), (None, at(7)))
    assert heard == ["in_alarm 10 at 5 for ana", "resolved 10 at 35 for ana"]
    assert scene.alerts[1].time == at(6)


def test_days_to_expiry_falls_by_the_clock() -> None:
    soon = rule(3, 1, metric="days_to_expiry")
    scene, heard = told(contract(), (soon, JANUARY), grant(20, 1, until=10), *((None, at(day)) for day in range(2, 12)))
    assert heard == [
        "in_alarm 3 at 3 for ana", "in_alarm 1 at 1 for ana", "resolved 1 at None for ana", "resolved 3 at None for ana"
    ]  # fmt: skip
    assert [alert.time for alert in scene.alerts] == [at(7), at(9), at(10), at(10)]


@pytest.mark.parametrize("scope", ["seat", "contract", "customer"])
def test_an_end_that_is_announced_ahead_is_counted_down_to(scope: str) -> None:
    soon = rule(3, metric="days_to_expiry", scope=scope, include_seats=scope != "seat")
    end = ContractEnded(id="end", customer_id="acme", time=at(2), contract_id="c", ending_before=at(10))
    scene, heard = told(contract(), (soon, JANUARY), grant(20, 1), (end, at(2)), (None, at(6)), (None, at(8)))
    assert [each.split(" for ")[0] for each in heard] == ["in_alarm 3 at 3"]
    assert scene.alerts[0].time == at(7)


def test_a_scheduled_move_that_carries_a_balance_away_is_counted_down_to() -> None:
    """A11. Nobody was told that a seat would have nothing in three days."""
    soon = rule(3, metric="days_to_expiry")
    move = edit(MoveSeat(starting_at=at(10), from_seat_id="ana", to_seat_id="cy", carry_balance=True), 2)
    scene, heard = told(contract(), (soon, JANUARY), grant(20, 1), move, (None, at(8)), (None, at(12)))
    assert heard == ["in_alarm 3 at 3 for ana", "resolved 3 at None for ana"]
    assert [alert.time for alert in scene.alerts] == [at(7), at(10)]


def test_what_is_used_up_need_not_be_warned_of_when_it_ends() -> None:
    soon = rule(3, metric="days_to_expiry")
    assert said(contract(), (soon, JANUARY), grant(20, 1, until=10), burn(20, 5), (None, at(12))) == []


def test_time_to_empty_follows_the_window_as_it_moves() -> None:
    fast = rule(10, metric="time_to_empty")
    events = contract(), (fast, JANUARY), grant(100, 1), burn(60, 2), burn(20, 2.1)
    # 20 left at 80 a day: 6 hours. A day later only 20 of them are in the window, and then none.
    scene, heard = told(*events, (None, at(3.05)), (None, at(4)))
    assert heard == ["in_alarm 10 at 6 for ana", "resolved 10 at 24 for ana"]
    assert at(3) < scene.alerts[1].time <= at(3) + HOUR


def test_a_new_seat_is_watched_like_any_other() -> None:
    come = edit(AddSeats(starting_at=at(3), seat_ids=(SeatName(seat_id="cy"),)), 3)
    assert said(contract(20), (rule(10), JANUARY), come, burn(15, 4, "cy")) == [
        f"in_alarm 10 at {text(20 * UNIT * 28 * DAY // (31 * DAY) + (1 if 20 * UNIT * 28 % 31 >= 16 else 0) - 15 * UNIT)} for cy"
    ]


# --- late ------------------------------------------------------------------------------------------------------------


def test_a_late_burn_that_adds_a_crossing_says_so() -> None:
    scene, heard = told(*START, grant(20, 1), burn(5, 5), burn(6, 2, arrives=6))
    assert heard == ["in_alarm late 10 at 9 for ana"]
    assert scene.alerts[0].time == at(5)


def test_a_late_grant_takes_a_crossing_back() -> None:
    scene, heard = told(*START, grant(20, 1), burn(15, 5), grant(30, 3, arrives=6))
    assert heard == ["in_alarm 10 at 5 for ana", "retracted 10 at 5 for ana"]
    assert scene.alerts[0].alert_id == scene.alerts[1].alert_id
    assert scene.alerts[1].cause_id.startswith("grant-")


def test_a_late_burn_that_only_changes_who_crossed_says_nothing() -> None:
    first, _ = told(*START, grant(20, 1), burn(6, 2), burn(6, 5, id="crosses"), burn(5, 3, arrives=6))
    assert len(first.alerts) == 1
    assert first.alerts[0].cause_id == "crosses"
    other = Scene().batches([*START, grant(20, 1), burn(6, 2), burn(5, 3), burn(6, 5)], [])
    assert len(other) == 1


def test_a_late_burn_opens_again_what_was_resolved() -> None:
    scene, heard = told(*START, grant(20, 1), burn(15, 2), grant(8, 4), burn(4, 3, arrives=5))
    assert heard == ["in_alarm 10 at 5 for ana", "resolved 10 at 13 for ana", "in_alarm late 10 at 5 for ana"]
    assert len({alert.alert_id for alert in scene.alerts}) == 1


# --- who, and how it is said -----------------------------------------------------------------------------------------


def test_who_never_was_granted_anything_is_ok() -> None:
    assert said(*START, burn(5, 2, "bo"), (None, at(3))) == []


def test_what_is_low_already_alarms_when_the_rule_comes_unless_it_is_not_to() -> None:
    low = contract(), grant(20, 1), burn(15, 2)
    scene, heard = told(*low, (rule(10), at(3)))
    assert heard == ["in_alarm 10 at 5 for ana"]
    assert (scene.alerts[0].cause_type, scene.alerts[0].cause_id, scene.alerts[0].time) == ("alert-rule", "low", at(3))
    silent = *low, (rule(10, evaluate_on_create=False), at(3)), burn(1, 4)
    assert said(*silent) == []
    assert said(*silent, grant(20, 5), burn(15, 6)) == ["in_alarm 10 at 9 for ana"]


def test_resolved_is_not_said_where_nobody_wants_to_hear_it() -> None:
    events = (
        contract(),
        (rule(10, notify_resolved=False), JANUARY),
        grant(20, 1),
        burn(15, 2),
        grant(20, 3),
        burn(20, 4),
    )
    assert said(*events) == ["in_alarm 10 at 5 for ana", "in_alarm 10 at 5 for ana"]


def test_the_alarms_of_a_rule_that_is_archived_end_as_archived() -> None:
    events = *START, grant(20, 1), burn(15, 2), (Archived(rule_id="low"), at(3)), grant(20, 4), burn(20, 5)
    assert said(*events) == ["in_alarm 10 at 5 for ana", "archived 10 at 5 for ana"]


def test_another_level_is_another_version_and_another_name_is_not() -> None:
    events = *START, grant(20, 1), burn(15, 2)
    _, heard = told(*events, (rule(10, name="Other"), at(3)), (rule(10), at(3)))
    assert heard == ["in_alarm 10 at 5 for ana"]
    _, heard = told(*events, (rule(12), at(3)))
    assert heard == ["in_alarm 10 at 5 for ana", "in_alarm 12 at 5 for ana", "archived 10 at 5 for ana"]


def test_within_the_interval_only_the_net_change_is_said() -> None:
    rules = contract(), (rule(10, min_interval=HOUR), JANUARY), grant(20, 1)
    down, up = burn(15, 2), grant(20, 2.01)
    assert said(*rules, down, up, burn(20, 2.02), (None, at(3))) == ["in_alarm 10 at 5 for ana"]
    assert said(*rules, down, up, (None, at(2.03))) == ["in_alarm 10 at 5 for ana"]
    scene, heard = told(*rules, down, up, (None, at(2) + HOUR + MINUTE))
    assert heard == ["in_alarm 10 at 5 for ana", "resolved 10 at 25 for ana"]
    assert len({alert.alert_id for alert in scene.alerts}) == 1


def test_a_rule_is_about_those_it_names() -> None:
    events = contract(), contract(customer_id="bolt"), grant(20, 1), grant(20, 1, "bo"), burn(15, 2), burn(15, 2, "bo")
    assert said(*events, (rule(10, customer_id="bolt"), at(3))) == []
    assert said(*events, (rule(10, customer_id="acme", seat_id="bo"), at(3))) == ["in_alarm 10 at 5 for bo"]
    assert said(*events, (rule(10, contract_id="d"), at(3))) == []
    assert said(*events, (rule(10, seat_group_key="user_id"), at(3))) == []


def test_the_credit_of_seats_counts_for_a_contract_only_where_the_rule_says_so() -> None:
    events = contract(), grant(20, 1), grant(20, 1, None), burn(15, 2, None)
    assert said(*events, (rule(10, scope="contract"), at(3))) == ["in_alarm 10 at 5 for all"]
    assert said(*events, (rule(10, scope="contract", include_seats=True), at(3))) == []
    assert said(*events, (rule(30, scope="customer", include_seats=True), at(3))) == ["in_alarm 30 at 25 for all"]


def test_seats_at_the_included_number_are_an_alarm_once_until_they_fall_below() -> None:
    full = rule(0, metric="seats_over", scope="subscription")
    come, go = AddSeats(starting_at=at(2), seat_ids=(SeatName(seat_id="cy"),)), RemoveSeats
    leave = go(starting_at=at(4), seat_ids=(SeatName(seat_id="cy"),))
    more = AddSeats(starting_at=at(3), seat_ids=(SeatName(seat_id="di"),))
    events = contract(included_seats=3), (full, JANUARY), edit(come, 2), edit(more, 3), edit(leave, 4)
    scene, heard = told(*events)
    assert heard == ["in_alarm 0 at 0 for all"]
    alert = scene.alerts[0]
    assert (alert.subscription_id, alert.quantity, alert.included, alert.cause_type) == ("team", 3, 3, "seat-change")
    both = RemoveSeats(starting_at=at(5), seat_ids=(SeatName(seat_id="ana"),))
    assert said(*events, edit(both, 5)) == ["in_alarm 0 at 0 for all", "resolved 0 at -1 for all"]


def test_without_an_included_number_no_seats_are_too_many() -> None:
    used = rule(100, metric="seats_used_percent", scope="subscription")
    assert said(contract(), (used, JANUARY)) == []
    assert said(contract(included_seats=0), (used, JANUARY)) == ["in_alarm 100 at 100 for all"]


def test_a_rule_is_applied_in_steps_and_says_the_same() -> None:
    seats = tuple(f"s{n:02}" for n in range(30))
    events = [contract(20, seats), *(burn(15, 2, seat) for seat in seats), (rule(10), at(3))]
    scene = Scene(step=4)
    scene.batch(events)
    assert len(scene.alerts) == 4
    scene.batch([burn(1, 4, "s29")])  # who is not reached yet is looked at from where the rule began
    scene.settle()
    assert sorted(alert.seat_id or "" for alert in scene.alerts) == sorted(seats)
    assert {alert.time for alert in scene.alerts} == {at(3)}
    scene.batch([(Archived(rule_id="low"), at(5))])
    scene.settle()
    assert sum(alert.state == "archived" for alert in scene.alerts) == 30
    left = [key for key in scene.rows.tables["state"] if key[:2] in (b"As", b"Ad", b"Aw", b"Ae")]
    assert left == []


# --- how things stand ------------------------------------------------------------------------------------------------


def standing(scene: Scene, **behind: Any) -> list[tuple[str, str | None, str, str | None, str | None]]:
    return [
        (
            one.rule.rule_id,
            one.subject.seat_id,
            one.state,
            None if one.level is None else text(one.level),
            one.value,
        )
        for one in States(scene.rows).of("acme", **behind)
    ]


def test_how_things_stand_is_told_without_having_heard_anything() -> None:
    pools = rule(5, rule_id="pools", scope="pool"), at(2)
    scene, _ = told(contract(), (rule(20, 10, 0), JANUARY), pools, grant(30, 1), burn(25, 2), grant(9, 3, None))
    expected = [
        ("low", "ana", "in_alarm", "10", "5"),
        ("low", "bo", "ok", None, None),
        ("pools", None, "ok", None, None),
        ("pools", None, "ok", None, "9"),
    ]
    assert standing(scene) == expected
    first = next(States(scene.rows).of("acme"))
    assert (first.since, first.alert_id) == (at(2), scene.alerts[1].alert_id)
    assert standing(scene, behind=("low", first.subject)) == expected[1:]


def test_who_was_not_reached_yet_is_being_evaluated() -> None:
    scene = Scene(step=1)
    scene.batch([contract(20), (rule(10), at(3))])
    scene.batch([(rule(10, rule_id="later"), at(4))])
    assert [state for name, _, state, _, _ in standing(scene) if name == "later"] == ["evaluating", "evaluating"]
    scene.settle()
    assert [state for _, _, state, _, _ in standing(scene)] == ["ok"] * 4


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_a_burn_far_from_any_line_asks_for_nothing_and_writes_nothing() -> None:
    scene = Scene()
    scene.batch(
        [*START, (rule(5, rule_id="pools", scope="pool"), JANUARY), grant(1_000, 1), grant(1_000, 1, None), burn(1, 2)]
    )
    memory, rows = scene.memory, dict(scene.rows.tables["state"])
    kept = memory.customers["acme"]
    marks = list(kept.marks.values())
    before = [mark.room for mark in marks]
    scene.batch([burn(1, 3), burn(2, 3.5)])
    assert memory.customers["acme"] is kept
    # 3 credits less of the seat's own, and none of the pool's.
    assert sorted(was - mark.room for was, mark in zip(before, marks, strict=True)) == [0, 3 * UNIT]
    after = scene.rows.tables["state"]
    assert {key for key in after if key[:1] == b"A" and rows.get(key) != after[key]} == {b"Ak"}


def test_a_rule_may_come_before_any_clock_has_spoken() -> None:
    scene = Scene()
    full = rule(0, rule_id="full", metric="seats_over", scope="subscription")
    scene.batch([(rule(10), ORIGIN), (full, ORIGIN)])
    scene.batches([contract(included_seats=2), grant(20, 1), burn(15, 2)], [1, 2])
    assert lines(scene.alerts) == ["in_alarm 0 at 0 for all", "in_alarm 10 at 5 for ana"]
    scene = Scene()
    scene.batch([contract(20), (rule(10), JANUARY)])
    scene.batch([(rule(10, rule_id="other"), ORIGIN)])
    assert scene.alerts == []


def test_a_rule_may_count_commits_only() -> None:
    commit, _ = grant(20, 1.5, None)
    assert isinstance(commit, CreditsGranted)
    committed = msgspec.structs.replace(commit, grant=msgspec.structs.replace(commit.grant, kind="commit")), at(1.5)
    events = contract(), grant(100, 1, None), committed, burn(105, 2, None)
    assert said(*events, (rule(15, scope="pool", kind="commit"), at(3))) == ["in_alarm 15 at 15 for all"]
    assert said(*events, (rule(15, scope="pool", kind="credit"), at(3))) == ["in_alarm 15 at 0 for all"]
    assert said(*events, (rule(15, scope="customer"), JANUARY)) == ["in_alarm 15 at 15 for all"]


def test_a_contract_that_ended_before_anybody_said_so_takes_its_alarms_back() -> None:
    full = rule(0, metric="seats_over", scope="subscription"), at(3)
    ended = ContractEnded(id="over", customer_id="acme", time=at(4), contract_id="c", ending_before=at(2))
    assert said(contract(included_seats=2), full, (ended, at(4))) == [
        "in_alarm 0 at 0 for all",
        "retracted 0 at 0 for all",
    ]


@pytest.mark.parametrize("looked_at", [1, 24])
def test_a_leap_over_many_instants_looks_at_each_seat_once_and_says_all_that_happened(
    monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr("alerts.watcher.INSTANTS", looked_at)
    fact, signed = contract(monthly=10)
    assert isinstance(fact, ContractCreated)
    hourly = msgspec.structs.replace(fact.recurring_credits[0], every=Every(1, "hour"))
    scene = Scene()
    scene.batch(
        [(msgspec.structs.replace(fact, recurring_credits=(hourly,)), signed), (rule(0), signed), burn(10, 0.01)]
    )
    asked: list[Instant] = []
    whose_due = history.whose_due

    def counted(book: Any, customer_id: str, at: Instant) -> Any:
        asked.append(at)
        return whose_due(book, customer_id, at)

    monkeypatch.setattr("ledger.history.whose_due", counted)
    scene.alerts.clear()

    scene.batch([(None, at(40))])
    scene.settle()

    assert [(one.state, one.time) for one in scene.alerts] == [("resolved", at(1 / 24))]
    assert len(asked) == looked_at
