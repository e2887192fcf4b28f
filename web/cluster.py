"""What the window has to know of the cluster, and nothing of how it works. Whoever runs the partitions implements it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from ledger.instants import Instant
from ledger.outcome import Outcome
from ledger.rows import Book, Breathe, Rows, nobody_waits

T = TypeVar("T")


class AsOf(NamedTuple):
    """How far an answer has read: for each input the next offset, the newest instant that was folded, how many records wait
    and how old the oldest of them is."""

    offsets: Mapping[str, int]
    event_time: Instant
    lag: int
    behind_ms: int


class Shared:
    """What was worked out for one question and holds for any other about the same rows. Whoever takes something has it alone
    until it is put back: a question may be left for another one in the middle of its work.

    It keeps `most` things: those that came last.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, Any] = {}

    def take(self, name: Hashable) -> Any:
        """None where it is not there."""
        return self._kept.pop(name, None)

    def put(self, name: Hashable, worked_out: Any) -> None:
        self._kept[name] = worked_out
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]


#: For who asks of rows that nobody else asks of.
ALONE: Final = Shared(0)


class View(NamedTuple):
    """The committed rows of one partition, which stay as they are while they are looked at; its clock, how far they go, and
    what other questions about them found."""

    rows: Rows
    clock: Instant
    as_of: AsOf
    breathe: Breathe = nobody_waits
    shared: Shared = ALONE

    def book(self) -> Book:
        return Book(self.rows, self.breathe)


class Here(NamedTuple):
    """This worker folds the partition."""

    partition: int


class Elsewhere(NamedTuple):
    """Another one does."""

    partition: int
    url: str


class Nobody(NamedTuple):
    """Nobody does now, or nobody knows who."""

    partition: int
    reason: str
    retry_after_s: int = 1


Place: TypeAlias = Here | Elsewhere | Nobody


class Away(Exception):
    """The partition left, or may have left, before a question about it was answered: what was computed must not be told."""

    def __init__(self, nobody: Nobody) -> None:
        super().__init__(nobody.reason)
        self.nobody = nobody


class Publication(NamedTuple):
    """A message for an input topic; a tick has no key."""

    topic: str
    key: str | None
    value: bytes


class Answered(NamedTuple):
    """What became of a published fact; None: it is in the log, and not folded in time."""

    outcome: Outcome | None


class PartitionNow(NamedTuple):
    """A partition as an operator sees it."""

    partition: int
    where: str
    state: Literal["folding", "recovering", "standing still", "elsewhere", "nobody"]
    why: str
    lag: int
    behind_ms: int
    event_time: Instant | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker did within the last so many seconds: facts by any outcome; facts and ticks from the broker's append to their
    commit, how many of these took so long at most; refusals by code, and those since it started."""

    seconds: float
    facts: int
    events: int
    within: dict[float, int]
    refusals: dict[str, int]
    refusals_ever: dict[str, int]


class Cluster(Protocol):
    partitions: int
    #: What moves time.
    clock: Literal["system", "topic"]

    def owner(self, key: str) -> Place:
        """Who answers for this customer, and reads this rule."""
        ...

    def owners(self) -> Sequence[Place]:
        """Who answers for each partition, in their order."""
        ...

    async def ask(self, partition: int, question: Callable[[View], T], within_s: float) -> T:
        """What a question answers about a partition that is here. Raises `Away` where it may not be ours any more, and
        `TimeoutError` where it takes longer."""
        ...

    async def publish(
        self, partition: int, facts: Sequence[Publication], timeout_s: float
    ) -> tuple[list[Answered], AsOf]:
        """Publishes facts in their order to a partition that is here, and waits until they are folded. Raises `Away`."""
        ...

    def overview(self) -> Sequence[PartitionNow]:
        """Every partition, in their order."""
        ...

    def figures(self) -> Figures:
        """What this worker did of late."""
        ...

    def ready(self) -> str | None:
        """None, or why this worker should not be asked now."""
        ...

    def metrics(self) -> tuple[bytes, str]:
        """What Prometheus reads, and its content type."""
        ...


Plain: TypeAlias = dict[str, Any]
