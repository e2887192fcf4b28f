"""`seatstream verify`: proof of replay. Reads only.

Each partition is rebuilt twice, in stores of its own that are thrown away: from its inputs, step by step as the journal says they
were taken, and from its changelogs. Both, and the rows of a worker whose disk is here, must be the same, row by row; and what
left on the output topics must be what leaves again, id by id.
"""

import argparse
import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ledger.rows import Table
from streams import journal
from streams import settings as environment
from streams.bookkeeper import Bookkeeper
from streams.fold import UNFINISHED, Output, Record
from streams.journal import Entry
from streams.merging import merge
from streams.settings import Settings, SettingsWrong
from streams.transactions import CHANGELOGS
from tables.overlay import DROP, Overlay, Rows
from tables.shard import TABLES, Shard
from tables.store import ENGINE, STEP, Memory, Position, StoreRefused
from wire.topics import INPUTS, OUTPUTS, Topics, TopicsUnfit, ensure

#: So many differences of a partition are shown; the rest is counted.
SHOWN: Final = 20
#: After every row, and the first key that is not the engine's own.
_END, _FIRST = b"\xff" * 16, bytes([ENGINE[0] + 1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--partition", type=int, action="append", metavar="N", help="only this one; may repeat")


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False, soft_wrap=True)
    try:
        settings = environment.read()
        topics = asyncio.run(ensure(settings.topics, settings.kafka()))
        partitions = sorted(set(args.partition or range(topics.partitions)))
        if partitions[-1] >= topics.partitions:
            raise SettingsWrong(f"--partition: there are {topics.partitions}, from 0 to {topics.partitions - 1}")
        reports = asyncio.run(_verify(settings, topics, partitions, Console(stderr=True)))
    except (SettingsWrong, TopicsUnfit, StoreRefused) as error:
        console.print(f"seatstream verify: {error}", markup=False)
        return 2
    except KafkaError as error:
        console.print(f"seatstream verify: no Kafka at {', '.join(settings.broker)}: {error}", markup=False)
        return 2
    for report in reports:
        for line in report.lines():
            console.print(line, markup=False)
    return max(report.code for report in reports)


@dataclass
class Report:
    """What was found in one partition."""

    partition: int
    steps: int = 0
    #: How many rows, and outputs, were compared; and with what.
    rows: int = 0
    outputs: int = 0
    compared: list[str] = field(default_factory=list)
    #: Why something could not be looked at.
    missing: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def code(self) -> int:
        """0: the same; 1: not; 2: not all of it could be told."""
        return 1 if self.differences else 2 if self.missing else 0

    def lines(self) -> Iterator[str]:
        verdict = f"{len(self.differences):,} differences" if self.differences else "the same"
        with_what = ", ".join(self.compared) or "nothing"
        yield (
            f"partition {self.partition}: {verdict}; {self.steps:,} steps, {self.rows:,} rows, {self.outputs:,} outputs;"
            f" compared with the changelogs: {with_what}"
        )
        yield from (f"  not looked at: {why}" for why in self.missing)
        yield from (f"  {difference}" for difference in self.differences[:SHOWN])
        if len(self.differences) > SHOWN:
            yield f"  and {len(self.differences) - SHOWN:,} more"


async def _verify(settings: Settings, topics: Topics, partitions: list[int], console: Console) -> list[Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    reports = []
    with Progress(*columns, console=console, transient=True) as progress:
        for partition in partitions:
            with TemporaryDirectory(prefix="seatstream-verify-") as directory:
                one = Verification(settings, topics, partition, Path(directory), progress)
                try:
                    reports.append(await one.report())
                finally:
                    one.close()
    return reports


class Verification:
    """One partition on its way through the comparison."""

    def __init__(self, settings: Settings, topics: Topics, partition: int, directory: Path, progress: Progress) -> None:
        self._settings = settings
        self._topics = topics
        self._partition = partition
        self._progress = progress
        self._kafka = settings.kafka()
        self._memory = Memory()
        self._logged = Shard(partition, directory / "logged", self._memory)
        self._replayed = Shard(partition, directory / "replayed", self._memory)
        # What left, and what leaves again: an id for each.
        self._left = Shard(partition, directory / "left", self._memory)
        self._report = Report(partition)

    def close(self) -> None:
        for shard in (self._logged, self._replayed, self._left):
            shard.close()

    async def report(self) -> Report:
        step = await self._read_changelogs()
        self._report.steps = step
        ended_ms = await self._replay(step)
        if ended_ms is not None:
            self._report.compared.append("what was rebuilt from the inputs")
            self._compare("the rows rebuilt from the inputs", self._replayed)
            await self._compare_outputs(ended_ms)
        await self._compare_disk()
        self._report.rows = sum(1 for table in TABLES for _ in self._logged.scan(table, _FIRST, _END))
        return self._report

    # --- what the changelogs say ---

    async def _read_changelogs(self) -> int:
        """Brings the changelogs' rows to one step, which is answered."""
        step = 0
        async for record in self._records(CHANGELOGS["state"], "reading the state's changelog"):
            self._logged.state.apply([(record.key, record.value)], Position(record.offset + 1, 0))
            if record.key == STEP:
                step = int(record.value)
        if step:
            # It may have gone further by now: the trail is read up to the same step, which is its last row.
            async for record in self._records(CHANGELOGS["trail"], "reading the trail's changelog"):
                self._logged.trail.apply([(record.key, record.value)], Position(record.offset + 1, 0))
                if record.key == STEP and int(record.value) == step:
                    break
        return step

    # --- what the inputs say ---

    async def _replay(self, last: int) -> int | None:
        """Takes every step again; answers when the last one was written (ms). None where the log does not reach back so far."""
        entries = self._records("journal", "replaying")
        inputs = _Inputs(self._topics, self._partition, self._kafka)
        keepers: dict[journal.Obeyed | None, Bookkeeper] = {}
        cursor: dict[str, int] = {}
        step = written_ms = 0
        await inputs.start()
        try:
            async for record in entries:
                entry = journal.read(record.value)
                if entry.step != step + 1:
                    why = (
                        f"the journal begins with step {entry.step}"
                        if not step
                        else f"step {step + 1} is not in the journal"
                    )
                    self._report.missing.append(f"{why}; raise SEATSTREAM_HISTORY before it is too late")
                    return None
                taken = await inputs.take(entry)
                if isinstance(taken, str):
                    self._report.missing.append(taken)
                    return None
                keeper = keepers.setdefault(entry.obeyed, self._keeper(entry))
                cursor |= {kind: cut.stop for kind, cut in entry.inputs.items()}
                self._fold(keeper, entry, taken, cursor, record.timestamp)
                step, written_ms = entry.step, record.timestamp
                if step == last:
                    break
        finally:
            await inputs.stop()
        if step < last:
            self._report.missing.append(f"the journal ends with step {step}, the changelogs with {last}")
            return None
        return written_ms

    def _keeper(self, entry: Entry) -> Bookkeeper:
        obeyed = entry.obeyed
        settings = self._settings
        if obeyed is not None:
            settings = replace(settings, **{name: getattr(obeyed, name) for name in obeyed.__struct_fields__})
        return Bookkeeper(settings, self._topics)

    def _fold(
        self, keeper: Bookkeeper, entry: Entry, records: list[Record], cursor: Mapping[str, int], written_ms: int
    ) -> None:
        rows = Overlay(self._replayed)
        said = list(keeper(self._partition, records, rows))
        outputs = [output for output in said if output is not UNFINISHED]
        journal.sign(rows, entry.step, cursor, unfinished=len(outputs) < len(said))
        self._replayed.commit(rows.rows(), dict.fromkeys(TABLES, 0), 0)
        for output in outputs:
            if output.kind in OUTPUTS:
                self._left.state.apply([(_output_key(output), b"%d" % written_ms)], Position(0, 0))

    # --- comparing ---

    def _compare(self, what: str, found: Rows) -> None:
        for table in TABLES:
            for key, logged, other in _unlike(self._logged, found, table):
                self._differ(f"{table} {_shown(key)}: the changelog has {_shown(logged)}, {what} {_shown(other)}")

    async def _compare_outputs(self, ended_ms: int) -> None:
        """Those that are still there, up to the last step."""
        for kind in OUTPUTS:
            first_ms: int | None = None
            async for record in self._records(kind, f"reading {kind}"):
                if first_ms is None:
                    # What is older has left the topic.
                    first_ms = record.timestamp if record.offset else 0
                if record.timestamp > ended_ms:
                    break
                output = Output(kind, record.key, record.value, record.headers)
                self._left.trail.apply([(_output_key(output), b"")], Position(0, 0))
                self._report.outputs += 1
            prefix = kind.encode()
            since_ms = ended_ms + 1 if first_ms is None and await self._has_left(kind) else first_ms or 0
            replayed = {"state": self._left.state, "trail": self._left.trail}
            again = (
                (key, value)
                for key, value in replayed["state"].scan(prefix, prefix + b"\xff")
                if int(value) >= since_ms
            )
            left = ((key, value) for key, value in replayed["trail"].scan(prefix, prefix + b"\xff"))
            for key, one, other in _apart(left, again, lambda a, b: True):
                if one is None or other is None:
                    where = "left, and does not leave again" if other is None else "leaves again, and never left"
                    self._differ(f"{kind} {_shown(key[len(prefix) + 1 :])} {where}")

    async def _has_left(self, kind: str) -> bool:
        """Whether a topic that holds nothing now ever held anything."""
        place = TopicPartition(self._topics.name(kind), self._partition)
        async with AIOKafkaConsumer(**self._kafka) as consumer:
            return bool((await consumer.beginning_offsets([place]))[place])

    async def _compare_disk(self) -> None:
        """The rows of a worker whose disk is here, as they are now, with what the changelogs say since."""
        path = self._settings.data / (self._topics.cluster or "tables") / self._settings.group
        if not (path / f"state-{self._partition}").is_dir():
            return
        disk = Shard(self._partition, path, self._memory, read_only=True)
        try:
            rows = Overlay(disk)
            for table in TABLES:
                position = disk.table(table).position()
                kind, start = CHANGELOGS[table], 0 if position is None else position.offset
                end = self._logged.table(table).position()
                async for record in self._records(
                    kind, "reading what the disk has not", start, 0 if end is None else end.offset
                ):
                    if record.value is None:
                        rows.delete(table, record.key)
                    elif record.key.startswith(DROP):
                        rows.drop(record.key.removeprefix(DROP), record.value)
                    else:
                        rows.put(table, record.key, record.value)
            self._report.compared.append(f"the disk at {path}")
            self._compare("the disk", rows)
        finally:
            disk.close()

    def _differ(self, said: str) -> None:
        self._report.differences.append(said)

    async def _records(
        self, kind: str, doing: str, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Any]:
        """The records of a topic of this partition, up to what is committed now, or to an end."""
        place = TopicPartition(self._topics.name(kind), self._partition)
        task = self._progress.add_task(f"partition {self._partition}: {doing}", total=None)
        async with AIOKafkaConsumer(
            **self._kafka, group_id=None, enable_auto_commit=False, isolation_level="read_committed"
        ) as consumer:
            consumer.assign([place])
            first = (await consumer.beginning_offsets([place]))[place]
            stop = (await consumer.end_offsets([place]))[place] if end is None else end
            begin = first if start is None else max(first, start)
            consumer.seek(place, begin)
            self._progress.update(task, total=max(stop - begin, 0))
            try:
                while (position := await consumer.position(place)) < stop:
                    self._progress.update(task, completed=position - begin)
                    for record in (await consumer.getmany(place, timeout_ms=500)).get(place, []):
                        if record.offset < stop:
                            yield record
            finally:
                self._progress.remove_task(task)


class _Inputs:
    """The inputs of one partition, read as far as the journal says."""

    def __init__(self, topics: Topics, partition: int, kafka: Mapping[str, Any]) -> None:
        self._places = {kind: TopicPartition(topics.name(kind), partition) for kind in INPUTS}
        self._read: dict[str, deque[Record]] = {kind: deque() for kind in INPUTS}
        self._consumer = AIOKafkaConsumer(
            **kafka, group_id=None, enable_auto_commit=False, isolation_level="read_committed"
        )
        self._firsts: dict[str, int] = {}

    async def start(self) -> None:
        await self._consumer.start()
        places = list(self._places.values())
        self._consumer.assign(places)
        firsts = await self._consumer.beginning_offsets(places)
        for kind, place in self._places.items():
            self._firsts[kind] = firsts[place]
            self._consumer.seek(place, firsts[place])

    async def stop(self) -> None:
        await self._consumer.stop()

    async def take(self, entry: Entry) -> list[Record] | str:
        """The records of a step, in the order in which they were folded; or why they are not there any more."""
        runs = []
        for kind, cut in entry.inputs.items():
            if cut.start < self._firsts[kind]:
                return (
                    f"{kind} reaches back to record {self._firsts[kind]:,} only, step {entry.step} took in {cut.start:,};"
                    " SEATSTREAM_HISTORY says how long inputs are kept"
                )
            read, place = self._read[kind], self._places[kind]
            while await self._consumer.position(place) < cut.stop:
                for record in (await self._consumer.getmany(place, timeout_ms=500)).get(place, []):
                    read.append(
                        Record(
                            kind,
                            record.partition,
                            record.offset,
                            record.timestamp,
                            record.key,
                            record.value,
                            record.headers,
                        )
                    )
            run = []
            while read and read[0].offset < cut.stop:
                run.append(read.popleft())
            runs.append(run)
        return merge(runs)


def _output_key(output: Output) -> bytes:
    """What a message that left is known by: its topic, its id, and which part of it this is."""
    if output.kind == "dead-letter":
        why = dict(output.headers)
        names = ("topic", "partition", "offset", "code", "part")
        return b"\x00".join([output.kind.encode(), *(why.get(f"seatstream.{name}") or b"" for name in names)])
    said = orjson.loads(output.value or b"{}")
    of = [str(said.get(name, "")) for name in ("snapshot_id", "alert_id", "state", "part")]
    return "\x00".join([output.kind, *of]).encode()


Row = tuple[bytes, bytes]


def _unlike(one: Rows, other: Rows, table: Table) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """The rows in which two stores differ, but for those that a store keeps about itself."""
    return _apart(one.scan(table, _FIRST, _END), other.scan(table, _FIRST, _END), lambda a, b: a == b)


def _apart(
    one: Iterator[Row], other: Iterator[Row], alike: Callable[[bytes, bytes], bool]
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Two sorted runs side by side: the keys that only one of them has, or whose values are not alike."""
    mine, theirs = next(one, None), next(other, None)
    while mine is not None or theirs is not None:
        if theirs is None or (mine is not None and mine[0] < theirs[0]):
            assert mine is not None
            yield mine[0], mine[1], None
            mine = next(one, None)
        elif mine is None or theirs[0] < mine[0]:
            yield theirs[0], None, theirs[1]
            theirs = next(other, None)
        else:
            if not alike(mine[1], theirs[1]):
                yield mine[0], mine[1], theirs[1]
            mine, theirs = next(one, None), next(other, None)


def _shown(value: bytes | None) -> str:
    if value is None:
        return "nothing"
    text = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in value[:200])
    return text if len(value) <= 200 else f"{text}... ({len(value):,} bytes)"
