"""What became of facts that somebody waits for: told once the transaction that folded them is committed."""

import asyncio
import os
from collections.abc import Mapping
from typing import Final

from ledger.outcome import Outcome
from streams.fold import Headers

#: Names a fact for whoever waits for it.
ASKED: Final = "seatstream.asked"


class Outcomes:
    """Who waits, by the header that the fact was published with."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[Outcome]] = {}
        #: Folded, and not committed yet.
        self._folded: dict[int, list[tuple[bytes, Outcome]]] = {}

    def ask(self) -> tuple[bytes, asyncio.Future[Outcome]]:
        """A new name, and what will be known of it."""
        name = os.urandom(12)
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        return name, future

    def forget(self, name: bytes) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(name, None)

    def folded(self, partition: int, headers: Headers, outcome: Outcome) -> None:
        for header, value in headers:
            if header == ASKED and value in self._waiting:
                self._folded.setdefault(partition, []).append((value, outcome))

    def committed(self, partition: int, _: Mapping[str, int]) -> None:
        for name, outcome in self._folded.pop(partition, ()):
            future = self._waiting.pop(name, None)
            if future is not None and not future.done():
                future.set_result(outcome)

    def dropped(self, partition: int) -> None:
        """What was folded was not committed: whoever folds it next may say something else."""
        self._folded.pop(partition, None)
