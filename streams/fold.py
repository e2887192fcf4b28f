"""What the motion knows of the fold: records and rows in, outputs out. What they mean is the fold's own affair."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, Protocol

import msgspec

from ledger.rows import Breathe
from tables.overlay import Overlay

#: A header may be there without a value.
Headers = Sequence[tuple[str, bytes | None]]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One message of an input topic, undecoded."""

    kind: str  # "credit-burn" and so on: the topic without its prefix
    partition: int
    offset: int
    timestamp_ms: int  # the broker's append time
    key: bytes | None
    value: bytes | None
    headers: Headers


class Output(msgspec.Struct, frozen=True, gc=False):
    """One message to send with the transaction of its batch."""

    kind: str  # an output topic, or an input topic for what is forwarded
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None  # None: the partition of the batch, where everything of its customers belongs


class _Unfinished(Enum):
    UNFINISHED = "unfinished"


#: Said by a fold with work left that needs no record: it is called again at once, with what has come by then, if only nothing.
UNFINISHED: Final = _Unfinished.UNFINISHED
Unfinished = _Unfinished


class Fold(Protocol):
    """Turns a batch into changed rows and outputs; the same batch over the same rows gives the same, always.

    It is called once for each transaction. What it wrote to `rows` and what it yielded are committed together or not at
    all, and then it is called again with the same records, in a batch that may be cut otherwise. It calls `breathe` wherever
    it may be left alone for a while, so that long work holds up no other partition. An exception stops the partition,
    loudly, and no other.

    A batch is empty where the one before it was left `UNFINISHED` and nothing has come since.
    """

    def __call__(
        self, partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe
    ) -> Iterable[Output | Unfinished]: ...
