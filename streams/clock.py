"""What time it is for a partition: time is an event (L17), and the fold reads no other clock."""

from typing import Literal

from ledger.instants import DAY, ORIGIN, SECOND, Instant, Span
from ledger.row import Row
from ledger.rows import Book, Kind
from wire.control import Tick


class ClockRow(Row):
    """Where the clock stands, where it stood before it moved last, and which identities it has let go: those that were known
    until before `forgotten`."""

    now: Instant
    before: Instant = ORIGIN
    forgotten: Instant = ORIGIN


class ObeyedRow(Row):
    """What the rows were folded with. Clock and lateness may not change: identities are kept by the lateness bound, and one clock
    cannot be compared with another. `ahead` may, and is the most that it ever was."""

    clock: str
    lateness: Span
    ahead: Span = DAY


class SettingChanged(Exception):
    """These rows were folded with another setting; the message says which."""


CLOCK = Kind("state", b"P", ClockRow)
OBEYED = Kind("state", b"P", ObeyedRow)
CLOCK_KEY, OBEYED_KEY = b"Pk", b"Po"


def check_settings(book: Book, clock: str, lateness: Span, ahead: Span) -> None:
    """Raises `SettingChanged` where the rows were folded with another clock or bound; notes these where there are none yet."""
    row = book.load(OBEYED, OBEYED_KEY)
    if row is None:
        book.save(OBEYED, OBEYED_KEY, ObeyedRow(clock, lateness, ahead))
        return
    for variable, was, now in (
        ("SEATSTREAM_CLOCK", row.clock, clock),
        ("SEATSTREAM_LATENESS", f"PT{row.lateness // SECOND}S", f"PT{lateness // SECOND}S"),
    ):
        if was != now:
            raise SettingChanged(
                f"{variable} is {now}, but what is known was folded with {was}: retries would count twice, or not at all."
                " Set it back"
            )
    if ahead > row.ahead:
        row.ahead = ahead
        book.save(OBEYED, OBEYED_KEY, row)


class Clock:
    """A partition's clock. It never goes back.

    "system": the latest of the broker's append times, which ticks keep moving where nobody says anything. "topic": the
    latest tick's own time, whenever it was written; `ORIGIN` before the first one.
    """

    def __init__(self, book: Book, source: Literal["system", "topic"]) -> None:
        self._book = book
        self._source = source
        kept = book.load(CLOCK, CLOCK_KEY)
        row = ClockRow(ORIGIN) if kept is None else kept
        self.now, self.before, self.forgotten = row.now, row.before, row.forgotten
        self._kept = self.now

    def move(self, now: Instant) -> None:
        """Time passes. What is thrown away is thrown away by where the clock stood `before`: one broker whose clock was wrong
        once must not cost what nobody can bring back."""
        self.before, self.now = self.now, now

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
            self._book.save(CLOCK, CLOCK_KEY, ClockRow(self.now, self.before, self.forgotten))
            self._kept = self.now
