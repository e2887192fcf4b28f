"""Facts and rules through the ledger and the watch, batch by batch, as the stream does it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

from alerts.at_hand import Memory
from alerts.watcher import STEP, Watcher
from ledger.facts import AnyFact
from ledger.instants import DAY, ORIGIN, Instant, Span
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome
from tests.ledger.memory import MemoryRows
from wire.outputs import Alert
from wire.rules import Archived, Rule

#: What arrives, and when. None: only time passes.
Event: TypeAlias = tuple[AnyFact | Rule | Archived | None, Instant]


class Scene:
    """One partition."""

    def __init__(
        self, *, lateness: Span = 34 * DAY, kept: Span | None = None, step: int = STEP, **bounds: Span
    ) -> None:
        self.rows = MemoryRows()
        self.memory = Memory()
        self.clock: Instant = ORIGIN
        self.alerts: list[Alert] = []
        self.outcomes: list[Outcome] = []
        self._bounds = {"lateness": lateness, **bounds}
        self._kept = lateness if kept is None else kept
        self._step = step

    def batch(self, events: Iterable[Event]) -> list[Alert]:
        """Folds a batch. What is said at its end."""
        ledger = Ledger(self.rows, **self._bounds)
        watcher = Watcher(self.rows, self.memory, lateness=self._kept, step=self._step)
        for what, arrived_at in events:
            self.clock = max(self.clock, arrived_at)
            self._note(watcher, ledger.advance(self.clock))
            if isinstance(what, Rule | Archived):
                watcher.rule(what, self.clock)
            elif what is not None:
                outcome = ledger.fold(what, self.clock)
                self.outcomes.append(outcome)
                self._note(watcher, [(what, outcome), *ledger.settled()])
        ledger.flush()
        said = list(watcher.close(self.clock))
        self.alerts += said
        return said

    @staticmethod
    def _note(watcher: Watcher, decided: Iterable[tuple[AnyFact, Outcome]]) -> None:
        for fact, outcome in decided:
            if isinstance(outcome, Folded):
                watcher.note(fact, outcome)

    def batches(self, events: Sequence[Event], cuts: Iterable[int]) -> list[Alert]:
        """Folds all, cut before these places, and then whatever is left to be done in steps."""
        begun = len(self.alerts)
        places = sorted({0, len(events), *(cut for cut in cuts if 0 < cut < len(events))})
        for start, end in pairwise(places):
            self.batch(events[start:end])
        self.settle()
        return self.alerts[begun:]

    def settle(self) -> None:
        while Watcher(self.rows, self.memory).is_behind():
            self.batch([])

    def ledger(self) -> Ledger:
        return Ledger(self.rows, **self._bounds)

    def now(self, customer_id: str) -> Instant:
        from ledger.account_rows import newest_burn  # noqa: PLC0415
        from ledger.contracts import CUSTOMER, customer_key  # noqa: PLC0415

        book = self.ledger().book
        who = book.load(CUSTOMER, customer_key(customer_id))
        return self.clock if who is None else max(self.clock, newest_burn(book, who))
