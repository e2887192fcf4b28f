"""What this worker did of late, from the metrics that it keeps anyway: for the operator's page, which needs no Prometheus."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from streams.metrics import EVENT, FACTS, REFUSALS
from web.cluster import Figures

#: How often the metrics are looked at, and for how long a look is remembered.
LOOK_S: Final = 5.0
RECENT_S: Final = 60.0


class _Look(NamedTuple):
    at: float
    facts: int
    refusals: Counter[str]
    within: dict[float, int]
    events: int


class Recent:
    """The looks of the last minute. What happened between the oldest of them and now is of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks: deque[_Look] = deque([self._now()])

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        now = self._now()
        # One that is a minute old stays, so that there is a whole minute to tell of.
        while len(self._looks) > 1 and self._looks[1].at <= now.at - RECENT_S:
            self._looks.popleft()
        self._looks.append(now)

    def figures(self) -> Figures:
        then, now = self._looks[0], self._now()
        return Figures(
            seconds=now.at - then.at,
            facts=now.facts - then.facts,
            events=now.events - then.events,
            within={bucket: count - then.within[bucket] for bucket, count in now.within.items()},
            refusals=dict(now.refusals - then.refusals),
            refusals_ever=dict(now.refusals),
        )

    def _now(self) -> _Look:
        [facts], [refused] = FACTS.collect(), REFUSALS.collect()
        return _Look(
            at=self._clock(),
            facts=sum(int(sample.value) for sample in facts.samples if sample.name.endswith("_total")),
            refusals=Counter(
                {
                    sample.labels["code"]: int(sample.value)
                    for sample in refused.samples
                    if sample.name.endswith("_total")
                }
            ),
            within=EVENT.within(),
            events=EVENT.count,
        )
