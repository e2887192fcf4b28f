"""`seatstream verify`: proof of replay. Reads only.

Each partition is rebuilt twice, in stores of its own that are thrown away: from its inputs, step by step as the journal says they
were taken, and from its changelogs. Both, and the rows of a worker whose disk is here, must be the same, row by row; and what
left on the output topics must be what leaves again: as often, and with the same key, headers and body but for `as_of`.

Workers may go on meanwhile. What they commit after the changelogs were read is not looked at, but for the rows of a disk that
has gone further: the changelogs are read on to its step.

Not compared: alerts that nobody took (`undelivered`), which no fold says; forwarded facts and the copies of rules, which lie
in the inputs of their partition; outputs that have left their topics, and what of the first step that is still there may have
left with them. `alert-rule` is compacted: where a step took in more rules than the log still has, replay ends, and that is said.
"""

import argparse
import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sized
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ledger.rows import Table, alike, readable
from streams import header_names, journal
from streams import settings as environment
from streams.bookkeeper import Bookkeeper
from streams.fold import UNFINISHED, Output, Record
from streams.journal import Entry
from streams.merging import merge
from streams.settings import Settings, SettingsWrong
from streams.transactions import CHANGELOGS
from tables.overlay import DROP, Overlay, Rows
from tables.shard import TABLES, Shard
from tables.store import ENGINE, STEP, Memory, Position, Store, StoreRefused, StoreTorn
from wire.consumer import Consumer
from wire.topics import OUTPUTS, Topics, TopicsUnfit, ensure

#: So many differences of a partition are shown; the rest is counted.
SHOWN: Final = 20
#: What one topic has committed another may have a little later, though they were written together: so often it is asked
#: for it, and so long after each time.
TRIES: Final = 20
PAUSE_S: Final = 0.5
#: After every row, and the first key that is not the engine's own.
_END, _FIRST = b"\xff" * 16, bytes([ENGINE[0] + 1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--partition", type=int, action="append", metavar="N", help="only this one; may repeat")


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False, soft_wrap=True)
    header_names.install()
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
                logs = KafkaLogs(topics, partition, settings.kafka(), progress)
                one = Verification(settings, topics, partition, Path(directory), logs)
                try:
                    reports.append(await one.report())
                finally:
                    one.close()
    return reports


class Logs(Protocol):
    """What is committed in the topics of one partition."""

    def records(self, kind: str, doing: str | None = None, start: int = 0) -> AsyncGenerator[Record]:
        """From an offset to where the topic ends when this is first asked for one. `doing`: what is shown meanwhile."""
        ...

    async def first(self, kind: str) -> int:
        """The offset from which on records are kept."""
        ...


class Verification:
    """One partition on its way through the comparison."""

    def __init__(self, settings: Settings, topics: Topics, partition: int, directory: Path, logs: Logs) -> None:
        self._settings = settings
        self._topics = topics
        self._partition = partition
        self._logs = logs
        self._memory = Memory()
        self._logged = Shard(partition, directory / "logged", self._memory)
        self._replayed = Shard(partition, directory / "replayed", self._memory)
        self._left = Shard(partition, directory / "left", self._memory)
        self._outputs = Outputs(self._left)
        self._report = Report(partition)

    def close(self) -> None:
        for shard in (self._logged, self._replayed, self._left):
            shard.close()

    async def report(self) -> Report:
        step = await self._read_changelogs()
        self._report.steps = step
        replayed = await self._replay(step)
        if replayed is not None:
            self._report.compared.append("what was rebuilt from the inputs")
            self._compare("the rows rebuilt from the inputs", self._replayed)
            await self._compare_outputs(replayed)
        await self._compare_disk(step)
        self._report.rows = sum(1 for table in TABLES for _ in self._logged.scan(table, _FIRST, _END))
        return self._report

    # --- what the changelogs say ---

    async def _read_changelogs(self) -> int:
        """Brings the changelogs' rows to one step, which is answered."""
        async for record in self._logs.records(CHANGELOGS["state"], "reading the state's changelog"):
            _apply(self._logged, "state", record)
        step = _step(self._logged, "state")
        if not await self._read_on("trail", step):
            self._differ(f"the state's changelog has step {step}, the trail's ends before")
        return step

    async def _read_on(self, table: Table, step: int) -> bool:
        """Reads a changelog on to a step; whether it has it."""
        position = self._logged.table(table).position()
        if _step(self._logged, table) < step:
            async with aclosing(self._up_to(step, table, 0 if position is None else position.offset)) as records:
                async for record in records:
                    _apply(self._logged, table, record)
        return _step(self._logged, table) >= step

    async def _up_to(self, step: int, table: Table, start: int) -> AsyncGenerator[Record]:
        """The records of a changelog up to a step, whose number is its last row."""
        for _ in range(TRIES):
            async with aclosing(
                self._logs.records(CHANGELOGS[table], f"reading the {table}'s changelog", start)
            ) as found:
                async for record in found:
                    yield record
                    start = record.offset + 1
                    if record.key == STEP and int(record.value or b"0") >= step:
                        return
            await asyncio.sleep(PAUSE_S)

    # --- what the inputs say ---

    async def _replay(self, last: int) -> int | None:
        """Takes every step again; answers which was the last. None where the log does not reach back so far."""
        replay = Replay(self._settings, self._topics, self._replayed)
        async with AsyncExitStack() as stack:
            entries = await stack.enter_async_context(aclosing(self._logs.records("journal", "replaying")))
            inputs = _Inputs(self._logs, stack)
            async for record in entries:
                entry = journal.read(record.value or b"")
                if entry.step != replay.step + 1:
                    why = (
                        f"the journal begins with step {entry.step}"
                        if not replay.step
                        else f"step {replay.step + 1} is not in the journal"
                    )
                    self._report.missing.append(f"{why}; raise SEATSTREAM_HISTORY before it is too late")
                    return None
                taken = await inputs.take(entry)
                if isinstance(taken, str):
                    self._report.missing.append(taken)
                    return None
                for output in replay.take(entry, taken):
                    self._outputs.again(entry.step, output)
                if entry.step == last:
                    break
        if replay.step < last:
            self._report.missing.append(f"the journal ends with step {replay.step}, the changelogs with {last}")
            return None
        return replay.step

    # --- comparing ---

    def _compare(self, what: str, found: Rows) -> None:
        for table in TABLES:
            for key, logged, other in _unlike(self._logged, found, table):
                self._differ(f"{table} {_shown(key)}: the changelog has {_shown(logged)}, {what} {_shown(other)}")

    async def _compare_outputs(self, last: int) -> None:
        """Those that are still there, up to the last step. One that says no step is of whoever says none: it must leave again."""
        for kind in OUTPUTS:
            since: float = math.inf
            async for record in self._logs.records(kind, f"reading {kind}"):
                output = Output(kind, record.key, record.value, record.headers)
                step = _step_of(output)
                if _is_undelivered(output) or (step is not None and step > last):
                    continue
                if step is not None:
                    since = min(since, step)
                self._outputs.left(output)
                self._report.outputs += 1
            if not await self._logs.first(kind):
                since = 0
            for difference in self._outputs.differences(kind, since):
                self._differ(f"{kind} {difference}")

    async def _compare_disk(self, step: int) -> None:
        """The rows of a worker whose disk is here with what the changelogs say of the step that it has, or of the step of
        the changelogs with what the disk has not yet."""
        path = self._settings.data / (self._topics.cluster or "tables") / self._settings.group
        if not (path / f"state-{self._partition}").is_dir():
            return
        try:
            disk = Shard(self._partition, path, self._memory, read_only=True)
        except Exception as error:
            self._report.missing.append(f"the disk at {path}: {error}")
            return
        try:
            # A worker that folds meanwhile may write between the one table and the other.
            until = max(step, *(_step(disk, table) for table in TABLES))
            for table in TABLES:
                if not await self._read_on(table, until):
                    self._differ(f"the disk at {path} has step {until}, the {table}'s changelog ends before")
                    return
            rows = Overlay(disk)
            for table in TABLES:
                await self._lay_over(rows, disk, table, until)
            self._report.compared.append(f"the disk at {path}")
            self._compare("the disk", rows)
        except (StoreTorn, OSError) as error:
            self._report.missing.append(f"the disk at {path}: {error}")
        finally:
            disk.close()

    async def _lay_over(self, rows: Overlay, disk: Shard, table: Table, until: int) -> None:
        """What a disk has not yet."""
        if _step(disk, table) >= until:
            return
        position = disk.table(table).position()
        async with aclosing(self._up_to(until, table, 0 if position is None else position.offset)) as records:
            async for record in records:
                key, value = record.key or b"", record.value
                if value is None:
                    rows.delete(table, key)
                elif key.startswith(DROP):
                    rows.drop(key.removeprefix(DROP), value)
                else:
                    rows.put(table, key, value)

    def _differ(self, said: str) -> None:
        self._report.differences.append(said)


def _step(shard: Shard, table: Table) -> int:
    return int(shard.get(table, STEP) or 0)


def _apply(shard: Shard, table: Table, record: Record) -> None:
    shard.table(table).apply([(record.key or b"", record.value)], Position(record.offset + 1, 0))


# --- taking the steps again -------------------------------------------------------------------------------------------


class Replay:
    """The fold, from nothing."""

    def __init__(self, settings: Settings, topics: Topics, shard: Shard) -> None:
        self.step = 0
        self._settings = settings
        self._topics = topics
        self._shard = shard
        self._cursor: dict[str, int] = {}
        self._obeyed = settings.obeyed
        self._keeper = Bookkeeper(settings, topics)

    def take(self, entry: Entry, records: list[Record]) -> list[Output]:
        """Folds a step, and answers what leaves with it."""
        obeyed = self._settings.obeyed if entry.obeyed is None else entry.obeyed
        if obeyed != self._obeyed:
            # As for a worker that began with other settings. One that obeyed these before knows nothing of what came since.
            changed = {name: getattr(obeyed, name) for name in obeyed.__struct_fields__}
            self._obeyed, self._keeper = obeyed, Bookkeeper(replace(self._settings, **changed), self._topics)
        self._cursor |= {kind: cut.stop for kind, cut in entry.inputs.items()}
        rows = Overlay(self._shard)
        said = list(self._keeper(self._shard.partition, records, rows))
        outputs = [output for output in said if output is not UNFINISHED]
        journal.sign(rows, entry.step, self._cursor, unfinished=len(outputs) < len(said))
        self._shard.commit(rows.rows(), dict.fromkeys(TABLES, 0), 0)
        self.step = entry.step
        return outputs


class _Inputs:
    """The inputs of one partition, read as far as the journal says."""

    def __init__(self, logs: Logs, stack: AsyncExitStack) -> None:
        self._logs = logs
        self._stack = stack
        self._firsts: dict[str, int] = {}
        self._read: dict[str, AsyncGenerator[Record]] = {}
        #: Read already, and of a later step.
        self._next: dict[str, Record | None] = {}

    async def take(self, entry: Entry) -> list[Record] | str:
        """The records of a step, in the order in which they were folded; or why they are not there any more."""
        runs = []
        for kind, cut in entry.inputs.items():
            if kind not in self._firsts:
                await self._open(kind)
            if cut.start < self._firsts[kind]:
                return (
                    f"{kind} reaches back to record {self._firsts[kind]:,} only, step {entry.step} took in {cut.start:,};"
                    " SEATSTREAM_HISTORY says how long inputs are kept"
                )
            run = []
            while (record := self._next[kind]) is not None and record.offset < cut.stop:
                run.append(record)
                self._next[kind] = await anext(self._read[kind], None)
            if kind == "alert-rule" and len(run) < (cut.stop - cut.start if entry.rules is None else entry.rules):
                return (
                    f"alert-rule is compacted, and not all rules that step {entry.step} took in are there any more:"
                    f" {len(run)} from {cut.start:,} to {cut.stop - 1:,}"
                )
            runs.append(run)
        return merge(runs)

    async def _open(self, kind: str) -> None:
        self._firsts[kind] = await self._logs.first(kind)
        self._read[kind] = await self._stack.enter_async_context(aclosing(self._logs.records(kind)))
        self._next[kind] = await anext(self._read[kind], None)


# --- what left, and what leaves again ---------------------------------------------------------------------------------


class Outputs:
    """What left, and what leaves again: for each id its step and a digest of what it says, each time that it leaves."""

    def __init__(self, shard: Shard) -> None:
        self._again, self._left = shard.state, shard.trail

    def again(self, step: int, output: Output) -> None:
        if output.kind in OUTPUTS:
            _note(self._again, step, output)

    def left(self, output: Output) -> None:
        _note(self._left, 0, output)

    def differences(self, kind: str, since: float) -> Iterator[str]:
        """Of one topic. Of its outputs up to the step `since` some have left it, or all."""
        prefix = f"{kind}\x00".encode()
        left, again = (store.scan(prefix, prefix + b"\xff" * 16) for store in (self._left, self._again))
        for key, one, other in _apart(left, again, lambda a, b: False):
            what, said, due = _shown(key[len(prefix) :]), _times(one), _times(other)
            least = sum(step > since for step, _ in due)
            if len(said) > len(due):
                yield f"{what} left, and does not leave again" if not due else f"{what} {_so_often(said, due)}"
            elif len(said) < least:
                yield f"{what} leaves again, and never left" if not said else f"{what} {_so_often(said, due)}"
            elif any(mine != theirs for (_, mine), (_, theirs) in zip(reversed(said), reversed(due), strict=False)):
                yield f"{what} left with another body"


_STEP_BYTES, _DIGEST_BYTES = 8, 16


def _note(store: Store, step: int, output: Output) -> None:
    key = _output_key(output)
    times = (store.get(key) or b"") + step.to_bytes(_STEP_BYTES) + _digest(output)
    store.apply([(key, times)], Position(0, 0))


def _times(noted: bytes | None) -> list[tuple[int, bytes]]:
    size = _STEP_BYTES + _DIGEST_BYTES
    each = (noted[at : at + size] for at in range(0, len(noted), size)) if noted else ()
    return [(int.from_bytes(one[:_STEP_BYTES]), one[_STEP_BYTES:]) for one in each]


def _output_key(output: Output) -> bytes:
    """What a message that left is known by: its topic, its id, and which part of it this is."""
    if output.kind == "dead-letter":
        why = dict(output.headers)
        names = ("topic", "partition", "offset", "code", "part")
        return b"\x00".join([output.kind.encode(), *(why.get(f"seatstream.{name}") or b"" for name in names)])
    said = _said(output)
    of = [str(said.get(name, "")) for name in ("snapshot_id", "alert_id", "state", "part")]
    return "\x00".join([output.kind, *of]).encode()


def _digest(output: Output) -> bytes:
    """Of all that a message says but how far was read when it was written."""
    said, value = _said(output), output.value
    if said.pop("as_of", None) is not None:
        value = orjson.dumps(said)
    headers = [(name, value) for name, value in output.headers if name != journal.STEP_HEADER]
    return blake2b(repr((output.key, value, headers)).encode(), digest_size=_DIGEST_BYTES).digest()


def _said(output: Output) -> dict[str, Any]:
    """The body of what we write ourselves; nothing where it is not that."""
    if output.kind == "dead-letter":
        return {}
    try:
        said = orjson.loads(output.value or b"")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _step_of(output: Output) -> int | None:
    step = dict(output.headers).get(journal.STEP_HEADER) or b""
    return int(step) if step.isdigit() else None


def _is_undelivered(output: Output) -> bool:
    return output.kind == "dead-letter" and dict(output.headers).get("seatstream.code") == b"undelivered"


# --- reading ----------------------------------------------------------------------------------------------------------


class KafkaLogs:
    """`Logs` of one partition on Kafka."""

    def __init__(self, topics: Topics, partition: int, kafka: Mapping[str, Any], progress: Progress) -> None:
        self._topics = topics
        self._partition = partition
        self._kafka = kafka
        self._progress = progress

    async def first(self, kind: str) -> int:
        place = self._place(kind)
        async with self._consumer() as consumer:
            return int((await consumer.beginning_offsets([place]))[place])

    async def records(self, kind: str, doing: str | None = None, start: int = 0) -> AsyncGenerator[Record]:
        place = self._place(kind)
        task = self._progress.add_task(f"partition {self._partition}: {doing}", total=None, visible=doing is not None)
        try:
            async with self._consumer() as consumer:
                consumer.assign([place])
                begin = max(start, (await consumer.beginning_offsets([place]))[place])
                stop = (await consumer.end_offsets([place]))[place]
                consumer.seek(place, begin)
                self._progress.update(task, total=max(stop - begin, 0))
                while (position := await consumer.position(place)) < stop:
                    self._progress.update(task, completed=position - begin)
                    for record in (await consumer.getmany(place, timeout_ms=500)).get(place, []):
                        if begin <= record.offset < stop:
                            yield Record(
                                kind,
                                record.partition,
                                record.offset,
                                record.timestamp,
                                record.key,
                                record.value,
                                record.headers,
                            )
        finally:
            self._progress.remove_task(task)

    def _consumer(self) -> Consumer:
        return Consumer(
            **self._kafka,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            # Where the log was cut off below us, it goes on where it begins now.
            auto_offset_reset="earliest",
        )

    def _place(self, kind: str) -> TopicPartition:
        return TopicPartition(self._topics.name(kind), self._partition)


# --- side by side -----------------------------------------------------------------------------------------------------

Row = tuple[bytes, bytes]


def _unlike(one: Rows, other: Rows, table: Table) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """The rows in which two stores differ, but for those that a store keeps about itself."""
    return _apart(one.scan(table, _FIRST, _END), other.scan(table, _FIRST, _END), alike)


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


def _so_often(said: Sized, due: Sized) -> str:
    return f"left {len(said)} times, and leaves again {len(due)} times"


def _shown(value: bytes | None) -> str:
    if value is None:
        return "nothing"
    said = readable(value)
    text = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in said[:200])
    return text if len(said) <= 200 else f"{text}... ({len(value):,} bytes)"
