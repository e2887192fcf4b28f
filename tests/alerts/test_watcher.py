"""The watch against its naive model, on histories with all features: any cut into batches says the same in the end."""

import random
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.state import Turn, Watched
from ledger.amounts import UNIT
from ledger.instants import DAY, HOUR, Instant
from tests.alerts.model import Model, said
from tests.alerts.scene import Event, Scene
from tests.ledger.histories import HISTORY, draw_history
from wire.outputs import Alert
from wire.rules import Archived, Metric, Rule, RuleScope

SCOPES: tuple[RuleScope, ...] = ("seat", "seat", "pool", "contract", "customer")


def draw_rule(rng: random.Random, rule_id: str, metrics: tuple[Metric, ...]) -> Rule:
    metric = rng.choice(metrics)
    used = metric in ("seats_over", "seats_used_percent")
    scope: RuleScope = "subscription" if used else rng.choice(SCOPES)
    tops = {"balance": 12, "balance_percent": 100, "days_to_expiry": 6, "time_to_empty": 200, "seats_over": 3}
    levels = {rng.randint(0, tops.get(metric, 200)) * UNIT for _ in range(rng.choice((1, 2, 3)))}
    return Rule(
        rule_id=rule_id,
        name=rule_id,
        metric=metric,
        scope=scope,
        levels=tuple(levels),
        margin=rng.choice((0, 0, 1, 5)) * UNIT,
        customer_id=rng.choice((None, None, "acme")),
        contract_id=rng.choice((None, None, None, "c0")) if scope != "customer" else None,
        seat_id="ana" if scope == "seat" and rng.random() < 0.2 else None,
        include_seats=scope in ("contract", "customer") and rng.random() < 0.5,
        window=rng.choice((24, 48)) * HOUR if metric == "time_to_empty" else DAY,
        evaluate_on_create=rng.random() < 0.8,
        notify_resolved=rng.random() < 0.8,
        min_interval=rng.choice((0, 0, 0, 5)) * HOUR,
    )


def draw_events(rng: random.Random, size: int, metrics: tuple[Metric, ...]) -> list[Event]:
    """A history with rules that come, change and go in the midst of it, and time that passes at its end."""
    history: list[Event] = list(draw_history(rng, size))
    for number in range(rng.choice((1, 2, 3))):
        rule = draw_rule(rng, f"r{number}", metrics)
        place = rng.randrange(len(history))
        history.insert(place, (rule, history[place][1]))
        if rng.random() < 0.25:
            changed: Any = (
                Archived(rule_id=rule.rule_id) if rng.random() < 0.5 else draw_rule(rng, rule.rule_id, metrics)
            )
            place = rng.randrange(place + 1, len(history) + 1)
            history.insert(place, (changed, history[place - 1][1]))
    end = history[-1][1]
    for _ in range(rng.choice((1, 2, 5))):
        end += rng.choice((HOUR, DAY, 4 * DAY, 20 * DAY))
        history.append((None, end))
    return history


def in_force(events: list[Event]) -> list[tuple[Rule, int, Instant]]:
    """The rules in force at the end: their versions, and since when."""
    found: dict[str, tuple[Rule, int, Instant]] = {}
    versions: dict[str, int] = {}
    clock = events[0][1]
    for what, at in events:
        clock = max(clock, at)
        if isinstance(what, Archived):
            found.pop(what.rule_id, None)
        elif isinstance(what, Rule):
            versions[what.rule_id] = versions.get(what.rule_id, 0) + 1
            found[what.rule_id] = what, versions[what.rule_id], clock
    return list(found.values())


def last_said(alerts: list[Alert]) -> dict[str, Alert]:
    """What was said last of each crossing. Nothing is said of it that does not follow from what was said before."""
    found: dict[str, Alert] = {}
    for alert in alerts:
        before = found.get(alert.alert_id)
        was = None if before is None else before.state
        match alert.state:
            case "in_alarm":
                assert was in (None, "resolved", "retracted"), (was, alert)
                assert was != "resolved" or alert.late, alert
            case "resolved":
                assert was == "in_alarm", (was, alert)
            case _:
                assert was in ("in_alarm", "resolved"), (was, alert)
                assert alert.state != "archived" or was == "in_alarm", alert
        found[alert.alert_id] = alert
    return found


def agree(scene: Scene, events: list[Event]) -> None:
    """What was said in the end is what is true in the end."""
    heard = last_said(scene.alerts)
    expected: dict[str, tuple[str, Any]] = {}
    for customer_id in scene.ledger().customers():
        now = scene.now(customer_id)
        model = Model(scene.ledger(), customer_id, now)
        for rule, version, since in in_force(events):
            for subject in model.subjects(rule):
                watched = Watched(rule, version, since, subject)
                for level in rule.levels:
                    crossings = model.crossings(rule, since, subject, level)
                    for one, ended in said(rule, since, crossings, now):
                        armed = None if one.armed is None else Turn(one.armed[0], 0, None, *one.armed[1:])
                        state = "resolved" if ended and rule.notify_resolved else "in_alarm"
                        expected[watched.alert_id(level, armed)] = state, (rule.rule_id, subject, level, one)
    for alert_id, (state, about) in expected.items():
        assert alert_id in heard, ("missing", about)
        assert heard[alert_id].state == state, (heard[alert_id], about)
    live = {rule.rule_id for rule, version, _ in in_force(events) if version == 1}
    mute = {what.rule_id for what, _ in events if isinstance(what, Rule) and not what.notify_resolved}
    for alert_id, alert in heard.items():
        if alert_id in expected or (alert.rule_id in mute and alert.rule_id not in live):
            continue
        # What was said by a version of a rule that is no more may have ended before it did.
        gone = ("retracted",) if alert.rule_id in live else ("retracted", "resolved", "archived")
        assert alert.state in gone, ("too much", alert)


def play(seed: int, size: int, metrics: tuple[Metric, ...]) -> None:
    """A history, cut anywhere, done in steps of any size, and now and then forgotten but for the rows."""
    rng = random.Random(seed)
    events = draw_events(rng, size, metrics)
    often = rng.choice((0.1, 0.5, 1))
    cuts = [place for place in range(len(events)) if rng.random() < often]
    scene = Scene(**HISTORY, kept=10_000 * DAY, step=rng.choice((1, 3, 1000)))
    for start, end in pairwise(sorted({0, len(events), *cuts})):
        scene.batch(events[start:end])
        if rng.random() < 0.2:
            scene.memory.forget()
    scene.settle()
    agree(scene, events)


on_drawn = settings(deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.integers(5, 40))
@settings(on_drawn, max_examples=12)
def test_what_is_said_of_credits_in_the_end_is_true_however_it_came(seed: int, size: int) -> None:
    play(seed, size, ("balance", "balance_percent"))


@given(SEEDS, st.integers(5, 40))
@settings(on_drawn, max_examples=6)
def test_what_is_said_of_seats_in_the_end_is_true_however_it_came(seed: int, size: int) -> None:
    play(seed, size, ("seats_over", "seats_used_percent"))


@given(SEEDS, st.integers(5, 25))
@settings(on_drawn, max_examples=4)
def test_what_is_said_of_time_in_the_end_is_true_however_it_came(seed: int, size: int) -> None:
    play(seed, size, ("days_to_expiry", "time_to_empty"))


@given(SEEDS, st.integers(5, 40))
@settings(on_drawn, max_examples=8)
def test_what_is_remembered_beside_the_rows_changes_nothing(seed: int, size: int) -> None:
    rng = random.Random(seed)
    events = draw_events(rng, size, ("balance", "balance_percent", "seats_over", "time_to_empty"))
    cuts = [place for place in range(len(events)) if rng.random() < 0.5]
    warm, cold = Scene(**HISTORY), Scene(**HISTORY)
    for start, end in pairwise(sorted({0, len(events), *cuts})):
        assert warm.batch(events[start:end]) == cold.batch(events[start:end])
        cold.memory.forget()
    assert warm.rows.tables == cold.rows.tables
