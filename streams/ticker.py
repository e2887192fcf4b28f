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
#: How long a tick may take until it is folded before there is another one all the same: it may be lost with its broker.
LOST_S = 60.0


class Ticker:
    """Publishes a tick a second to each partition of this worker that has folded the one before: one that is behind needs
    no other, and gets no heap of them."""

    def __init__(self, hands: Hands, topics: Topics, kafka: Mapping[str, Any]) -> None:
        self._hands = hands
        self._topic = topics.name("control")
        self._kafka = kafka
        #: Up to where `control` has to be folded before a partition gets its next tick, and since when.
        self._told: dict[int, tuple[int, float]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            producer = AIOKafkaProducer(
                **self._kafka, linger_ms=0, acks="all", request_timeout_ms=int(PATIENCE_S * 1000)
            )
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
            if partition not in stopped and self._is_behind_us(partition, cursor["control"])
        ]
        said = tick(time.time_ns() // 1000)
        sent = [await producer.send(self._topic, said, partition=partition) for partition in caught_up]
        for partition, arrival in zip(caught_up, sent, strict=True):
            offset = (await asyncio.wait_for(arrival, PATIENCE_S)).offset
            self._told[partition] = offset + 1, time.monotonic()

    def _is_behind_us(self, partition: int, folded_to: int) -> bool:
        """Whether the last tick is folded, or must have been lost."""
        next_offset, since = self._told.get(partition, (0, 0.0))
        return folded_to >= next_offset or time.monotonic() - since > LOST_S
