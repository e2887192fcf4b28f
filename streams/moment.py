"""The end of a batch: its clock, how far was read, and what the ledger answers about it."""

from collections.abc import Mapping

from ledger import history, instants
from ledger.answers import Balance
from ledger.instants import FOREVER, Instant
from ledger.outcome import Scope
from ledger.rows import Book, Breathe, Rows, nobody_waits
from streams.asking import Asked
from wire.outputs import Occasion


class Moment:
    """`rows` hold everything folded. Each question is asked once, and before each `breathe` is called."""

    def __init__(self, rows: Rows, clock: Instant, offsets: Mapping[str, int], breathe: Breathe = nobody_waits) -> None:
        self._rows = rows
        self.clock = clock
        self._breathe = breathe
        self._offsets = offsets
        self._asked: dict[tuple[str, Instant], Asked] = {}

    def book(self) -> Book:
        """The rows as they are by now."""
        return Book(self._rows, self._breathe)

    def ask(self, customer_id: str, at: Instant) -> Asked:
        self._breathe()
        asked = self._asked.get((customer_id, at))
        if asked is None:
            asked = self._asked[customer_id, at] = Asked(self._rows, customer_id, at, self._breathe)
        return asked

    def balance(self, scope: Scope, at: Instant) -> Balance:
        return self.ask(scope.customer_id, at).balance(scope)

    def next_due(self, customer_id: str, after: Instant) -> Instant:
        """When something happens next by itself to what a customer has (L17)."""
        self._breathe()
        at = history.next_due(self.book(), customer_id, after)
        return FOREVER if at is None else at

    def occasion(
        self, customer_id: str, contract_id: str | None, time: Instant, cause: tuple[str, str], at: Instant
    ) -> Occasion:
        """`at`: as of when the numbers are."""
        return Occasion(
            customer_id=customer_id, contract_id=contract_id, time=time, cause_type=cause[0], cause_id=cause[1],
            as_of={"event_time": instants.text(at), "offsets": dict(self._offsets)},
        )  # fmt: skip
