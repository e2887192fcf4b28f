"""How many hands fold at once, and whose turn it is."""

import pytest

from streams import intake as intakes
from streams.fold import Record
from streams.intake import MOST_FOLDS, Fetched, Intake
from wire.topics import INPUTS

PARTITIONS = range(4)


def opened() -> Intake:
    intake = Intake()
    intake.open({partition: dict.fromkeys(INPUTS, 0) for partition in PARTITIONS})
    return intake


def bring(intake: Intake, offset: int) -> None:
    """A burn for each partition, and every other input is empty."""
    burns = {
        ("credit-burn", partition): [Record("credit-burn", partition, offset, 10 + offset, b"acme", b"", ())]
        for partition in PARTITIONS
    }
    positions = {
        (kind, partition): offset + 1 if kind == "credit-burn" else 0 for kind in INPUTS for partition in PARTITIONS
    }
    intake.add(Fetched(burns, positions, positions))


async def test_few_hands_fold_at_once_and_the_others_take_all_that_came_while_they_waited() -> None:
    intake = opened()
    bring(intake, 0)
    first = await intake.chunks(0.0)
    assert [chunk.partition for chunk in first] == [0, 1]
    bring(intake, 1)
    assert await intake.chunks(0.0) == []

    intake.free(first[0])
    intake.free(first[1])
    second = await intake.chunks(0.0)

    # Those that had none yet, although the others are free as well.
    assert [(chunk.partition, len(chunk.records)) for chunk in second] == [(2, 2), (3, 2)]
    intake.free(second[0])
    assert [(chunk.partition, len(chunk.records)) for chunk in await intake.chunks(0.0)] == [(0, 1)]


async def test_a_hand_that_waits_for_kafka_holds_up_no_other() -> None:
    intake = opened()
    bring(intake, 0)
    for chunk in await intake.chunks(0.0):
        intake.folded(chunk)

    assert [chunk.partition for chunk in await intake.chunks(0.0)] == [2, 3]
    bring(intake, 1)
    # And it has its chunk until that is committed.
    assert await intake.chunks(0.0) == []


async def test_a_partition_that_stands_still_holds_up_no_other() -> None:
    intake = opened()
    bring(intake, 0)
    for chunk in await intake.chunks(0.0):
        intake.drop(chunk.partition)

    assert [chunk.partition for chunk in await intake.chunks(0.0)] == [2, 3]


async def test_a_long_fold_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    intake = opened()
    bring(intake, 0)
    assert len(await intake.chunks(0.0)) == MOST_FOLDS

    monkeypatch.setattr(intakes, "LONG_S", 0.0)

    assert len(await intake.chunks(0.0)) == len(PARTITIONS) - MOST_FOLDS


async def test_who_waits_for_others_hears_when_they_fold_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "LONG_S", 0.01)
    intake = opened()
    bring(intake, 0)
    await intake.chunks(0.0)

    # Whoever asks is answered soon, and asks again.
    assert await intake.chunks(60.0) == []
    assert len(await intake.chunks(60.0)) == len(PARTITIONS) - MOST_FOLDS
