"""The consumer between Kafka and the intake: nothing that was read is passed over."""

import asyncio
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from streams.batches import ChunkConsumer
from streams.fold import Record
from streams.intake import Fetched, Intake
from wire.topics import INPUTS, Topics

TOPICS = Topics("", 1, 1, 1)
BURNS = ("credit-burn", 0)


class Reader:
    """Reads ten burns at once, is past them, and the first time finds no broker when it asks for the ends."""

    def __init__(self) -> None:
        self.positions = {(kind, 0): 0 for kind in INPUTS}
        self.fetches = 0

    async def fetch(self, *_: Any) -> Fetched:
        await asyncio.sleep(0.01)
        self.fetches += 1
        start, self.positions[BURNS] = self.positions[BURNS], 10
        if self.fetches == 1:
            raise KafkaConnectionError("the broker is gone")
        records = [Record("credit-burn", 0, offset, 0, b"k", b"v", ()) for offset in range(start, 10)]
        return Fetched({BURNS: records} if records else {}, dict(self.positions), dict(self.positions))

    async def seek_wait(self, places: Mapping[TP, int]) -> None:
        for tp, offset in places.items():
            self.positions[tp.topic, tp.partition] = offset


async def test_what_a_fetch_had_read_when_the_broker_went_is_read_again() -> None:
    intake, reader = Intake(), Reader()
    intake.open({0: dict.fromkeys(INPUTS, 0)})
    consumer: Any = SimpleNamespace(
        should_stop=False, flow_active=True, intake=intake, topics=TOPICS, log=logging.getLogger("test"),
        _thread=reader, _fetching=asyncio.Lock(),
    )  # fmt: skip
    consumer._places = lambda offsets: ChunkConsumer._places(consumer, offsets)

    fetching = asyncio.ensure_future(ChunkConsumer._fetch_always.fun(consumer))
    chunk = None
    async with asyncio.timeout(5):
        while chunk is None:
            chunk = next(iter(await intake.chunks(0.1)), None)
    fetching.cancel()

    assert [record.offset for record in chunk.records] == list(range(10))
