"""What the group is told of how far partitions are folded."""

import asyncio
import time
from collections.abc import Mapping

import pytest
from aiokafka.errors import CommitFailedError

from streams import group_offsets
from streams.group_offsets import GroupOffsets
from streams.intake import Source


class Group:
    def __init__(self) -> None:
        self.cursors: dict[int, dict[str, int]] = {}
        self.told: list[Mapping[Source, int]] = []
        self.rebalances = False

    async def tell(self, offsets: Mapping[Source, int]) -> None:
        if self.rebalances:
            raise CommitFailedError("the group has a new generation")
        self.told.append(offsets)


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def offsets(group: Group) -> GroupOffsets:
    return GroupOffsets(lambda: group.cursors, group.tell)


async def test_only_what_became_different_is_told(group: Group, offsets: GroupOffsets) -> None:
    group.cursors = {0: {"credit-burn": 5, "seat-change": 1}, 3: {"credit-burn": 2}}
    await offsets.tell_news()
    group.cursors[0]["credit-burn"] = 9
    await offsets.tell_news()
    await offsets.tell_news()

    assert group.told == [
        {("credit-burn", 0): 5, ("seat-change", 0): 1, ("credit-burn", 3): 2},
        {("credit-burn", 0): 9},
    ]


async def test_the_lag_of_a_partition_that_went_idle_during_a_rebalance_is_not_wrong_for_good(
    group: Group, offsets: GroupOffsets
) -> None:
    group.cursors = {0: {"credit-burn": 5}}
    group.rebalances = True
    await offsets.tell_news()
    group.rebalances = False
    await offsets.tell_news()

    assert group.told == [{("credit-burn", 0): 5}]


async def test_a_partition_that_comes_again_is_told_again_whatever_its_last_owner_told(
    group: Group, offsets: GroupOffsets
) -> None:
    group.cursors = {0: {"credit-burn": 5}}
    await offsets.tell_last()
    await offsets.tell_news()

    assert group.told == [{("credit-burn", 0): 5}] * 2


async def test_partitions_go_although_the_group_does_not_answer(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_offsets, "LAST_S", 0.05)

    async def answers_never(offsets: Mapping[Source, int]) -> None:
        await asyncio.sleep(3600)

    offsets = GroupOffsets(lambda: {0: {"credit-burn": 5}}, answers_never)
    begun = time.monotonic()
    await offsets.tell_last()

    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("error", [asyncio.CancelledError(), RuntimeError("Event loop is closed"), ValueError("?")])
async def test_a_consumer_that_is_gone_stops_neither_its_worker_nor_who_lets_go(error: BaseException) -> None:
    async def gone(offsets: Mapping[Source, int]) -> None:
        raise error

    offsets = GroupOffsets(lambda: {0: {"credit-burn": 5}}, gone)

    await offsets.tell_news()
    await offsets.tell_last()


async def test_what_was_told_of_partitions_that_went_meanwhile_does_not_count(group: Group) -> None:
    arrived = asyncio.Event()

    async def tell_late(offsets: Mapping[Source, int]) -> None:
        group.told.append(offsets)
        await arrived.wait()

    group.cursors = {0: {"credit-burn": 5}}
    offsets = GroupOffsets(lambda: group.cursors, tell_late)
    telling = asyncio.ensure_future(offsets.tell_news())
    await asyncio.sleep(0)
    group.cursors = {}
    await offsets.tell_last()
    arrived.set()
    await telling
    group.cursors = {0: {"credit-burn": 5}}
    await offsets.tell_news()

    assert group.told == [{("credit-burn", 0): 5}] * 2


async def test_a_lag_that_somebody_else_set_is_put_right(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_offsets, "AGAIN_S", 0.0)
    monkeypatch.setattr(group_offsets, "TELL_S", 0.0)
    group.cursors = {0: {"credit-burn": 5}}
    running = asyncio.ensure_future(GroupOffsets(lambda: group.cursors, group.tell).run())
    await asyncio.wait({running}, timeout=0.1)
    running.cancel()

    assert group.told[1] == {("credit-burn", 0): 5}
