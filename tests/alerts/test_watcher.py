"""The watch against its naive model, on histories with all features: any cut into batches says the same in the end."""

import random
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.instants import DAY, HOUR
from tests.alerts.drawn import draw_rule
from tests.alerts.scene import Event, Scene
from tests.alerts.truth import due, heard_must_be_true, in_force, last_said, rows_must_be_true
from tests.ledger.histories import HISTORY, draw_history
from wire.rules import Archived, Metric, Rule


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


def agree(scene: Scene, events: list[Event]) -> None:
    """What was said in the end, and what the rows know, is what is true in the end."""
    told, clock = [], events[0][1]
    for what, at in events:
        clock = max(clock, at)
        if isinstance(what, Rule | Archived):
            told.append((what, clock))
    rules = in_force(told)
    expected = due(scene.ledger(), rules, scene.clock)
    heard_must_be_true(last_said(scene.alerts), expected, told)
    rows_must_be_true(scene.rows, rules, expected, scene.clock)


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
