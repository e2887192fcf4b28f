"""What an operator is told of the last minute: what was counted since the oldest look that is remembered."""

import time

from streams.metrics import EVENT, FACTS, REFUSALS
from streams.recent import Recent


def fold(burns: int, refused: int = 0) -> None:
    FACTS.labels("credit-burn", "folded").inc(burns)
    if refused:
        REFUSALS.labels("too_late").inc(refused)
    now_ms = time.time_ns() // 1_000_000
    EVENT.observe([now_ms - 40] * burns, now_ms)


def test_of_late_is_the_last_minute_and_before_it_nothing() -> None:
    now = [0.0]
    fold(1)
    recent = Recent(clock=lambda: now[0])
    assert (recent.figures().seconds, recent.figures().facts) == (0.0, 0)

    fold(5, refused=2)
    for now[0] in (5.0, 10.0):
        recent.look()
    told = recent.figures()
    assert (told.seconds, told.facts, told.events, told.refusals) == (10.0, 5, 5, {"too_late": 2})
    assert (told.within[0.03], told.within[0.05]) == (0, 5)

    fold(7)
    for now[0] in (30.0, 60.0, 70.0):
        recent.look()
    # The look at 10 s is a minute old.
    told = recent.figures()
    assert (told.seconds, told.facts, told.refusals) == (60.0, 7, {})
    assert told.refusals_ever["too_late"] >= 2
