"""How things stand with the partitions of this worker, for Prometheus, at the moment of asking."""

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple, Protocol

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
from tables.overlay import Overlay, Table
from tables.shard import TABLES, Shard, Shards
from tables.store import Size

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
        yield from self._folding()
        yield from self._kept()
        done, left = self._app.hands.restored
        yield GaugeMetricFamily("seatstream_restored_rows", "Changelog rows applied since partitions came last.", done)
        yield GaugeMetricFamily("seatstream_restore_remaining_rows", "Changelog rows still to be applied, about.", left)

    def _folding(self) -> Iterator[Metric]:
        stopped = self._app.hands.stopped()
        lag = _gauge("lag_records", "Records of an input that are not folded yet.", "topic", "partition")
        still = _gauge("stopped_partitions", "1 where a partition stands still, and the log says why.", "partition")
        for partition, cursor in self._app.hands.cursors().items():
            still.add_metric([str(partition)], partition in stopped)
            for topic, (_, end) in self._app.intake.waiting(partition).items():
                lag.add_metric([topic, str(partition)], max(0, (end or 0) - cursor[topic]))
        yield from (lag, still)

    def _kept(self) -> Iterator[Metric]:
        """What the rows say."""
        waiting = _gauge("waiting_facts", "Facts that wait for what they name.", "partition")
        overdue = _gauge("overdue_timers", "Customers to whom something happened that is not said yet.", "partition")
        clock = _gauge("clock_timestamp_seconds", "What time it is for a partition.", "partition")
        rows = _gauge("table_rows", "Rows in the tables of this worker, about.", "table")
        sizes = _gauge("table_size_bytes", "What tables of this worker take on the disk and in write buffers.", "table")
        shards = map(self._app.shards.get, self._app.hands.cursors())
        looks = [look for shard in shards if shard is not None if (look := _look(shard)) is not None]
        for look in looks:
            waiting.add_metric([look.partition], look.waiting)
            overdue.add_metric([look.partition], look.overdue)
            if look.now != ORIGIN:
                clock.add_metric([look.partition], look.now / SECOND)
        for table in TABLES:
            rows.add_metric([table], sum(look.sizes[table].rows for look in looks))
            sizes.add_metric([table], sum(look.sizes[table].bytes for look in looks))
        yield from (waiting, overdue, clock, rows, sizes)


class _Look(NamedTuple):
    """A partition's rows, looked at."""

    partition: str
    now: Instant
    waiting: int
    overdue: int
    sizes: dict[Table, Size]


def _look(shard: Shard) -> _Look | None:
    """None where the disk does not answer: that must not take away the metrics that say so."""
    try:
        book = Book(Overlay(shard))
        clock, waiting = book.load(CLOCK, CLOCK_KEY), book.load(WAITING_COUNT, b"#waiting")
        now = ORIGIN if clock is None else clock.now
        overdue = sum(1 for _ in islice(book.keys(AHEAD, b"Pn", b"Pn" + instant_key(now + 1)), MOST_OVERDUE))
        sizes = {table: shard.table(table).size() for table in TABLES}
    except Exception:
        return None
    return _Look(str(shard.partition), now, 0 if waiting is None else waiting.count, overdue, sizes)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"seatstream_{name}", documentation, labels=labels)
