"""One hand for each partition: it folds a chunk, commits what follows from it, writes the rows down, and takes the next.

The order is the promise: fold in memory, one transaction, then the disk. Whoever dies between two steps leaves rows that
are older than the changelog, never newer, and the next owner reads the rest.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from streams import journal, metrics
from streams.breathing import in_breaths
from streams.fold import UNFINISHED, Fold
from streams.intake import Chunk, Intake
from streams.journal import Obeyed
from streams.transactions import CHANGELOGS, Lost, Writer
from tables import store
from tables.overlay import Changes, Overlay, Table
from tables.restoring import restore
from tables.shard import Shard, Shards
from tables.store import CURSOR, StoreTorn
from wire.topics import INPUTS, Topics

log = logging.getLogger(__name__)

#: How long a hand may take to finish its chunk when its partition goes. Cutting it short loses work, never facts.
SETTLE_S = 30.0
#: How long a lost partition waits for a rebalance to come by itself before it asks for one.
REJOIN_S = 2.0
#: Questions wait so long for a fold, which then goes on.
BREATH_S = 0.002
#: From its first byte to its answer a question takes so many turns of the loop; it is not to wait for a breath at each.
ROUNDS = 3
#: How often a disk that takes nothing is asked again.
ROOM_S = 2.0

Cursor = Mapping[str, int]


class Consumer(Protocol):
    """What the hands ask of the consumer (streams/batches.py)."""

    async def start_at(
        self, cursors: Mapping[int, Mapping[str, int | None]], unfinished: Collection[int]
    ) -> Mapping[int, dict[str, int]]: ...
    async def rejoin(self) -> None: ...


@dataclass(slots=True)
class Hand:
    """What is needed to fold one partition."""

    shard: Shard
    writer: Writer
    cursor: dict[str, int]
    #: How many chunks were folded.
    step: int = 0
    task: asyncio.Task[None] | None = None
    #: When the oldest record of the chunk in the hand was appended.
    oldest_ms: int | None = None
    #: Why it stands still, where it does.
    stopped: str | None = None


class Hands:
    """The hands of all partitions that this worker has. `obeyed`: what the journal says of the fold's settings."""

    def __init__(
        self,
        fold: Fold,
        *,
        topics: Topics,
        group: str,
        kafka: Mapping[str, Any],
        shards: Shards,
        intake: Intake,
        obeyed: Obeyed | None = None,
    ) -> None:
        self._fold = fold
        self._obeyed = obeyed
        self._topics = topics
        self._group = group
        self._kafka = kafka
        self._shards = shards
        self._intake = intake
        self._hands: dict[int, Hand] = {}
        self._writers: dict[int, Writer] = {}
        self._turns = asyncio.Lock()
        self._adoption: asyncio.Task[None] | None = None
        #: Asks for a rebalance in a while, and in which epoch.
        self._asking: tuple[int, asyncio.Task[None]] | None = None
        # Set by whoever builds the app (streams/app.py): Faust makes its consumer later than we are made.
        self.consumer: Callable[[], Consumer]
        #: Called after a commit with the partition and its cursor, and when what a fold remembers of a partition beside
        #: its rows is void.
        self.on_committed: list[Callable[[int, Cursor], None]] = []
        self.on_dropped: list[Callable[[int], None]] = []
        #: Rows that came from changelogs since partitions came last, and those that are still to come.
        self.restored = 0, 0
        #: Called when all partitions go: when the last chunk is committed, while it is still known how far that was.
        self.on_folded: Callable[[], Awaitable[None]] | None = None
        #: And then, before anybody else may open their rows.
        self.on_settling: list[Callable[[], Awaitable[None]]] = []

    # --- coming and going ---------------------------------------------------------------------------------------------

    async def adopt(self, partitions: set[int]) -> bool:
        """Takes these partitions over, whoever had them before; False where a newer assignment came in between."""
        await self.settle()
        self._adoption = asyncio.ensure_future(self._adopt(partitions))
        try:
            await asyncio.wait({self._adoption})
        finally:
            self._adoption.cancel()
        if self._adoption.cancelled():
            if self._adoption.cancelling():
                return False
            # Nobody of us: something inside gave up. Whoever asked tries again, where silence would be the end.
            raise ConnectionError("a client of Kafka was cut off")
        self._adoption.result()
        return True

    async def _adopt(self, partitions: set[int]) -> None:
        begun = time.monotonic()
        shards = self._shards.keep(partitions)
        self._writers = {
            partition: Writer(partition, self._topics, self._group, self._kafka) for partition in partitions
        }
        # First the writers, then the look at the changelogs: between the two nobody else can write any more.
        await asyncio.gather(*(writer.start() for writer in self._writers.values()))
        changelogs: Mapping[Table, str] = {table: self._topics.name(kind) for table, kind in CHANGELOGS.items()}
        rows = await self._restore(shards, changelogs)
        kept = {shard.partition: _cursor(shard) for shard in shards}
        unfinished = {shard.partition for shard in shards if shard.get("state", store.UNFINISHED) is not None}
        cursors = await self.consumer().start_at(kept, unfinished)
        self._hands = {
            shard.partition: Hand(
                shard,
                self._writers[shard.partition],
                cursors[shard.partition],
                int(shard.get("state", store.STEP) or 0),
            )
            for shard in shards
        }
        for partition in partitions:
            self._drop(partition)
        log.info("folding partitions %s: %d rows restored, %.1f s", sorted(partitions), rows, time.monotonic() - begun)

    async def _restore(self, shards: Sequence[Shard], changelogs: Mapping[Table, str]) -> int:
        while True:
            self.restored = 0, 0
            try:
                return await restore(shards, changelogs, self._kafka, self._tell_restored)
            except StoreTorn as torn:
                torn.store.set_aside(torn)
            except Exception:
                # RocksDB takes nothing after a write that failed, and a store may be half way to being filled. Whoever
                # tries again opens them anew.
                self._shards.close()
                raise

    def _tell_restored(self, done: int, left: int) -> None:
        self.restored = done, left

    async def settle(self) -> None:
        """Ends all folding: what is begun is committed, and nothing more is written by this worker."""
        if self._adoption is not None and not self._adoption.done():
            self._adoption.cancel()
            await asyncio.wait({self._adoption})
        tasks = {hand.task for hand in self._hands.values() if hand.task is not None}
        full = []
        for partition, hand in self._hands.items():
            if hand.stopped is not None and hand.task is not None and hand.task.cancel():
                full.append(partition)  # it waits for room on the disk, and Kafka has all of it
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=SETTLE_S)
            for task in late:
                task.cancel()
        if self._hands and self.on_folded is not None:
            await self.on_folded()
        for partition in self._hands:
            self._drop(partition)  # whoever has it next changes its rows, and we may never have it again
        self._hands = {}
        for let_go in self.on_settling:
            await let_go()
        # RocksDB may have been closed there while it took no more, and could not be opened again.
        self._shards.drop(full)
        writers, self._writers = self._writers, {}
        await asyncio.gather(*(writer.stop() for writer in writers.values()))

    def stopped(self) -> Mapping[int, str]:
        """The partitions that stand still, and why."""
        return {partition: hand.stopped for partition, hand in self._hands.items() if hand.stopped is not None}

    def hand(self, partition: int) -> Hand | None:
        """The hand of a partition that is here."""
        return self._hands.get(partition)

    def shards(self) -> Mapping[int, Shard]:
        """The rows of each partition here."""
        return {partition: hand.shard for partition, hand in self._hands.items()}

    def cursors(self) -> Mapping[int, Cursor]:
        """How far each partition here is folded: for each input the next offset."""
        return {partition: hand.cursor for partition, hand in self._hands.items()}

    # --- a chunk ------------------------------------------------------------------------------------------------------

    def take(self, chunk: Chunk, done: Callable[[], object]) -> None:
        """Folds a chunk; `done` is called when nothing more will come of it."""
        hand = self._hands.get(chunk.partition)
        if hand is None or chunk.epoch != self._intake.epoch:
            done()
            return
        hand.task = asyncio.ensure_future(self._work(hand, chunk))
        hand.task.add_done_callback(lambda _: done())

    async def _work(self, hand: Hand, chunk: Chunk) -> None:
        rows = Overlay(hand.shard)
        begun = time.monotonic()
        hand.oldest_ms = chunk.records[0].timestamp_ms if chunk.records else None
        try:
            _check_start(hand, chunk)
            said = await in_breaths(
                lambda breathe: list(self._fold(chunk.partition, chunk.records, rows, breathe)),
                BREATH_S,
                self._turns,
                ROUNDS,
            )
            outputs = [output for output in said if output is not UNFINISHED]
            unfinished = len(outputs) < len(said)
            entry = journal.entry(hand.step + 1, chunk.cuts, chunk.records, self._obeyed)
            cursor = hand.cursor | {kind: cut.stop for kind, cut in chunk.cuts.items()}
            journal.sign(rows, entry.step, cursor, unfinished=unfinished)
            changes = rows.rows()
            folded = time.monotonic()
            self._intake.folded(chunk)
            positions = await hand.writer.commit(entry, changes, outputs)
        except Lost as lost:
            metrics.LOST.inc()
            self._lose(hand, chunk.partition, f"{lost}; nothing was written, its next owner reads what is true")
        except StoreTorn as torn:
            # What Kafka has is whole. Where the disk lets nothing be set aside, whoever takes the partition over tries again.
            self._lose(hand, chunk.partition, f"partition {chunk.partition} is taken over anew")
            with suppress(Exception):
                torn.store.set_aside(torn)
        except Exception as error:
            # Folding these records again would end here again, and skipping them would make every later balance wrong.
            self._stop(hand, chunk, error)
        else:
            metrics.committed(chunk.records, folded - begun, time.monotonic() - folded)
            if not await self._keep(hand, chunk, changes, positions):
                return
            hand.cursor, hand.step, hand.oldest_ms = cursor, entry.step, None
            for tell in self.on_committed:
                tell(chunk.partition, cursor)
            self._intake.free(chunk, unfinished)

    async def _keep(self, hand: Hand, chunk: Chunk, changes: Changes, positions: Mapping[Table, int]) -> bool:
        """Writes down what Kafka has committed; where the disk takes nothing, as soon as it does. False where what was
        there before is gone by then."""
        while True:
            try:
                hand.shard.commit(changes, positions, int(time.time() * 1000))
                break
            except Exception as error:
                if hand.stopped is None:
                    hand.stopped = f"{type(error).__name__}: {error}"
                    log.error(
                        "partition %d stands still until %s can be written to again; Kafka has all of it: %s",
                        chunk.partition, hand.shard.state.path.parent, error,
                    )  # fmt: skip
            await asyncio.sleep(ROOM_S)
            try:
                hand.shard.reopen()
                is_whole = hand.shard.steps() <= {hand.step, hand.step + 1}
            except StoreTorn:
                is_whole = False
            except Exception as error:
                log.debug("%s: %s", hand.shard.state.path.parent, error)
                continue
            if not is_whole:
                # A directory that is gone is opened as an empty one. What comes next must not be written to it as if the
                # rest were there.
                self._lose(hand, chunk.partition, f"partition {chunk.partition} is taken over anew")
                return False
        if hand.stopped is not None:
            hand.stopped = None
            log.warning("partition %d goes on", chunk.partition)
        return True

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _stop(self, hand: Hand, chunk: Chunk, error: Exception) -> None:
        hand.stopped = f"{type(error).__name__}: {error}"
        self._intake.drop(chunk.partition)
        self._drop(chunk.partition)
        where = ", ".join(
            f"{self._topics.name(kind)}-{chunk.partition} {cut.start} to {cut.stop - 1}"
            for kind, cut in sorted(chunk.cuts.items())
        )
        log.error(
            "partition %d stands still, the others go on: %s (while folding %s)",
            chunk.partition, hand.stopped, where, exc_info=error, extra={"partition": chunk.partition},
        )  # fmt: skip

    def _lose(self, hand: Hand, partition: int, why: str) -> None:
        hand.stopped = why
        self._intake.drop(partition)
        self._drop(partition)
        log.warning("%s", why, extra={"partition": partition})
        epoch = self._intake.epoch
        if self._asking is None or self._asking[0] != epoch or self._asking[1].done():
            self._asking = epoch, asyncio.ensure_future(self._ask_again(epoch))

    async def _ask_again(self, epoch: int) -> None:
        # Whoever was fenced because the group has a new owner learns it soon. Where no rebalance comes we are still the
        # owner, as after a broker was gone for long, and a new assignment starts the partition afresh.
        await asyncio.sleep(REJOIN_S)
        if epoch == self._intake.epoch:
            with suppress(Exception):
                await self.consumer().rejoin()

    def _drop(self, partition: int) -> None:
        for forget in self.on_dropped:
            forget(partition)


def _check_start(hand: Hand, chunk: Chunk) -> None:
    for kind, cut in chunk.cuts.items():
        if cut.start != hand.cursor[kind]:
            raise RuntimeError(f"{kind} was folded up to {hand.cursor[kind]}, but the next chunk starts at {cut.start}")


def _cursor(shard: Shard) -> dict[str, int | None]:
    kept = shard.get("state", CURSOR)
    offsets: dict[str, int] = {} if kept is None else orjson.loads(kept)
    return {kind: offsets.get(kind) for kind in INPUTS}
