"""The bookkeeper: facts to the ledger; refusals, snapshots and corrections out.

It carries and decides nothing: `wire.codec` reads, `ledger` folds, `streams.publishing` says which snapshots leave.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, starmap
from typing import Any, cast

import orjson

from alerts.watcher import Memory, Watcher
from ledger import instants
from ledger.facts import AnyFact, BurnVoided, CreditBurn, Topic, topic
from ledger.identities import forgotten, known_from
from ledger.instants import DAY, FOREVER, ORIGIN, Instant
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome, Refusal, Refused, Repeated, Waiting
from ledger.row import Row
from ledger.rows import Book, Breathe, Kind, instant_key, instant_of, nobody_waits, text_key
from streams.balance_snapshots import Marks
from streams.clock import Clock, check_settings
from streams.fold import UNFINISHED, Headers, Output, Record, Unfinished
from streams.metrics import Tally
from streams.moment import Moment
from streams.notes import Notes
from streams.publishing import Publisher, put_ahead
from streams.said import AHEAD, ahead_key
from streams.settings import Settings
from streams.strangers import Seat, Strangers
from streams.transactions import ROOM_BYTES
from tables.overlay import Overlay
from tables.store import CURSOR
from wire.codec import Unreadable, read
from wire.control import Tick, read_control
from wire.outputs import Source, dead_letter, threshold_alert, type_of
from wire.rules import Archived, Rule, read_rule, write_rule
from wire.topics import FORWARDED, INPUTS, OWN_MESSAGE_BYTES, Topics

log = logging.getLogger(__name__)

FACTS = frozenset({"contract-change", "seat-change", "credit-burn"})
#: So many customers are remembered to belong to a partition.
MOST_CUSTOMERS = 1_000_000
#: So many rows of customers, accounts and scopes stay at hand, of all partitions together: one to two kilobytes each.
MOST_ROWS = 30_000
#: So many subjects of a rule are looked at with one batch: a quarter of a millisecond each.
SUBJECTS_A_STEP = 250
#: So many burns age with one batch: some microseconds each.
BURNS_AGED_A_STEP = 500
#: A letter with its headers, so that it fits into a message of our own topics in any case.
LETTER_BYTES = OWN_MESSAGE_BYTES - 2 * ROOM_BYTES

#: Told of a fact's outcome.
Tell = Callable[[int, Headers, Outcome], None]


class KeptRow(Row):
    """The message of a fact that waits: should it be refused in the end, it leaves as it came."""

    kind: str
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


KEPT = Kind("state", b"P", KeptRow)


class Remembered:
    """What is remembered of a partition from batch to batch. It only saves reading rows."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.said = Marks()
        self.watched = Memory()


class Bookkeeper:
    """The fold of every partition. What it remembers beside the rows only saves work (`forget`)."""

    def __init__(self, settings: Settings, topics: Topics) -> None:
        self.topics = topics
        self._settings = settings
        #: Called with each outcome, the partition and the headers that the fact came with; it counts once that is committed.
        self.on_outcome: list[Tell] = []
        self._remembered: dict[int, Remembered] = {}
        self._placed: dict[str, int] = {}
        self._strangers = Strangers()
        #: Of the last batch of each partition.
        self._tallies: dict[int, Tally] = {}

    def __call__(
        self, partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe = nobody_waits
    ) -> Iterator[Output | Unfinished]:
        """Folds a batch. `LawBroken` goes through: it stops the partition."""
        remembered = self._remembered.get(partition)
        if remembered is None:
            remembered = self._remembered[partition] = Remembered(_ledger(self._settings, rows))
        remembered.ledger.most = MOST_ROWS // len(self._remembered)
        remembered.ledger.turn_to(rows, breathe)
        batch = _Batch(
            self._settings,
            self.topics,
            partition,
            rows,
            breathe,
            remembered,
            self._belongs,
            self._strangers,
            self._tell,
        )
        self._tallies[partition] = batch.tally
        for record in records:
            yield from batch.take(record)
            breathe()
        is_ageing = batch.age()
        yield from batch.publish()
        batch.tally.strangers = self._strangers.count(rows, batch.burned)
        if is_ageing or batch.unfinished:
            yield UNFINISHED

    def committed(self, partition: int) -> None:
        """The last batch of this partition counts."""
        tally = self._tallies.pop(partition, None)
        if tally is not None:
            tally.count()

    def forget(self, partition: int) -> None:
        """The rows of this partition may be others than those that were seen last."""
        self._remembered.pop(partition, None)
        self._tallies.pop(partition, None)

    def _tell(self, partition: int, headers: Headers, outcome: Outcome) -> None:
        for tell in self.on_outcome:
            tell(partition, headers, outcome)

    def _belongs(self, customer_id: str, partition: int) -> bool:
        placed = self._placed.get(customer_id)
        if placed is None:
            if len(self._placed) >= MOST_CUSTOMERS:
                self._placed.clear()
            placed = self._placed[customer_id] = self.topics.partition_of(customer_id.encode())
        return placed == partition


class _Batch:
    """One batch on its way through the ledger."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        partition: int,
        rows: Overlay,
        breathe: Breathe,
        remembered: Remembered,
        belongs: Callable[[str, int], bool],
        strangers: Strangers,
        tell: Tell,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._partition = partition
        self._rows = rows
        self._breathe = breathe
        self._remembered = remembered
        self._belongs = belongs
        self._strangers = strangers
        self.tally = Tally()
        self.burned: Counter[Seat] = Counter()
        self._tell = tell
        self._ledger = remembered.ledger
        self._lateness = settings.lateness_ms * 1000
        self._book = Book(rows)
        self._notes = Notes()
        self._watcher = self._watch()
        check_settings(self._book, settings.clock, self._lateness, settings.ahead_ms * 1000)
        self._clock = Clock(self._book, settings.clock)
        self._ledger.come_to(self._clock.before, settings.history_ms * 1000)
        self._inputs = {kind: f"{kind}-{partition}" for kind in INPUTS}
        #: How far each input is folded.
        self._offsets = {
            f"{kind}-{partition}": offset for kind, offset in orjson.loads(rows.get("state", CURSOR) or b"{}").items()
        }
        self._wait_over_at = self._next_wait_over()
        self._passes_at = self._next_pass()
        #: Whether it may be later by now.
        self._is_ahead_new = False
        #: Whether there is more to do than was done, even if no record comes.
        self.unfinished = False

    def take(self, record: Record) -> Iterable[Output]:
        """Folds one record; what is refused by it, or belongs elsewhere, leaves."""
        self._offsets[self._inputs[record.kind]] = record.offset + 1
        if self.tally.since_ms is None:
            self.tally.since_ms = record.timestamp_ms
        # Nearly all records are burns before anything else happens, of which nothing leaves.
        if record.kind == "credit-burn" and self._has_come_to(self._clock.told(record.timestamp_ms * 1000, None)):
            return self._fold(record)
        return self._take(record)

    def _take(self, record: Record) -> Iterator[Output]:
        said = read_control(record.value) if record.kind == "control" else None
        now = self._clock.told(record.timestamp_ms * 1000, said)
        if now > self._clock.now:
            yield from self._come_to(now)
        if isinstance(said, Refusal):
            yield from self._refuse(record, said, None)
        elif isinstance(said, Rule | Archived):
            self._watcher.rule(said, self._clock.now)
        elif isinstance(said, Tick):
            self._tell(self._partition, record.headers, Folded(result={"time": instants.text(self._clock.now)}))
        elif record.kind == "alert-rule":
            yield from self._copy(record)
        elif record.kind in FACTS:
            yield from self._fold(record)

    def _has_come_to(self, now: Instant) -> bool:
        """Whether the clock stands there by now. It is set where nothing happens by itself on the way; `_come_to` knows what
        may."""
        was = self._clock.now
        if now <= was:
            return True
        if (
            now >= self._passes_at
            or now > self._wait_over_at
            or self._is_ahead_new
            or was == ORIGIN
            or now // self._lateness > was // self._lateness
        ):
            return False
        self._move(now)
        return True

    def _move(self, now: Instant) -> None:
        self._clock.move(now)
        self._ledger.come_to(self._clock.before, self._settings.history_ms * 1000)

    def _come_to(self, now: Instant) -> Iterator[Output]:
        """Time passes: what has happened by itself since is said on top of all that was folded before."""
        passes = now >= self._passes_at
        if passes:
            yield from self.publish()
        first_word = self._clock.now == ORIGIN
        self._move(now)
        before = self._clock.before
        if not first_word and now // self._lateness > before // self._lateness:
            self._rows.drop(*forgotten(before, self._lateness))
            self._clock.forgotten = known_from(before, self._lateness)
        if passes or self._is_ahead_new:
            self._passes_at = self._next_pass()
            self._is_ahead_new = False
        if first_word:
            self._ledger.begin_waits(now)
            self._wait_over_at = self._next_wait_over()
        if now > self._wait_over_at:
            for waited, outcome in self._ledger.advance(now):
                yield from self._settled(waited, outcome)
            self._wait_over_at = self._next_wait_over()

    def _copy(self, record: Record) -> Iterator[Output]:
        """A rule reaches every partition through `control`, in order with the facts there."""
        rule = read_rule(record.key, record.value, record.headers)
        if isinstance(rule, Unreadable):
            self._tell(self._partition, record.headers, Refused(refusal=rule.refusal))
            yield from self._refuse(record, rule.refusal, rule.id)
            return
        self.tally.facts[record.kind, "folded"] += 1
        copy = write_rule(rule)
        for partition in range(self._topics.partitions):
            yield Output("control", None, copy, (), partition)
        self._tell(self._partition, record.headers, Folded(result={"archived": isinstance(rule, Archived)}))

    def _fold(self, record: Record) -> Iterable[Output]:
        fact = read(cast(Topic, record.kind), record.key, record.value, record.headers)
        if isinstance(fact, Unreadable):
            return self._refuse(record, fact.refusal, fact.id)
        if not self._belongs(fact.customer_id, self._partition):
            return self._forward(record, fact)
        outcome = self._ledger.fold(fact, self._clock.arrival(record.timestamp_ms * 1000))
        if record.headers:
            self._tell(self._partition, record.headers, outcome)
        if type(outcome) is not Folded:
            return self._not_folded(record, fact, outcome)
        self._note(fact, outcome)
        settled = self._ledger.settled()
        return chain.from_iterable(starmap(self._settled, settled)) if settled else ()

    def _not_folded(self, record: Record, fact: AnyFact, outcome: Outcome) -> Iterator[Output]:
        match outcome:
            case Refused(refusal=refusal) | Repeated(first=Refused(refusal=refusal)):
                yield from self._refuse(record, refusal, fact.id)
            case Waiting():
                self.tally.facts[record.kind, "waiting"] += 1
                self._keep(record, fact)
                self._wait_over_at = min(self._wait_over_at, self._clock.now + self._ledger.wait)
            case Repeated(differs=False):
                self.tally.facts[record.kind, "repeated"] += 1
            case Repeated():
                self.tally.facts[record.kind, "repeated"] += 1
                self.tally.differing += 1
                log.warning(
                    "%s of %s came again in %s with another body; the first one counts",
                    fact.id, fact.customer_id, record.kind,
                    extra={"fact_id": fact.id, "customer_id": fact.customer_id, "topic": record.kind},
                )  # fmt: skip

    def age(self) -> bool:
        """Lets a step of what is old enough age; whether another one is due. No fewer burns than came, so that it keeps up with
        them."""
        self._ledger.flush()
        gone, more = self._ledger.age(max(BURNS_AGED_A_STEP, self.tally.burns))
        self._ledger.flush()
        for start, end in gone:
            self._rows.drop(start, end)
        return more

    def publish(self) -> Iterator[Output]:
        """Says what has become different, as of the clock."""
        self._ledger.flush()
        self._clock.save()
        self._book.close()
        publisher = Publisher(
            Moment(self._rows, self._clock.now, self._offsets, self._breathe),
            self._notes,
            self._remembered.said,
            every=self._settings.snapshot_ms * 1000,
            # A fact may have waited, and the clock may be of another broker than its record's.
            settled_after=self._lateness + self._ledger.wait + DAY,
        )
        for message in publisher.messages():
            self.tally.snapshots[type_of(message)] += 1
            yield Output("history-snapshot", message.key, message.value, message.headers)
        for alert in self._watcher.close(self._clock.now):
            self.tally.alerts[alert.rule_id, alert.state] += 1
            message = threshold_alert(alert, self._as_of())
            yield Output("threshold-alert", message.key, message.value, message.headers)
        self.unfinished = publisher.unfinished or self._watcher.is_behind()
        self._notes, self._watcher = Notes(), self._watch()

    def _watch(self) -> Watcher:
        return Watcher(
            self._rows, self._remembered.watched, self._breathe, lateness=self._lateness, step=SUBJECTS_A_STEP
        )

    def _as_of(self) -> dict[str, Any]:
        return {"event_time": instants.text(self._clock.now), "offsets": dict(self._offsets)}

    # --- what became different ---

    def _note(self, fact: AnyFact, outcome: Folded) -> None:
        self._notes.note(fact, outcome)
        self._watcher.note(fact, outcome)
        if isinstance(fact, CreditBurn | BurnVoided):
            self.tally.burns += 1
            if isinstance(fact, CreditBurn):
                self._strangers.note(self.burned, fact)
            return
        self.tally.facts[topic(fact), "folded"] += 1
        row = self._book.load(AHEAD, ahead_key(fact.customer_id))
        if row is not None and row.next_at <= self._clock.now:
            return  # that is said first, and whoever says it looks further
        next_at = self._ledger.next_due(fact.customer_id, self._clock.now)
        put_ahead(self._book, fact.customer_id, FOREVER if next_at is None else next_at)
        self._is_ahead_new = True
        if next_at is not None and next_at < self._passes_at:
            self._passes_at = next_at

    def _next_pass(self) -> Instant:
        """When something happens by itself next to any customer."""
        for key in self._book.keys(AHEAD, b"Pn" + instant_key(self._clock.now + 1), b"Po"):
            return instant_of(key[2:10])
        return FOREVER

    # --- what waited ---

    def _settled(self, fact: AnyFact, outcome: Outcome) -> Iterator[Output]:
        key = _kept_key(fact)
        kept = self._book.load(KEPT, key)
        self._book.drop(KEPT, key)
        if isinstance(outcome, Folded):
            self._note(fact, outcome)
        elif isinstance(outcome, Refused):
            if kept is None:
                raise LookupError(f"{fact.id} of {fact.customer_id} waited, but its message was not kept")
            record = Record(
                kept.kind, self._partition, kept.offset, kept.timestamp_ms, kept.key, kept.value, kept.headers
            )
            yield from self._refuse(record, outcome.refusal, fact.id)

    def _keep(self, record: Record, fact: AnyFact) -> None:
        kept = KeptRow(record.kind, record.offset, record.timestamp_ms, record.key, record.value, list(record.headers))
        self._book.save(KEPT, _kept_key(fact), kept)

    def _next_wait_over(self) -> Instant:
        """Nothing needs to be asked before."""
        next_at = self._ledger.next_wait_over()
        return FOREVER if next_at is None else next_at

    # --- what is refused ---

    def _refuse(self, record: Record, refusal: Refusal, fact_id: str | None) -> Iterator[Output]:
        source = Source(
            self._topics.name(record.kind), record.partition, record.offset, record.timestamp_ms, record.key, record.value,
            record.headers,
        )  # fmt: skip
        self.tally.facts[record.kind, "refused"] += 1
        self.tally.refusals[refusal.code] += 1
        for letter in dead_letter(source, refusal, fact_id, LETTER_BYTES):
            yield Output("dead-letter", letter.key, letter.value, letter.headers)

    def _forward(self, record: Record, fact: AnyFact) -> Iterator[Output]:
        """A fact is folded where its customer is; from there, it would be folded twice."""
        right = self._topics.partition_of(fact.customer_id.encode())
        if any(name == FORWARDED for name, _ in record.headers):
            message = (
                f"customer_id {fact.customer_id!r} belongs to partition {right}, but this was forwarded to partition"
                f" {self._partition}; were partitions added to the topics? Their number may not change"
            )
            yield from self._refuse(
                record, Refusal(code="unknown_value", field="customer_id", message=message, law="L19"), fact.id
            )
            return
        self.tally.facts[record.kind, "forwarded"] += 1
        headers = [*record.headers, (FORWARDED, b"%d" % self._partition)]
        yield Output(record.kind, fact.customer_id.encode(), record.value, headers, right)


def _ledger(settings: Settings, rows: Overlay) -> Ledger:
    return Ledger(
        rows,
        lateness=settings.lateness_ms * 1000,
        ahead=settings.ahead_ms * 1000,
        wait=settings.wait_ms * 1000,
    )


def _kept_key(fact: AnyFact) -> bytes:
    return b"Pw" + text_key(fact.customer_id) + text_key(topic(fact)) + text_key(fact.id)
