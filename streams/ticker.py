"""Ticks: they let time pass where nobody says anything (L17). The only place where a clock of this machine is read.

A tick goes over Kafka like any fact, so that it is folded once and in order, by whoever owns the partition then.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.hands import Hands
from wire.control import tick
from wire.topics import Topics

log = logging.getLogger(__name__)

TICK_S = 1.0
#: How long an acknowledgement may take before the partition is asked again.
PATIENCE_S = 10.0


class Ticker:
    """Publishes a tick a second to each partition of this worker that has folded the one before: one that is behind needs
    no other, and gets no heap of them."""

    def __init__(self, hands: Hands, topics: Topics, kafka: Mapping[str, Any]) -> None:
        self._hands = hands
        self._topic = topics.name("control")
        self._kafka = kafka
        #: Up to where `control` has to be folded before a partition gets its next tick.
        self._folded_to: dict[int, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            producer = AIOKafkaProducer(**self._kafka, linger_ms=0, request_timeout_ms=int(PATIENCE_S * 1000))
            try:
                await producer.start()
                while True:
                    await self._tick(producer)
                    await asyncio.sleep(TICK_S)
            except (KafkaError, TimeoutError) as error:
                log.warning("time stands still, trying again: %r", error)
                await asyncio.sleep(TICK_S)
            finally:
                await producer.stop()

    async def _tick(self, producer: AIOKafkaProducer) -> None:
        stopped = self._hands.stopped()
        caught_up = [
            partition
            for partition, cursor in self._hands.cursors().items()
            if partition not in stopped and cursor["control"] >= self._folded_to.get(partition, 0)
        ]
        said = tick(time.time_ns() // 1000)
        sent = [await producer.send(self._topic, said, partition=partition) for partition in caught_up]
        for partition, arrival in zip(caught_up, sent, strict=True):
            self._folded_to[partition] = (await asyncio.wait_for(arrival, PATIENCE_S)).offset + 1
