"""A partition gets its next tick when it has folded the last one, and also when that is lost."""

from types import SimpleNamespace
from typing import Any

import pytest

from streams import ticker
from streams.ticker import Ticker
from wire.topics import Topics


class Producer:
    """Says at which offset a tick has arrived."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    async def send(self, topic: str, value: bytes, *, partition: int) -> Any:
        self.sent.append(partition)
        return _arrived(len(self.sent) - 1)


async def _arrived(offset: int) -> Any:
    return SimpleNamespace(offset=offset)


async def test_a_partition_that_is_behind_gets_no_heap_of_ticks() -> None:
    cursor = {"control": 0}
    hands: Any = SimpleNamespace(stopped=dict, cursors=lambda: {0: cursor})
    producer: Any = Producer()
    ticks = Ticker(hands, Topics("", 1, 1, 1), {})

    await ticks._tick(producer)
    await ticks._tick(producer)
    assert producer.sent == [0]

    cursor["control"] = 1
    await ticks._tick(producer)
    assert producer.sent == [0, 0]


async def test_time_goes_on_though_a_tick_was_lost_with_its_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    hands: Any = SimpleNamespace(stopped=dict, cursors=lambda: {0: {"control": 0}})
    producer: Any = Producer()
    ticks = Ticker(hands, Topics("", 1, 1, 1), {})
    await ticks._tick(producer)

    monkeypatch.setattr(ticker, "LOST_S", 0.0)
    await ticks._tick(producer)

    assert producer.sent == [0, 0]
