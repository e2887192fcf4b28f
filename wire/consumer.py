"""A Kafka consumer that can be stopped at any time."""

import asyncio

from aiokafka import AIOKafkaConsumer


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]
    """As aiokafka's, and stops in order while its broker is gone too."""

    async def stop(self) -> None:
        """Returns when all its tasks have ended and its connections are closed."""
        # A fetch that waits to be tried again is cancelled by aiokafka too, which then takes the cancellation for its
        # caller's: it would stop half, and with it whoever asked.
        if self._fetcher is not None and not self._closed:
            fetches = self._fetcher._pending_tasks
            for task in (self._fetcher._fetch_task, *fetches):
                task.cancel()
            await asyncio.gather(self._fetcher._fetch_task, *fetches, return_exceptions=True)
            fetches.clear()
        await super().stop()
