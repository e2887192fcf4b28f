"""The group's offsets: how far each partition is folded, for those who watch the lag from outside.

Nobody here reads them: folding starts where the rows say (streams/hands.py). So they need no part in the transactions, where
they would cost each of them two more trips to the broker, and a marker in one more topic.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from aiokafka.errors import ConsumerStoppedError, KafkaError

from streams.intake import Source

log = logging.getLogger(__name__)

#: What is committed is told so much later, in one request for all partitions of this worker.
TELL_S: Final = 0.25
#: How long partitions that go may wait for it. Their next owner tells the same.
LAST_S: Final = 1.0


class GroupOffsets:
    """Tells the group what became different. `cursors`: how far each partition here is folded, for each input."""

    def __init__(
        self,
        cursors: Callable[[], Mapping[int, Mapping[str, int]]],
        tell: Callable[[Mapping[Source, int]], Awaitable[None]],
    ) -> None:
        self._cursors = cursors
        self._tell = tell
        self._told: dict[Source, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._tell_news()
            await asyncio.sleep(TELL_S)

    async def tell_last(self) -> None:
        """When nothing more is folded, before partitions go."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tell_news(), LAST_S)
        self._told.clear()

    async def _tell_news(self) -> None:
        stand = {
            (kind, partition): offset
            for partition, cursor in self._cursors().items()
            for kind, offset in cursor.items()
        }
        news = {source: offset for source, offset in stand.items() if self._told.get(source) != offset}
        if not news:
            return
        try:
            await self._tell(news)
        except (KafkaError, ConsumerStoppedError, AssertionError) as error:
            # A rebalance came first, or Kafka is gone: it is told next time, by whoever has the partition then.
            log.debug("the group was not told how far partitions are folded: %r", error)
        else:
            self._told.update(news)
