"""Between the fetches and the hands: what was read of each partition and not folded yet, and when it may be.

A record is taken, oldest append time first, when every other input of its partition has a record at hand, or was read
up to an end that was looked up after this record arrived. So nobody waits for an idle topic, and no tick overtakes a
backlog.

A chunk is cut when its hand is free and takes all that may be taken: it grows with the backlog and shrinks without it,
by count, never by a clock. It is empty where a fold goes on that needs no record.

Few hands fold at once, in turns. Many would share one interpreter and each be done later; while they wait instead, their
chunks grow, and a large chunk costs less than two small ones.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from streams.fold import Record
from streams.journal import Cut
from streams.merging import turns
from wire.topics import INPUTS

#: Records in a chunk, and about as many wait behind it for each input.
MOST_RECORDS = 30_000
#: Bytes of one input that may wait, and of all of them together; what was fetched when it is reached comes on top.
MOST_BYTES = 16 << 20
ALL_BYTES = 256 << 20
#: So many hands fold at once. Those that wait for Kafka are not counted.
MOST_FOLDS = 2
#: Who folds for longer than this is not counted either: it leaves the interpreter to others now and then (streams/breathing.py).
LONG_S = 0.1

#: An input of a partition.
Source = tuple[str, int]


class Chunk(NamedTuple):
    """What one transaction folds: consecutive records of each input of one partition, merged. None where the fold goes on
    without."""

    partition: int
    records: list[Record]
    cuts: Mapping[str, Cut]
    epoch: int


class Fetched(NamedTuple):
    """The answer of one fetch: records, and, seen after they had come, how far each input is read and where it ends."""

    records: Mapping[Source, list[Record]]
    positions: Mapping[Source, int]
    ends: Mapping[Source, int]


class Intake:
    """Waiting records of the partitions that this worker folds."""

    def __init__(self, most_records: int = MOST_RECORDS) -> None:
        self.most_records = most_records
        #: Rises whenever folding starts anew somewhere else; a chunk of an older epoch is void.
        self.epoch = 0
        self._partitions: dict[int, dict[str, _Input]] = {}
        #: The partitions whose hand has a chunk, and since when it is folded; 0 once it is.
        self._busy: dict[int, float] = {}
        #: Partitions whose fold goes on without a record.
        self._unfinished: set[int] = set()
        self._fetches = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    def open(self, cursors: Mapping[int, Mapping[str, int]], unfinished: Iterable[int] = ()) -> None:
        """Starts at these offsets: of each partition, for each input; and with the folds that were left unfinished."""
        self.close()
        self._partitions = {
            partition: {kind: _Input(offsets[kind]) for kind in INPUTS} for partition, offsets in cursors.items()
        }
        self._unfinished = set(unfinished)
        self._room.set()
        self._changed.set()

    def close(self) -> None:
        """Forgets what waits; chunks that are on their way are void."""
        self.epoch += 1
        self._partitions = {}
        self._busy = {}
        self._unfinished = set()

    def drop(self, partition: int) -> None:
        """Takes nothing in for this partition until the next `open`."""
        self._partitions.pop(partition, None)
        self._busy.pop(partition, None)
        self._changed.set()

    def folded(self, chunk: Chunk) -> None:
        """The hand has folded this chunk, and waits for Kafka."""
        if chunk.epoch == self.epoch and chunk.partition in self._busy:
            self._busy[chunk.partition] = 0.0
            self._changed.set()

    def free(self, chunk: Chunk, unfinished: bool = False) -> None:
        """The hand has done this chunk and may get the next; where its fold is unfinished, an empty one if need be."""
        if chunk.epoch == self.epoch:
            self._busy.pop(chunk.partition, None)
            if unfinished:
                self._unfinished.add(chunk.partition)
            self._changed.set()

    # --- from the fetches ---------------------------------------------------------------------------------------------

    def sources(self) -> set[Source]:
        """All inputs of the open partitions."""
        return {(kind, partition) for partition, inputs in self._partitions.items() for kind in inputs}

    def positions(self) -> dict[Source, int]:
        """The next offset to be fetched of each input."""
        return {
            (kind, partition): source.position
            for partition, inputs in self._partitions.items()
            for kind, source in inputs.items()
        }

    def wanted(self) -> set[Source]:
        """Whose records there is room for."""
        most_bytes = min(MOST_BYTES, ALL_BYTES // (len(INPUTS) * len(self._partitions) or 1))
        return {
            (kind, partition)
            for partition, inputs in self._partitions.items()
            for kind, source in inputs.items()
            if len(source.records) < self.most_records and source.bytes < most_bytes
        }

    async def room(self, patience_s: float) -> None:
        """Returns when more may be wanted than before."""
        self._room.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._room.wait(), patience_s)

    def unsure(self) -> set[Source]:
        """Inputs that nothing is known of since the newest records of their partition came."""
        unsure = set()
        for partition, inputs in self._partitions.items():
            newest = max(source.newest() for source in inputs.values())
            unsure |= {
                (kind, partition) for kind, source in inputs.items() if not source.records and source.cleared < newest
            }
        return unsure

    def add(self, fetched: Fetched) -> None:
        """Takes in one fetch; fetches come one after the other, in the order in which they were made."""
        self._fetches += 1
        for (kind, partition), records in fetched.records.items():
            if partition in self._partitions:
                self._partitions[partition][kind].add(records, self._fetches)
        for (kind, partition), position in fetched.positions.items():
            if partition in self._partitions:
                self._partitions[partition][kind].look(position, fetched.ends.get((kind, partition)), self._fetches)
        self._changed.set()

    def waiting(self, partition: int) -> Mapping[str, tuple[int, int | None]]:
        """For each input, how far it is folded or in the hand, and where it ends as far as we know."""
        return {kind: (source.cursor, source.end) for kind, source in self._partitions.get(partition, {}).items()}

    def oldest_ms(self, partition: int) -> int | None:
        """When the oldest record that waits for its hand was appended."""
        inputs = self._partitions.get(partition, {}).values()
        return min((source.records[0].timestamp_ms for source in inputs if source.records), default=None)

    # --- for the hands ------------------------------------------------------------------------------------------------

    async def chunks(self, patience_s: float) -> list[Chunk]:
        """A chunk for each free hand that may have one; waits for a change while there is none."""
        found = self._cut_all()
        if not found:
            self._changed.clear()
            try:
                # Those who fold may become those that are not counted.
                await asyncio.wait_for(self._changed.wait(), min(patience_s, LONG_S) if self._busy else patience_s)
            except TimeoutError:
                return []
            found = self._cut_all()
        return found

    def _cut_all(self) -> list[Chunk]:
        now = time.monotonic()
        free = MOST_FOLDS - sum(now - since < LONG_S for since in self._busy.values())
        found: list[Chunk] = []
        for partition in [partition for partition in self._partitions if partition not in self._busy]:
            if len(found) >= free:
                break
            chunk = self._cut(partition)
            if chunk is not None:
                found.append(chunk)
                self._busy[partition] = now
                # The last whose turn it is again.
                self._partitions[partition] = self._partitions.pop(partition)
        if found:
            self._room.set()
        return found

    def _cut(self, partition: int) -> Chunk | None:
        inputs = self._partitions[partition]
        taken = dict.fromkeys(inputs, 0)
        records: list[Record] = []
        for run, start, stop in turns([source.records for source in inputs.values()]):
            mine = run[start].kind
            # Who has nothing left at hand must have been read to its end since these records arrived.
            known = (
                source.cleared for kind, source in inputs.items() if kind != mine and taken[kind] == len(source.records)
            )
            may = min(
                inputs[mine].arrived_by(min(known, default=self._fetches)), start + self.most_records - len(records)
            )
            until = min(stop, may)
            if until > start:
                records.extend(run[start:until])
                taken[mine] = until
            if until < stop:
                break
        if not records and partition not in self._unfinished:
            return None
        self._unfinished.discard(partition)
        cuts = {kind: inputs[kind].take(count) for kind, count in taken.items()}
        return Chunk(partition, records, {kind: cut for kind, cut in cuts.items() if cut.start < cut.stop}, self.epoch)


def _size(records: Sequence[Record]) -> int:
    size = sum([len(record.value or b"") + len(record.key or b"") for record in records])
    for headers in [record.headers for record in records if record.headers]:
        size += sum(len(name) + len(value or b"") for name, value in headers)
    return size


class _Input:
    """What waits of one input of one partition."""

    __slots__ = ("_arrivals", "_target", "bytes", "cleared", "cursor", "end", "position", "records")

    def __init__(self, cursor: int) -> None:
        self.records: list[Record] = []
        self.bytes = 0
        #: The next offset to give out, and the next to be fetched.
        self.cursor = self.position = cursor
        #: Where the input ended when somebody last looked.
        self.end: int | None = None
        #: The last fetch after which this input is known to have been read to its end.
        self.cleared = 0
        #: An end that was looked up and not read up to yet, and the fetch after which it was.
        self._target: tuple[int, int] | None = None
        #: For each fetch that brought records: its number, how many of them wait, their bytes.
        self._arrivals: deque[tuple[int, int, int]] = deque()

    def add(self, records: list[Record], fetch: int) -> None:
        if records[0].offset < self.position:
            # The reader was set back behind our start: what lies before it is folded already.
            records = [record for record in records if record.offset >= self.position]
        size = _size(records)
        self.records.extend(records)
        self.bytes += size
        self._arrivals.append((fetch, len(records), size))

    def look(self, position: int, end: int | None, fetch: int) -> None:
        """Position and end as they were after this fetch; no end: nobody looked."""
        self.position = position
        if end is not None:
            self.end = end
            # The oldest end stands until it is reached: a busy input must not run from its own end for ever.
            if position >= end or self._target is None:
                self._target = (end, fetch)
        if self._target is not None and position >= self._target[0]:
            self.cleared = self._target[1]
            self._target = None

    def newest(self) -> int:
        """The last fetch that brought a record that still waits; 0 where none does."""
        return self._arrivals[-1][0] if self._arrivals else 0

    def arrived_by(self, fetch: int) -> int:
        """How many of the waiting records had come by this fetch."""
        return sum(count for number, count, _ in self._arrivals if number <= fetch)

    def take(self, count: int) -> Cut:
        del self.records[:count]
        while count:
            number, waiting, size = self._arrivals.popleft()
            if waiting > count:
                self._arrivals.appendleft((number, waiting - count, size))
                break
            count -= waiting
            self.bytes -= size
        # What lies between two records of a log holds no fact: it may be passed over.
        start, self.cursor = self.cursor, self.records[0].offset if self.records else self.position
        return Cut(start, self.cursor)
