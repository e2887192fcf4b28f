"""What each transaction says of itself, so that its step can be taken again exactly: `seatstream verify` does.

A step is the folding of one chunk. It is numbered in the rows of both tables, so that wherever two of them stand can be told,
and written to the journal with what it took in and the settings that the fold obeyed. Each output says its step in a header.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from streams.fold import Record
from tables.overlay import Overlay
from tables.store import CURSOR, STEP, UNFINISHED

#: The header of an output: with which step it left.
STEP_HEADER: Final = "seatstream.step"


class Cut(NamedTuple):
    """What a chunk takes of one input: from `start` until before `stop`."""

    start: int
    stop: int


class Obeyed(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decide what a fold says."""

    clock: str
    lateness_ms: int
    wait_ms: int
    ahead_ms: int
    snapshot_ms: int
    #: As it was before anything aged.
    history_ms: int = 92 * 86_400_000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One step: what it took in of each input."""

    step: int
    inputs: dict[str, Cut]
    obeyed: Obeyed | None = None
    #: How many records of alert-rule, if any: its log is compacted, and offsets have gaps for other reasons too.
    rules: int | None = None


def entry(step: int, cuts: Mapping[str, Cut], records: Sequence[Record], obeyed: Obeyed | None) -> Entry:
    """What a chunk's step says of itself."""
    rules = sum(record.kind == "alert-rule" for record in records) if "alert-rule" in cuts else None
    return Entry(step=step, inputs=dict(cuts), obeyed=obeyed, rules=rules)


write = msgspec.json.Encoder().encode
read = msgspec.json.Decoder(Entry).decode


def sign(rows: Overlay, step: int, cursor: Mapping[str, int], *, unfinished: bool) -> None:
    """Writes into the rows of a step which it is, how far the inputs are folded with it, and whether work is left. The number
    of the step comes last: whoever has read it has read all of them."""
    rows.put("state", CURSOR, msgspec.json.encode(cursor))
    was_unfinished = rows.get("state", UNFINISHED) is not None
    if unfinished and not was_unfinished:
        rows.put("state", UNFINISHED, b"")
    elif was_unfinished and not unfinished:
        rows.delete("state", UNFINISHED)
    rows.put("state", STEP, b"%d" % step)
    rows.put("trail", STEP, b"%d" % step)
