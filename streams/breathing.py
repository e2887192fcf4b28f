"""What computes for long leaves the event loop to others now and then.

A fold is plain calls all the way down, and knows no event loop: it says where it may be left alone for a while by calling
what it was given. A greenlet can be left there, whatever called it, and gone on with later.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from greenlet import getcurrent, greenlet

from ledger.rows import Breathe

T = TypeVar("T")

#: Others run after this long.
BREATH_S = 0.005


async def in_breaths(act: Callable[[Breathe], T], breath_s: float = BREATH_S) -> T:
    """What `act` answers, or raises. Whenever it has computed for `breath_s` and calls its argument, others run.

    Cancelled meanwhile, `act` is ended where it is: its `finally` blocks run, and nobody learns what it found.
    """
    begun = time.monotonic()

    def breathe() -> None:
        if time.monotonic() - begun > breath_s:
            loop.switch()

    loop, me = getcurrent(), greenlet(act)
    answer: T = me.switch(breathe)
    try:
        while not me.dead:
            await asyncio.sleep(0)
            begun = time.monotonic()
            answer = me.switch()
    finally:
        if not me.dead:
            me.throw()
    return answer
