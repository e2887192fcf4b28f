"""The one order of many inputs, and when a record may be taken."""

import random

from streams.fold import Record
from streams.intake import Chunk, Fetched, Intake
from streams.journal import Cut
from streams.merging import merge
from wire.topics import INPUTS


def record(kind: str, offset: int, at_ms: int) -> Record:
    return Record(kind, 0, offset, at_ms, b"acme", b"", ())


def told(records: list[Record]) -> list[str]:
    return [f"{r.kind} {r.offset}" for r in records]


def opened(most_records: int = 1000) -> Intake:
    intake = Intake(most_records)
    intake.open({0: dict.fromkeys(INPUTS, 0)})
    return intake


def fetch(*records: Record, positions: dict[str, int], ends: dict[str, int]) -> Fetched:
    """What one fetch brought, and how far each input was read then. An input that is not named is empty and was looked at."""
    by_source: dict[tuple[str, int], list[Record]] = {}
    for each in records:
        by_source.setdefault((each.kind, 0), []).append(each)
    return Fetched(
        by_source,
        {(kind, 0): positions.get(kind, 0) for kind in INPUTS},
        {(kind, 0): ends.get(kind, 0) for kind in INPUTS},
    )


async def cut(intake: Intake) -> Chunk | None:
    chunks = await intake.chunks(0.0)
    return chunks[0] if chunks else None


def test_the_oldest_record_comes_first_whatever_its_topic() -> None:
    burns = [record("credit-burn", 0, 10), record("credit-burn", 1, 30)]
    seats = [record("seat-change", 0, 20)]

    assert told(merge([burns, seats])) == ["credit-burn 0", "seat-change 0", "credit-burn 1"]


def test_of_one_append_time_what_defines_comes_before_what_uses_it() -> None:
    inputs = [[record(kind, 0, 10)] for kind in reversed(INPUTS)]

    assert told(merge(inputs)) == [f"{kind} 0" for kind in INPUTS]


def test_a_topic_keeps_its_own_order_even_where_the_brokers_clock_went_back() -> None:
    burns = [record("credit-burn", 0, 50), record("credit-burn", 1, 10)]
    seats = [record("seat-change", 0, 20)]

    assert told(merge([burns, seats])) == ["seat-change 0", "credit-burn 0", "credit-burn 1"]


def test_an_order_does_not_depend_on_where_it_is_cut() -> None:
    chance = random.Random(4)
    inputs = []
    for kind in INPUTS:
        at_ms = 0
        inputs.append([record(kind, n, at_ms := at_ms + chance.choice((-1, 0, 0, 1, 2))) for n in range(50)])
    whole = merge(inputs)

    for length in range(0, len(whole), 7):
        taken = whole[:length]
        prefixes = [[r for r in taken if r.kind == kind] for kind in INPUTS]
        assert merge(prefixes) == taken


async def test_nobody_waits_for_an_idle_topic_that_was_looked_at() -> None:
    intake = opened()
    intake.add(fetch(record("credit-burn", 0, 10), positions={"credit-burn": 1}, ends={"credit-burn": 1}))

    chunk = await cut(intake)

    assert chunk is not None
    assert told(chunk.records) == ["credit-burn 0"]
    assert chunk.cuts == {"credit-burn": Cut(0, 1)}


async def test_a_record_waits_for_a_topic_that_has_more_than_was_read() -> None:
    intake = opened()
    intake.add(
        fetch(record("credit-burn", 0, 10), positions={"credit-burn": 1}, ends={"credit-burn": 1, "seat-change": 1})
    )
    assert await cut(intake) is None

    intake.add(fetch(record("seat-change", 0, 5), positions={"credit-burn": 1, "seat-change": 1}, ends={}))
    chunk = await cut(intake)

    assert chunk is not None
    assert told(chunk.records) == ["seat-change 0", "credit-burn 0"]


async def test_a_look_from_before_a_record_came_says_nothing_about_it() -> None:
    intake = opened()
    intake.add(fetch(record("credit-burn", 0, 10), positions={"credit-burn": 1}, ends={"credit-burn": 1}))
    first = await cut(intake)
    assert first is not None
    intake.free(first)
    # The next record comes with a fetch after which nobody looked at the others.
    intake.add(Fetched({("credit-burn", 0): [record("credit-burn", 1, 20)]}, {("credit-burn", 0): 2}, {}))
    assert await cut(intake) is None

    intake.add(fetch(positions={"credit-burn": 2}, ends={"credit-burn": 2}))

    assert await cut(intake) is not None


async def test_markers_at_the_end_of_a_topic_hold_nobody_up_and_are_passed_over() -> None:
    intake = opened()
    # The end of control is 3, but what stands there are markers: the position moves on without a record.
    intake.add(fetch(record("credit-burn", 0, 10), positions={"credit-burn": 1}, ends={"credit-burn": 1, "control": 3}))
    assert await cut(intake) is None

    intake.add(Fetched({}, {("control", 0): 3, ("credit-burn", 0): 1}, {}))
    chunk = await cut(intake)

    assert chunk is not None
    assert chunk.cuts == {"credit-burn": Cut(0, 1), "control": Cut(0, 3)}


async def test_a_partition_has_one_chunk_in_hand_and_the_next_takes_all_that_waited() -> None:
    intake = opened()
    seen = []
    for offset in range(5):
        ends = {"credit-burn": offset + 1}
        intake.add(fetch(record("credit-burn", offset, offset), positions=ends, ends=ends))
        chunk = await cut(intake)
        if chunk is not None:
            seen.append(chunk)
    assert [told(chunk.records) for chunk in seen] == [["credit-burn 0"]]

    intake.free(seen[0])
    chunk = await cut(intake)

    assert chunk is not None
    assert len(chunk.records) == 4


async def test_a_backlog_is_cut_by_count_and_each_cut_begins_where_the_last_ended() -> None:
    intake = opened(most_records=10)
    records = [record("credit-burn", offset, offset) for offset in range(25)]
    intake.add(fetch(*records, positions={"credit-burn": 25}, ends={"credit-burn": 25}))

    cuts = []
    while (chunk := await cut(intake)) is not None:
        cuts.append(chunk.cuts["credit-burn"])
        intake.free(chunk)

    assert cuts == [Cut(0, 10), Cut(10, 20), Cut(20, 25)]


async def test_an_input_with_enough_waiting_is_not_fetched_until_there_is_room() -> None:
    intake = opened(most_records=10)
    records = [record("credit-burn", offset, offset) for offset in range(15)]
    intake.add(fetch(*records, positions={"credit-burn": 15}, ends={"credit-burn": 15}))
    assert ("credit-burn", 0) not in intake.wanted()

    await cut(intake)

    assert ("credit-burn", 0) in intake.wanted()


async def test_a_few_giants_are_enough_wherever_their_bytes_are_and_the_fewer_the_more_partitions_there_are() -> None:
    megabyte = b"0" * (1 << 20)
    giants = [
        Record("credit-burn", 0, 0, 0, b"k", megabyte * 8, ()),
        Record("credit-burn", 0, 1, 0, megabyte * 4, None, ()),
        Record("credit-burn", 0, 2, 0, b"k", None, [("h", megabyte * 4), ("bare", None)]),
    ]
    intake = opened()
    for number, giant in enumerate(giants):
        assert ("credit-burn", 0) in intake.wanted()
        intake.add(fetch(giant, positions={"credit-burn": number + 1}, ends={"credit-burn": 3}))
    assert ("credit-burn", 0) not in intake.wanted()

    many = Intake()
    many.open({partition: dict.fromkeys(INPUTS, 0) for partition in range(64)})
    many.add(fetch(giants[1], positions={"credit-burn": 2}, ends={"credit-burn": 2}))
    assert ("credit-burn", 0) not in many.wanted()


async def test_what_was_cut_before_a_new_start_is_void() -> None:
    intake = opened()
    intake.add(fetch(record("credit-burn", 0, 10), positions={"credit-burn": 1}, ends={"credit-burn": 1}))
    chunk = await cut(intake)
    intake.open({0: dict.fromkeys(INPUTS, 7)})

    assert chunk is not None
    assert chunk.epoch != intake.epoch
    assert intake.waiting(0)["credit-burn"] == (7, None)
