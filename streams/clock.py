"""What time it is for a partition: time is an event (L17), and the fold reads no other clock."""

from typing import Literal

from ledger.instants import ORIGIN, Instant
from ledger.row import Row
from ledger.rows import Book, Kind
from wire.control import Tick


class ClockRow(Row):
    now: Instant


CLOCK = Kind("state", b"P", ClockRow)
CLOCK_KEY = b"Pk"


class Clock:
    """A partition's clock. It never goes back.

    "system": the latest of the broker's append times, which ticks keep moving where nobody says anything. "topic": the
    latest tick's own time, whenever it was written; `ORIGIN` before the first one.
    """

    def __init__(self, book: Book, source: Literal["system", "topic"]) -> None:
        self._book = book
        self._source = source
        kept = book.load(CLOCK, CLOCK_KEY)
        self.now = self._kept = ORIGIN if kept is None else kept.now

    def told(self, appended_at: Instant, said: object) -> Instant:
        """What time a record says that it is; `said`: what one of `control` says."""
        if self._source == "system":
            return appended_at
        return said.time if isinstance(said, Tick) else self.now

    def arrival(self, appended_at: Instant) -> Instant:
        """When a record that is folded now arrived (L16)."""
        return appended_at if self._source == "system" else self.now

    def save(self) -> None:
        if self.now != self._kept:
            self._book.save(CLOCK, CLOCK_KEY, ClockRow(self.now))
            self._kept = self.now
