"""The group's offsets: how far each partition is folded, for those who watch the lag from outside.

Nobody here reads them: folding starts where the rows say (streams/hands.py). So they need no part in the transactions, where
they would cost each of them two more trips to the broker, and a marker in one more topic; and whatever goes wrong with them is
tried again, and never stops a worker.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from streams.intake import Source

log = logging.getLogger(__name__)

#: What is committed is told so much later, in one request for all partitions of this worker.
TELL_S: Final = 0.25
#: How long partitions that go may wait for it. Their next owner tells the same.
LAST_S: Final = 1.0
#: After this long all is told again: a request that was late, or somebody with a tool, may have said otherwise.
AGAIN_S: Final = 30.0


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
        whole_at = 0.0
        while True:
            if time.monotonic() >= whole_at:
                whole_at = time.monotonic() + AGAIN_S
                self._told = {}
            await self.tell_news()
            await asyncio.sleep(TELL_S)

    async def tell_last(self) -> None:
        """When nothing more is folded, before partitions go. Raises nothing: they go in any case."""
        telling = asyncio.ensure_future(self.tell_news())
        await asyncio.wait({telling}, timeout=LAST_S)
        telling.cancel()
        self._told = {}

    async def tell_news(self) -> None:
        """Tells what was not told yet, if that can be done now."""
        stand = {
            (kind, partition): offset
            for partition, cursor in self._cursors().items()
            for kind, offset in cursor.items()
        }
        told = self._told
        news = {source: offset for source, offset in stand.items() if told.get(source) != offset}
        if not news:
            return
        # In a task of its own: where the consumer is gone, it is this that is cancelled, and not we.
        [error] = await asyncio.gather(self._tell(news), return_exceptions=True)
        if error is None:
            # Partitions may have gone meanwhile; then this is no longer what counts.
            told.update(news)
        else:
            # Most often a rebalance came first, or Kafka is gone: it is told next time, by whoever has the partition then.
            log.debug("the group was not told how far partitions are folded", exc_info=error)
