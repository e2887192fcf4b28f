"""The promise broken on purpose, one step at a time: each of these must turn a campaign red.

Applied to a worker from the outside (`install`), around its points (tests/faults/points.py), so that it can be killed in the
middle of what was broken. Each names the faults that can show it; tests/faults/README.md says what was seen.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from aiokafka import AIOKafkaProducer, TopicPartition

from streams import hands
from streams.batches import ChunkConsumer, ChunkThread
from streams.hands import Hand, Hands
from streams.intake import Chunk, Fetched
from streams.transactions import Writer
from tables import restoring
from tables.shard import TABLES, Shard
from tables.store import POSITION, Position, Store
from tests.faults import points
from tests.faults.points import put
from wire.topics import INPUTS, OUTPUTS, OWN_MESSAGE_BYTES

#: Where the rows of alerts begin that say how things stand (alerts/rows.py).
STATES: Final = b"As"


class Break(NamedTuple):
    """`faults`: what can show it, as `python -m tests.faults --only` takes it; `workers`: to how many it has to happen."""

    apply: Callable[[], None]
    faults: tuple[str, ...]
    workers: tuple[str, ...] = ("a", "b")


def install(name: str | None) -> None:
    if name:
        BREAKS[name].apply()


def _nobody_is_fenced() -> None:
    """The transactional id belongs to the worker, not to the partition."""
    start = Writer.start

    async def start_as_nobody(self: Writer) -> None:
        self._producer._txn_manager.transactional_id += f"-{uuid.uuid4()}"
        await start(self)

    put(Writer, "start", start_as_nobody)


def _writers_start_late() -> None:
    """A new owner starts its writers after it has read the changelogs, with its first chunk."""
    start, commit = Writer.start, Writer.commit
    started: WeakSet[Writer] = WeakSet()

    async def not_yet(self: Writer) -> None: ...

    async def commit_at_last(self: Writer, *args: Any) -> Any:
        if self not in started:
            started.add(self)
            await start(self)
        return await commit(self, *args)

    put(Writer, "start", not_yet)
    put(Writer, "commit", commit_at_last)


def _disk_before_kafka() -> None:
    """The rows are on the disk before the transaction."""
    shards: dict[int, Shard] = {}
    work, commit = Hands._work, Writer.commit

    async def work_on(self: Hands, hand: Hand, chunk: Chunk) -> None:
        shards[chunk.partition] = hand.shard
        await work(self, hand, chunk)

    async def write_and_commit(self: Writer, entry: Any, rows: Any, outputs: Any) -> Any:
        for table in TABLES:
            store = shards[self.partition].table(table)
            store.apply(rows[table].items(), store.position() or Position(0, 0))
        return await commit(self, entry, rows, outputs)

    put(Hands, "_work", work_on)
    put(Writer, "commit", write_and_commit)


def _a_fetch_outlives_a_seek() -> None:
    """What was fetched before a seek is taken in after it."""
    fetch = ChunkThread.fetch
    before: list[Fetched] = [Fetched({}, {}, {})]

    async def fetch_late(self: ChunkThread, *args: Any) -> Fetched:
        before.append(await fetch(self, *args))
        return before.pop(0)

    put(ChunkThread, "fetch", fetch_late)


def _offsets_of_the_group() -> None:
    """Where folding starts is read from the group, which is told after the transaction."""
    start_at = ChunkConsumer.start_at

    async def start_where_it_says(self: ChunkConsumer, cursors: Mapping[int, Any], unfinished: Any) -> Any:
        told = self._thread._ensure_consumer().committed
        theirs = {
            partition: {
                kind: await self._thread.call_thread(told, TopicPartition(self.topics.name(kind), partition))
                for kind in INPUTS
            }
            for partition in cursors
        }
        return await start_at(self, theirs, unfinished)

    put(ChunkConsumer, "start_at", start_where_it_says)


def _position_before_rows() -> None:
    """How far a store holds its changelog is written before its rows."""
    apply = Store.apply

    def apply_apart(self: Store, rows: Iterable[tuple[bytes, bytes | None]], position: Position) -> None:
        self._db.put(POSITION, b"%d %d" % position)
        points.reach("position written")
        apply(self, rows, position)

    put(Store, "apply", apply_apart)


def _outputs_beside_the_transaction(kinds: Collection[str] = OUTPUTS) -> None:
    """Alerts, snapshots and dead letters leave by a producer of their own."""
    commit = Writer.commit
    producers: dict[int, AIOKafkaProducer] = {}

    async def send_and_commit(self: Writer, entry: Any, rows: Any, outputs: Any) -> Any:
        if self.partition not in producers:
            producers[self.partition] = AIOKafkaProducer(
                **self._kafka_of_tests,  # type: ignore[attr-defined]
                max_request_size=OWN_MESSAGE_BYTES,
            )
            await producers[self.partition].start()
        for output in outputs:
            if output.kind in kinds:
                await producers[self.partition].send_and_wait(
                    self._topics.name(output.kind),
                    output.value,
                    key=output.key,
                    headers=list(output.headers),
                    partition=self.partition if output.partition is None else output.partition,
                )
        return await commit(self, entry, rows, [output for output in outputs if output.kind not in kinds])

    init = Writer.__init__

    def init_and_keep(self: Writer, partition: int, topics: Any, group: str, kafka: Any) -> None:
        init(self, partition, topics, group, kafka)
        self._kafka_of_tests = kafka  # type: ignore[attr-defined]

    put(Writer, "__init__", init_and_keep)
    put(Writer, "commit", send_and_commit)


def _alerts_beside_the_transaction() -> None:
    """Alerts leave by a producer of their own."""
    _outputs_beside_the_transaction(["threshold-alert"])


def _alert_rows_left_behind() -> None:
    """What was said of a crossing is on the disk, and in no changelog."""
    commit = Writer.commit

    async def commit_without(self: Writer, entry: Any, rows: Any, outputs: Any) -> Any:
        state = {key: value for key, value in rows["state"].items() if not key.startswith(STATES)}
        return await commit(self, entry, {**rows, "state": state}, outputs)

    put(Writer, "commit", commit_without)


def _changelogs_read_uncommitted() -> None:
    """A new owner believes what a transaction wrote that never was committed."""
    consumer = vars(restoring)["Consumer"]

    def believing(**settings: Any) -> Any:
        return consumer(**{**settings, "isolation_level": "read_uncommitted"})

    put(restoring, "Consumer", believing)


def _trail_left_behind() -> None:
    """Only the state is brought to the end of its changelog."""
    restore = vars(hands)["restore"]

    class Half:
        def __init__(self, shard: Shard) -> None:
            self.partition, self.table = shard.partition, lambda table: shard.state

    async def restore_half(shards: Any, changelogs: Mapping[Any, str], *args: Any) -> Any:
        return await restore([Half(shard) for shard in shards], dict.fromkeys(TABLES, changelogs["state"]), *args)

    put(hands, "restore", restore_half)


def _empty_disks_are_believed() -> None:
    """A store that has begun anew, as after it was wiped or set aside, reads only what comes from now on."""
    start = vars(restoring)["_start"]

    def start_now(store: Store, first: int, end: int, now_ms: int) -> int:
        at: int = end if store.position() is None else start(store, first, end, now_ms)
        return at

    put(restoring, "_start", start_now)


BREAKS: Final[Mapping[str, Break]] = {
    "nobody is fenced": Break(_nobody_is_fenced, ("pause:some rows sent", "pause:rows sent")),
    "writers start late": Break(_writers_start_late, ("heir",)),
    "disk before Kafka": Break(_disk_before_kafka, ("die:begun", "die:rows sent"), ("a",)),
    "a fetch outlives a seek": Break(_a_fetch_outlives_a_seek, ("guest", "restart")),
    "offsets of the group": Break(_offsets_of_the_group, ("die:committed",)),
    "position before rows": Break(_position_before_rows, ("die:position written",)),
    "outputs beside the transaction": Break(_outputs_beside_the_transaction, ("die:rows sent",)),
    "alerts beside the transaction": Break(_alerts_beside_the_transaction, ("die:rows sent",)),
    "alert rows left behind": Break(_alert_rows_left_behind, ("wipe",), ("a",)),
    "changelogs read uncommitted": Break(_changelogs_read_uncommitted, ("die:some rows sent", "die:rows sent")),
    "trail left behind": Break(_trail_left_behind, ("wipe",)),
    "empty disks are believed": Break(_empty_disks_are_believed, ("wipe",), ("a",)),
}
