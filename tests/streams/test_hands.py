"""A hand folds, commits, writes down, and takes the next; what goes wrong stops one partition and writes nothing."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import orjson
import pytest

from ledger.rows import Breathe
from streams.fold import UNFINISHED, Output, Record, Unfinished
from streams.hands import Hand, Hands
from streams.intake import Chunk, Intake
from streams.journal import Cut, Entry
from streams.transactions import Lost
from tables import store
from tables.overlay import Changes, Overlay, Table
from tables.shard import Shard, Shards
from tables.store import CURSOR, Memory, StoreTorn
from wire.topics import INPUTS, Topics


class Ledgerless:
    """A fold that puts each value under its key, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe) -> Iterator[Output]:
        self.calls += 1
        for record in records:
            if record.value == b"broken":
                raise ValueError("L14: a sum is broken")
            rows.put("state", record.key or b"", record.value or b"")
            breathe()
            yield Output("history-snapshot", record.key, record.value)


class PaperWriter:
    """Says that a transaction was committed, or that it was lost."""

    def __init__(self) -> None:
        self.lost = False
        self.sent: list[tuple[Entry, Changes, list[Output]]] = []

    async def commit(self, entry: Entry, rows: Changes, outputs: list[Output]) -> dict[Table, int]:
        await asyncio.sleep(0)
        if self.lost:
            raise Lost("the transaction of partition 0 failed: fenced")
        self.sent.append((entry, rows, outputs))
        return {"state": 10 * len(self.sent)}

    async def stop(self) -> None: ...


class Scene:
    """One open partition with a writer of paper."""

    def __init__(self, directory: Path) -> None:
        memory = Memory()
        self.fold, self.writer, self.intake = Ledgerless(), PaperWriter(), Intake()
        self.shard = Shard(0, directory, memory)
        topics = Topics("", 1, 1, 1)
        self.hands = Hands(
            self.fold, topics=topics, group="g", kafka={}, shards=Shards(directory, memory), intake=self.intake
        )
        writer: Any = self.writer
        self.hands._hands = {0: Hand(self.shard, writer, dict.fromkeys(INPUTS, 0))}
        self.intake.open({0: dict.fromkeys(INPUTS, 0)})
        self.done = 0

    async def take(self, *values: bytes, start: int, epoch: int | None = None) -> None:
        records = [Record("credit-burn", 0, start + n, 0, b"k%d" % (start + n), v, ()) for n, v in enumerate(values)]
        cuts = {"credit-burn": Cut(start, start + len(values))}
        self.hands.take(Chunk(0, records, cuts, self.intake.epoch if epoch is None else epoch), self._done)
        task = self.hands._hands[0].task
        if task is not None:
            await asyncio.wait({task})
            await asyncio.sleep(0)

    def _done(self) -> None:
        self.done += 1


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.shard.close()


async def test_rows_outputs_and_cursor_go_together_and_then_to_the_disk(scene: Scene) -> None:
    await scene.take(b"a", b"b", start=0)

    ((entry, rows, outputs),) = scene.writer.sent
    assert entry == Entry(step=1, inputs={"credit-burn": Cut(0, 2)})
    assert list(rows["state"])[-1] == list(rows["trail"])[-1] == store.STEP
    assert [output.value for output in outputs] == [b"a", b"b"]
    assert orjson.loads(rows["state"][CURSOR] or b"")["credit-burn"] == 2
    assert scene.shard.get("state", b"k1") == b"b"
    assert scene.shard.state.position() is not None
    assert scene.hands.cursors()[0]["credit-burn"] == 2
    assert scene.done == 1


async def test_a_lost_transaction_writes_nothing_and_takes_nothing_more(scene: Scene) -> None:
    dropped: list[int] = []
    scene.hands.on_dropped.append(dropped.append)
    scene.writer.lost = True

    await scene.take(b"a", start=0)

    assert scene.shard.get("state", b"k0") is None
    assert scene.hands.cursors()[0]["credit-burn"] == 0
    assert scene.intake.sources() == set()
    assert dropped == [0]
    assert 0 in scene.hands.stopped()


async def test_of_a_partition_that_goes_nothing_is_remembered(scene: Scene) -> None:
    dropped: list[int] = []
    scene.hands.on_dropped.append(dropped.append)
    await scene.take(b"a", start=0)

    await scene.hands.settle()

    assert dropped == [0]


async def test_a_partition_that_is_lost_just_after_a_rebalance_does_not_stand_still_for_good(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Group:
        asked = 0

        async def rejoin(self) -> None:
            self.asked += 1

    monkeypatch.setattr("streams.hands.REJOIN_S", 0.05)
    group: Any = Group()
    scene.hands.consumer = lambda: group
    scene.writer.lost = True
    await scene.take(b"a", start=0)
    # Before the group is asked a rebalance comes by itself, and then the partition is lost again.
    scene.intake.open({0: dict.fromkeys(INPUTS, 0)})
    await scene.take(b"a", start=0)
    await asyncio.sleep(0.2)

    assert group.asked == 1


async def test_a_fold_that_fails_stops_the_partition_and_says_where(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await scene.take(b"a", b"broken", start=0)

    assert scene.writer.sent == []
    assert scene.shard.get("state", b"k0") is None
    assert scene.hands.stopped() == {0: "ValueError: L14: a sum is broken"}
    assert "credit-burn-0 0 to 1" in caplog.text


async def test_a_chunk_that_does_not_follow_on_stops_the_partition(scene: Scene) -> None:
    await scene.take(b"a", start=5)

    assert scene.fold.calls == 0
    assert "folded up to 0, but the next chunk starts at 5" in scene.hands.stopped()[0]


async def test_a_chunk_from_before_a_rebalance_is_void(scene: Scene) -> None:
    await scene.take(b"a", start=0, epoch=scene.intake.epoch - 1)

    assert (scene.fold.calls, scene.done) == (0, 1)


async def test_settling_waits_for_what_is_in_hand(scene: Scene) -> None:
    chunk = Chunk(0, [Record("credit-burn", 0, 0, 0, b"k", b"v", ())], {"credit-burn": Cut(0, 1)}, scene.intake.epoch)
    scene.hands.take(chunk, lambda: None)

    await scene.hands.settle()

    assert len(scene.writer.sent) == 1
    assert scene.shard.get("state", b"k") == b"v"
    assert scene.hands.cursors() == {}


async def test_a_disk_that_takes_no_more_stops_the_partition_until_there_is_room(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, room = asyncio.Event(), asyncio.Event()
    commit = Shard.commit

    def full(*arguments: Any) -> None:
        asked.set()
        if not room.is_set():
            raise OSError("No space left on device")
        commit(*arguments)

    monkeypatch.setattr(Shard, "commit", full)
    monkeypatch.setattr("streams.hands.ROOM_S", 0.01)
    folding = asyncio.ensure_future(scene.take(b"a", start=0))
    await asyncio.wait_for(asked.wait(), 5)
    # Kafka has it, and whoever opens the partition next reads it there.
    assert len(scene.writer.sent) == 1
    assert scene.hands.stopped() == {0: "OSError: No space left on device"}
    assert "partition 0 stands still until" in caplog.text
    assert scene.shard.get("state", b"k0") is None

    room.set()
    await folding

    assert scene.hands.stopped() == {}
    assert scene.shard.get("state", b"k0") == b"a"
    assert "partition 0 goes on" in caplog.text
    await scene.take(b"b", start=1)
    assert scene.shard.get("state", b"k1") == b"b"


async def test_rows_that_a_full_disk_has_lost_are_not_missing_when_there_is_room(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.hands.ROOM_S", 0.01)
    await scene.take(b"a", start=0)
    commit = Shard.commit

    def full(shard: Shard, *arguments: Any) -> None:
        monkeypatch.setattr(Shard, "commit", commit)
        # Where there is no room, RocksDB's own list of its files may be cut short.
        shard.state.close()
        (manifest,) = shard.state.path.glob("MANIFEST-*")
        manifest.write_bytes(b"")
        raise OSError("No space left on device")

    monkeypatch.setattr(Shard, "commit", full)
    await scene.take(b"b", start=1)

    # What was written first is gone from the disk: nothing may be written on top of it.
    assert scene.hands.stopped() == {0: "partition 0 is taken over anew"}
    assert scene.shard.state.position() is None
    assert scene.shard.get("state", b"k1") is None


async def test_a_full_disk_does_not_hold_up_a_rebalance(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    def full(*_: Any) -> None:
        asked.set()
        raise OSError("No space left on device")

    monkeypatch.setattr(Shard, "commit", full)
    folding = asyncio.ensure_future(scene.take(b"a", start=0))
    await asyncio.wait_for(asked.wait(), 5)

    await asyncio.wait_for(scene.hands.settle(), 1)

    assert scene.done == 1
    await folding


async def test_a_worker_with_a_full_disk_keeps_its_partition_when_another_worker_leaves(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended: what could not be opened again was taken over as if it were open."""
    monkeypatch.setattr("streams.hands.ROOM_S", 0.01)
    scene.shard.close()
    (shard,) = scene.hands._shards.keep([0])
    scene.hands._hands[0].shard = shard
    asked = asyncio.Event()

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    def full_still(shard: Shard) -> None:
        shard.close()
        asked.set()
        full()

    monkeypatch.setattr(Shard, "commit", full)
    monkeypatch.setattr(Shard, "reopen", full_still)
    folding = asyncio.ensure_future(scene.take(b"a", start=0))
    await asyncio.wait_for(asked.wait(), 5)

    await scene.hands.settle()

    (again,) = scene.hands._shards.keep([0])
    assert again.state.position() is None
    scene.hands._shards.close()
    await folding


async def test_a_disk_that_is_full_when_partitions_come_is_opened_anew_when_they_come_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> int:
        raise OSError("No space left on device")

    monkeypatch.setattr("streams.hands.restore", full)
    (shard,) = scene.hands._shards.keep([1])
    with pytest.raises(OSError, match="No space"):
        await scene.hands._restore([shard], {})

    (again,) = scene.hands._shards.keep([1])
    assert again is not shard
    scene.hands._shards.close()


async def test_a_fold_that_is_unfinished_goes_on_without_a_record_after_a_restart_too(scene: Scene) -> None:
    calls: list[int] = []

    def twice(
        partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe
    ) -> Iterator[Output | Unfinished]:
        calls.append(len(records))
        rows.put("state", b"call", b"%d" % len(calls))
        if len(calls) < 2:
            yield UNFINISHED

    scene.hands._fold = twice
    await scene.take(b"a", start=0)
    assert scene.shard.get("state", store.UNFINISHED) == b""

    (chunk,) = await scene.intake.chunks(1)
    assert (chunk.records, chunk.cuts) == ([], {})
    scene.hands.take(chunk, scene._done)
    task = scene.hands._hands[0].task
    assert task is not None
    await task

    assert calls == [1, 0]
    assert scene.shard.get("state", store.UNFINISHED) is None
    assert await scene.intake.chunks(0.05) == []
    # Whoever opens it now is told by the rows whether there is work left.
    scene.intake.open({0: dict.fromkeys(INPUTS, 1)}, unfinished=[0])
    assert [chunk.records for chunk in await scene.intake.chunks(1)] == [[]]


async def test_rows_that_are_torn_are_set_aside_and_the_partition_is_taken_over_anew(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def torn(partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe) -> Iterator[Output]:
        raise StoreTorn(scene.shard.state, Exception("Corruption: block checksum mismatch"))

    await scene.take(b"a", start=0)
    scene.hands._fold = torn
    await scene.take(b"b", start=1)

    assert scene.hands.stopped() == {0: "partition 0 is taken over anew"}
    assert scene.shard.state.position() is None
    assert "Corruption: block checksum mismatch" in caplog.text
    assert len(scene.writer.sent) == 1


async def test_a_directory_that_went_away_meanwhile_is_not_gone_on_with_as_an_empty_one(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that was known of the partition's customers was forgotten, and the next fold was committed on top of that."""
    await scene.take(b"a", start=0)
    commit = Shard.commit
    calls: list[int] = []

    def unmounted(shard: Shard, *arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            for store in (shard.state, shard.trail):
                store.close()
                rmtree(store.path)
            raise OSError("No such device")
        commit(shard, *arguments)

    monkeypatch.setattr(Shard, "commit", unmounted)
    monkeypatch.setattr("streams.hands.ROOM_S", 0.01)
    await asyncio.wait_for(scene.take(b"b", start=1), 5)

    assert scene.hands.stopped() == {0: "partition 0 is taken over anew"}
    assert len(calls) == 1
    # Whoever takes it over reads all of it from the changelog.
    assert scene.shard.state.position() is None


async def test_a_torn_disk_that_lets_nothing_be_set_aside_is_no_silent_standstill(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe) -> Iterator[Output]:
        raise StoreTorn(scene.shard.state, Exception("Corruption: block checksum mismatch"))

    def read_only(*_: Any) -> None:
        raise OSError("Read-only file system")

    scene.hands._fold = torn
    monkeypatch.setattr("tables.store.Store.set_aside", read_only)
    await scene.take(b"a", start=0)

    assert scene.hands.stopped() == {0: "partition 0 is taken over anew"}
