"""The bookkeeper: facts to the ledger; refusals, snapshots and corrections out.

It carries and decides nothing: `wire.codec` reads, `ledger` folds, `streams.publishing` says which snapshots leave.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from ledger.facts import AnyFact, Topic, topic
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome, Refusal, Refused, Repeated, Waiting
from ledger.row import Row
from ledger.rows import Book, Breathe, Kind, nobody_waits, text_key
from streams.balance_snapshots import Marks
from streams.fold import Output, Record
from streams.moment import Moment
from streams.notes import Notes
from streams.publishing import Publisher
from streams.settings import Settings
from streams.transactions import ROOM_BYTES
from tables.overlay import Overlay
from wire.codec import Unreadable, read
from wire.outputs import Message, Source, dead_letter
from wire.topics import OWN_MESSAGE_BYTES, Topics

log = logging.getLogger(__name__)

FACTS = frozenset({"contract-change", "seat-change", "credit-burn"})
#: So many customers are remembered to belong to a partition.
MOST_CUSTOMERS = 1_000_000
#: A letter with its headers, so that it fits into a message of our own topics in any case.
LETTER_BYTES = OWN_MESSAGE_BYTES - 2 * ROOM_BYTES


class ClockRow(Row):
    now: Instant


class KeptRow(Row):
    """The message of a fact that waits: should it be refused in the end, it leaves as it came."""

    kind: str
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


CLOCK = Kind("state", b"P", ClockRow)
KEPT = Kind("state", b"P", KeptRow)
_CLOCK_KEY = b"Pk"


class Bookkeeper:
    """The fold of every partition. What it remembers beside the rows only saves work (`forget`)."""

    def __init__(self, settings: Settings, topics: Topics) -> None:
        self.topics = topics
        self._lateness = settings.lateness_ms * 1000
        self._ahead = settings.ahead_ms * 1000
        self._wait = settings.wait_ms * 1000
        self._snapshot = settings.snapshot_ms * 1000
        self._marks: dict[int, Marks] = {}
        self._placed: dict[str, int] = {}

    def __call__(
        self, partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe = nobody_waits
    ) -> Iterator[Output]:
        """Folds a batch. `LawBroken` goes through: it stops the partition."""
        ledger = Ledger(rows, breathe, lateness=self._lateness, ahead=self._ahead, wait=self._wait)
        notes = Notes()
        batch = _Batch(ledger, Book(rows), notes, partition, self.topics, self._belongs)
        for record in records:
            for message in batch.take(record):
                yield Output("dead-letter", message.key, message.value, message.headers)
            breathe()
        ledger.flush()
        batch.close()
        as_of = {f"{record.kind}-{partition}": record.offset + 1 for record in records}
        marks = self._marks.setdefault(partition, Marks())
        moment = Moment(rows, batch.clock, as_of, breathe)
        for snapshot in Publisher(moment, notes, marks, every=self._snapshot, lateness=self._lateness).messages():
            yield Output("history-snapshot", snapshot.key, snapshot.value, snapshot.headers)

    def forget(self, partition: int) -> None:
        """The rows of this partition may be others than those that were seen last."""
        self._marks.pop(partition, None)

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
        ledger: Ledger,
        book: Book,
        notes: Notes,
        partition: int,
        topics: Topics,
        belongs: Callable[[str, int], bool],
    ) -> None:
        self.ledger = ledger
        self.book = book
        self.notes = notes
        self.partition = partition
        self.topics = topics
        self.belongs = belongs
        kept = book.load(CLOCK, _CLOCK_KEY)
        #: The partition's event time: the largest append time so far.
        self.clock = kept.now if kept is not None else ORIGIN
        self._wait_over_at = self._next_wait_over()

    def take(self, record: Record) -> Iterator[Message]:
        """Folds one record; what is refused by it leaves."""
        now = _instant_of(record)
        if now > self.clock:
            self.clock = now
            if now > self._wait_over_at:
                for waited, outcome in self.ledger.advance(now):
                    yield from self._settled(waited, outcome)
                self._wait_over_at = self._next_wait_over()
        # Rules (`alert-rule`) and ticks (`control`) are not folded yet; until then only their append time counts.
        if record.kind not in FACTS:
            return
        fact = read(cast(Topic, record.kind), record.key, record.value, record.headers)
        if isinstance(fact, Unreadable):
            yield from self._refuse(record, fact.refusal, fact.id)
            return
        if not self.belongs(fact.customer_id, self.partition):
            # To come: it is forwarded to the partition where its customer is folded. Here it would be folded twice.
            yield from self._refuse(record, self._astray(fact), fact.id)
            return
        outcome = self.ledger.fold(fact, now)
        match outcome:
            case Folded():
                self.notes.note(fact, outcome)
                for waited, what in self.ledger.settled():
                    yield from self._settled(waited, what)
            case Refused(refusal=refusal) | Repeated(first=Refused(refusal=refusal)):
                yield from self._refuse(record, refusal, fact.id)
            case Waiting():
                self._keep(record, fact)
                self._wait_over_at = min(self._wait_over_at, now + self.ledger.wait)
            case Repeated(differs=True):
                log.warning(
                    "%s of %s came again in %s with another body; the first one counts",
                    fact.id, fact.customer_id, record.kind,
                )  # fmt: skip

    def close(self) -> None:
        self.book.save(CLOCK, _CLOCK_KEY, ClockRow(self.clock))
        self.book.close()

    # --- what waited ---

    def _settled(self, fact: AnyFact, outcome: Outcome) -> Iterator[Message]:
        key = _kept_key(fact)
        kept = self.book.load(KEPT, key)
        self.book.drop(KEPT, key)
        if isinstance(outcome, Folded):
            self.notes.note(fact, outcome)
        elif isinstance(outcome, Refused):
            if kept is None:
                raise LookupError(f"{fact.id} of {fact.customer_id} waited, but its message was not kept")
            record = Record(
                kept.kind, self.partition, kept.offset, kept.timestamp_ms, kept.key, kept.value, kept.headers
            )
            yield from self._refuse(record, outcome.refusal, fact.id)

    def _keep(self, record: Record, fact: AnyFact) -> None:
        kept = KeptRow(record.kind, record.offset, record.timestamp_ms, record.key, record.value, list(record.headers))
        self.book.save(KEPT, _kept_key(fact), kept)

    def _next_wait_over(self) -> Instant:
        """Nothing needs to be asked before."""
        next_at = self.ledger.next_wait_over()
        return FOREVER if next_at is None else next_at

    # --- what is refused ---

    def _refuse(self, record: Record, refusal: Refusal, fact_id: str | None) -> list[Message]:
        source = Source(
            self.topics.name(record.kind), record.partition, record.offset, record.timestamp_ms, record.key, record.value,
            record.headers,
        )  # fmt: skip
        return dead_letter(source, refusal, fact_id, LETTER_BYTES)

    def _astray(self, fact: AnyFact) -> Refusal:
        right = self.topics.partition_of(fact.customer_id.encode())
        return Refusal(
            code="unknown_value",
            field="customer_id",
            message=f"customer_id {fact.customer_id!r} belongs to partition {right}, but this came in partition"
            f" {self.partition}; use the customer_id as the key, and Kafka's default partitioner (murmur2)",
            law="L19",
        )


def _instant_of(record: Record) -> Instant:
    """When a record says it is. Ticks on `control` will say it under SEATSTREAM_CLOCK=topic; else, the broker's clock."""
    return record.timestamp_ms * 1000


def _kept_key(fact: AnyFact) -> bytes:
    return b"Pw" + text_key(fact.customer_id) + text_key(topic(fact)) + text_key(fact.id)
