"""Facts that name what is not known yet wait for it in the state, bounded in number and time (L19)."""

import msgspec

from ledger.contracts import CUSTOMER, CountRow, CustomerRow, customer, customer_key
from ledger.facts import AnyFact
from ledger.identities import Identities
from ledger.instants import ORIGIN, Instant
from ledger.outcome import Outcome, Refusal, Refused, Waiting
from ledger.partition import Missing
from ledger.rows import instant_key, instant_of, number_key, text_key
from ledger.waiting_rows import DUE, WAITING, WAITING_COUNT, DueRow, WaitingRow

_encode = msgspec.json.Encoder().encode


class WaitingRoom(Identities):
    """A ledger that lets facts wait."""

    def next_wait_over(self) -> Instant | None:
        """When the first wait is over: at any instant after it, `advance` has something to say. None: nothing waits."""
        for key in self.book.keys(DUE, b"U", b"V"):
            return instant_of(key[1:9])
        return None

    def begin_waits(self, now: Instant) -> None:
        """The first word of a clock: what began to wait before any begins now."""
        for due_key, due in list(self.book.scan(DUE, b"U", b"U" + instant_key(ORIGIN + self.wait + 1))):
            waiting = self.book.load(WAITING, due.waiting_key)
            assert waiting is not None
            waiting.due_key = b"U" + instant_key(now + self.wait) + due_key[9:]
            self.book.save(WAITING, due.waiting_key, waiting)
            self.book.save(DUE, waiting.due_key, due)
            self.book.drop(DUE, due_key)

    def _start_waiting(self, who: CustomerRow, fact: AnyFact, arrived_at: Instant, missing: Missing) -> Outcome:
        if fact.on_unknown == "refuse":
            return Refused(refusal=missing.refusal)
        counted = self.book.load(WAITING_COUNT, b"#waiting") or CountRow(0)
        turn = self.book.load(WAITING_COUNT, b"#turn") or CountRow(0)
        if who.waiting >= self.wait_customer or counted.count >= self.wait_partition:
            refusal = Refusal(
                code="waiting_full", field=missing.refusal.field, message=missing.refusal.message, law="L19"
            )
            return Refused(refusal=refusal)
        who.waiting += 1
        counted.count += 1
        turn.count += 1
        self.book.save(CUSTOMER, customer_key(fact.customer_id), who)
        self.book.save(WAITING_COUNT, b"#waiting", counted)
        self.book.save(WAITING_COUNT, b"#turn", turn)
        self._put_waiting(who, fact, arrived_at, missing, turn.count)
        return Waiting(message=missing.refusal.message, code=missing.refusal.code)

    def _put_waiting(self, who: CustomerRow, fact: AnyFact, arrived_at: Instant, missing: Missing, turn: int) -> None:
        key = b"W" + number_key(who.number) + text_key(missing.wakes) + turn.to_bytes(8, "big")
        due_key = b"U" + instant_key(arrived_at + self.wait) + turn.to_bytes(8, "big")
        row = WaitingRow(msgspec.Raw(_encode(fact)), arrived_at, missing.refusal.code, missing.refusal.message, due_key)
        self.book.save(WAITING, key, row)
        self.book.save(DUE, due_key, DueRow(fact.customer_id, key))

    def _stop_waiting(self, customer_id: str, key: bytes, due_key: bytes) -> None:
        who = customer(self.book, customer_id)
        who.waiting -= 1
        self.book.save(CUSTOMER, customer_key(customer_id), who)
        counted = self.book.load(WAITING_COUNT, b"#waiting") or CountRow(1)
        counted.count -= 1
        self.book.save(WAITING_COUNT, b"#waiting", counted)
        self.book.drop(WAITING, key)
        self.book.drop(DUE, due_key)
