"""What Prometheus is told of a worker.

What was folded is counted when it is committed, so that a batch that is folded again counts once: a batch carries its own
`Tally`. How things stand is looked up when somebody asks (streams/lookout.py). No label ever has a value of a customer's.
"""

import time
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from streams.fold import Record

# They would say when each series began, which nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: A batch folds and commits within milliseconds, unless much has to be played again.
_WORK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
#: Half of the events should be committed within 100 ms, nearly all within 250; what is behind may be so by an hour.
_EVENT_S: Final = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0)

#: So many rules have a series of their own.
RULES_MOST: Final = 1_000
_OTHERS: Final = "(others)"
_rules: set[str] = set()

FACTS = Counter(
    "seatstream_facts_total",
    "Facts by what became of them: folded, repeated, waiting, refused, forwarded.",
    ["topic", "outcome"],
)
REFUSALS = Counter(
    "seatstream_refusals_total", "Facts and messages that were refused, by the code of the refusal.", ["code"]
)
DIFFERING = Counter(
    "seatstream_differing_repeats_total", "Facts that came again with another body; the first one counts."
)
SNAPSHOTS = Counter("seatstream_snapshots_total", "Messages of history-snapshot, corrections among them.", ["type"])
STRANGERS = Counter("seatstream_unassigned_burns_total", "Burns of seats that were never assigned to anybody.")
LOST = Counter("seatstream_lost_transactions_total", "Transactions that did not end in a commit that we know of.")
ALERTS = Counter(
    "seatstream_alerts_total",
    f"Alerts by rule and state; beyond {RULES_MOST:,} rules, of all others together.",
    ["rule", "state"],
)
WEBHOOK_TRIES = Counter(
    "seatstream_webhook_tries_total", "Alerts sent to webhooks, each try: delivered or failed.", ["outcome"]
)
WEBHOOKS_DEAD = Counter("seatstream_webhooks_dead_total", "Alerts that no webhook took in time; they are dead letters.")
WEBHOOK_OLDEST = Gauge(
    "seatstream_webhook_oldest_undelivered_seconds", "Age of the oldest alert that is on its way to a webhook."
)
FOLD = Histogram("seatstream_fold_seconds", "How long a batch takes to fold.", buckets=_WORK_S)
COMMIT = Histogram("seatstream_commit_seconds", "How long the transaction of a batch takes.", buckets=_WORK_S)


class Tally:
    """What a batch did, until it is committed."""

    def __init__(self) -> None:
        self.facts: Counts[tuple[str, str]] = Counts()
        self.refusals: Counts[str] = Counts()
        self.snapshots: Counts[str] = Counts()
        self.alerts: Counts[tuple[str, str]] = Counts()
        #: The broker's append of the first record (ms), None where there was none.
        self.since_ms: int | None = None
        #: Facts of credit-burn that were folded: nearly all that there are.
        self.burns = 0
        self.differing = 0
        self.strangers = 0

    def count(self) -> None:
        """It is committed."""
        for (topic, outcome), number in self.facts.items():
            FACTS.labels(topic, outcome).inc(number)
        if self.burns:
            FACTS.labels("credit-burn", "folded").inc(self.burns)
        for code, number in self.refusals.items():
            REFUSALS.labels(code).inc(number)
        for kind, number in self.snapshots.items():
            SNAPSHOTS.labels(kind).inc(number)
        for (rule_id, state), number in self.alerts.items():
            if len(_rules) < RULES_MOST:
                _rules.add(rule_id)
            ALERTS.labels(rule_id if rule_id in _rules else _OTHERS, state).inc(number)
        if self.alerts and self.since_ms is not None:
            ALERT.observe([self.since_ms] * self.alerts.total(), time.time_ns() // 1_000_000)
        DIFFERING.inc(self.differing)
        STRANGERS.inc(self.strangers)


class Latency(Collector):
    """A histogram that takes a whole batch at once."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._documentation, self._buckets = name, documentation, buckets
        self._within = [0] * len(buckets)
        self._count, self._sum_ms = 0, 0
        registry.register(self)

    def observe(self, times_ms: list[int], now_ms: int) -> None:
        """Events of these times, in order, are over now."""
        for number, bucket in enumerate(self._buckets):
            self._within[number] += len(times_ms) - bisect_left(times_ms, now_ms - bucket * 1000)
        self._count += len(times_ms)
        # Our clock may be behind the broker's, and a sum never falls.
        self._sum_ms += max(0, now_ms * len(times_ms) - sum(times_ms))

    @property
    def count(self) -> int:
        return self._count

    def within(self) -> dict[float, int]:
        """How many took so long at most, by seconds."""
        return dict(zip(self._buckets, self._within, strict=True))

    def collect(self) -> Iterator[Metric]:
        buckets = [*zip(map(floatToGoString, self._buckets), map(float, self._within), strict=True)]
        yield HistogramMetricFamily(
            self._name, self._documentation, buckets=[*buckets, ("+Inf", self._count)], sum_value=self._sum_ms / 1000
        )


EVENT = Latency(
    "seatstream_event_to_commit_seconds",
    "From the broker's append of a fact or tick to the commit of what follows from it, by both clocks.",
    _EVENT_S,
    REGISTRY,
)


ALERT = Latency(
    "seatstream_event_to_alert_seconds",
    "From the broker's append of the first record of a batch to the commit of the alerts that it caused.",
    _EVENT_S,
    REGISTRY,
)


def committed(records: Iterable[Record], fold_s: float, commit_s: float) -> None:
    """A batch is committed."""
    FOLD.observe(fold_s)
    COMMIT.observe(commit_s)
    # Records were merged by their append times.
    EVENT.observe([record.timestamp_ms for record in records], time.time_ns() // 1_000_000)
