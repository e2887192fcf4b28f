"""How things stand with the partitions of this worker, for Prometheus, at the moment of asking."""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ledger.instants import ORIGIN, SECOND, Instant
from ledger.rows import Book, instant_key
from ledger.waiting_rows import WAITING_COUNT
from streams.clock import CLOCK, CLOCK_KEY
from streams.hands import Hands
from streams.intake import Intake
from streams.said import AHEAD
from tables.overlay import Overlay
from tables.shard import TABLES, Shard, Shards

#: More overdue timers than these are not counted one by one.
MOST_OVERDUE: Final = 10_000


class Watched(Protocol):
    """What is looked at in an app (streams/app.py)."""

    hands: Hands
    intake: Intake
    shards: Shards


class Lookout(Collector):
    """Registered while its worker runs."""

    def __init__(self, app: Watched) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        cursors, stopped = self._app.hands.cursors(), self._app.hands.stopped()
        lag = _gauge("lag_records", "Records of an input that are not folded yet.", "topic", "partition")
        still = _gauge("stopped_partitions", "1 where a partition stands still, and the log says why.", "partition")
        waiting = _gauge("waiting_facts", "Facts that wait for what they name.", "partition")
        overdue = _gauge("overdue_timers", "Customers to whom something happened that is not said yet.", "partition")
        clock = _gauge("clock_timestamp_seconds", "What time it is for a partition.", "partition")
        for partition, cursor in cursors.items():
            label = str(partition)
            still.add_metric([label], partition in stopped)
            for topic, (_, end) in self._app.intake.waiting(partition).items():
                lag.add_metric([topic, label], max(0, (end or 0) - cursor[topic]))
            shard = self._app.shards.get(partition)
            if shard is not None:
                now = _now(shard)
                waiting.add_metric([label], _waiting(shard))
                overdue.add_metric([label], _overdue(shard, now))
                if now != ORIGIN:
                    clock.add_metric([label], now / SECOND)
        yield from (lag, still, waiting, overdue, clock)
        yield from self._tables(cursors)
        yield from self._recovery()

    def _tables(self, partitions: Iterable[int]) -> Iterator[Metric]:
        rows = _gauge("table_rows", "Rows in the tables of this worker, about.", "table")
        sizes = _gauge(
            "table_size_bytes", "What the tables of this worker take on the disk and in write buffers.", "table"
        )
        shards = [shard for shard in map(self._app.shards.get, partitions) if shard is not None]
        for table in TABLES:
            found = [shard.table(table).size() for shard in shards]
            rows.add_metric([table], sum(size.rows for size in found))
            sizes.add_metric([table], sum(size.bytes for size in found))
        yield from (rows, sizes)

    def _recovery(self) -> Iterator[Metric]:
        done, left = self._app.hands.restored
        yield GaugeMetricFamily("seatstream_restored_rows", "Changelog rows applied since partitions came last.", done)
        yield GaugeMetricFamily("seatstream_restore_remaining_rows", "Changelog rows still to be applied, about.", left)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"seatstream_{name}", documentation, labels=labels)


def _now(shard: Shard) -> Instant:
    row = Book(Overlay(shard)).load(CLOCK, CLOCK_KEY)
    return ORIGIN if row is None else row.now


def _waiting(shard: Shard) -> int:
    row = Book(Overlay(shard)).load(WAITING_COUNT, b"#waiting")
    return 0 if row is None else row.count


def _overdue(shard: Shard, now: Instant) -> int:
    count = 0
    for _ in Book(Overlay(shard)).keys(AHEAD, b"Pn", b"Pn" + instant_key(now + 1)):
        count += 1
        if count == MOST_OVERDUE:
            break
    return count
