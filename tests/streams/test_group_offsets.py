"""What the group is told of how far partitions are folded."""

from collections.abc import Mapping

import pytest
from aiokafka.errors import CommitFailedError

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
    await offsets._tell_news()
    group.cursors[0]["credit-burn"] = 9
    await offsets._tell_news()
    await offsets._tell_news()

    assert group.told == [
        {("credit-burn", 0): 5, ("seat-change", 0): 1, ("credit-burn", 3): 2},
        {("credit-burn", 0): 9},
    ]


async def test_the_lag_of_a_partition_that_went_idle_during_a_rebalance_is_not_wrong_for_good(
    group: Group, offsets: GroupOffsets
) -> None:
    group.cursors = {0: {"credit-burn": 5}}
    group.rebalances = True
    await offsets._tell_news()
    group.rebalances = False
    await offsets._tell_news()

    assert group.told == [{("credit-burn", 0): 5}]


async def test_a_partition_that_comes_again_is_told_again_whatever_its_last_owner_told(
    group: Group, offsets: GroupOffsets
) -> None:
    group.cursors = {0: {"credit-burn": 5}}
    await offsets.tell_last()
    await offsets._tell_news()

    assert group.told == [{("credit-burn", 0): 5}] * 2
