"""What computes for long leaves the event loop to others now and then.

A fold is plain calls all the way down, and knows no event loop: it says where it may be left alone for a while by calling
what it was given. A greenlet can be left there, whatever called it, and gone on with later.
"""

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import TypeVar

from greenlet import getcurrent, greenlet

from ledger.rows import Breathe

T = TypeVar("T")

#: Others run after this long.
BREATH_S = 0.005


async def in_breaths(
    act: Callable[[Breathe], T],
    breath_s: float = BREATH_S,
    turns: asyncio.Lock | None = None,
    rounds: int = 1,
    within_s: float = inf,
) -> T:
    """What `act` answers, or raises. Whenever it has computed for `breath_s` and calls its argument, others run, `rounds` times
    each if they have so much to do.

    Those that share `turns` take them: however many they are, others wait for one breath of one of them. Cancelled meanwhile,
    or not done `within_s` (a TimeoutError), `act` is ended where it is: its `finally` blocks run, and nobody learns what it
    found.
    """
    begun = 0.0

    def breathe() -> None:
        if time.monotonic() - begun > breath_s:
            loop.switch()

    def start() -> T:
        return act(breathe)

    until = time.monotonic() + within_s
    loop, me = getcurrent(), greenlet(start)
    try:
        while True:
            if turns is None:
                begun = time.monotonic()
                answer: T = me.switch()
                if me.dead:
                    return answer
                await _others(rounds)
                _check_time(until)
                continue
            async with turns:
                begun = time.monotonic()
                answer = me.switch()
                if me.dead:
                    return answer
                # The turn is kept while all others run; else all who share it would breathe in one go.
                await _others(rounds)
            _check_time(until)
    finally:
        if not me.dead:
            me.throw()


def _check_time(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError


async def _others(rounds: int) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)
