"""The one order in which the records of several inputs are folded: oldest append time first, heads only.

A function of the records alone, however they were fetched or cut, so that a replay of the journal's cuts agrees.
"""

from bisect import insort
from collections.abc import Iterator, Sequence

from streams.fold import Record
from wire.topics import INPUTS

#: Records of one append time: what defines comes before what uses it.
RANK = {kind: rank for rank, kind in enumerate(INPUTS)}


def merge(inputs: Sequence[Sequence[Record]]) -> list[Record]:
    """The records of all inputs, merged; within an input its offsets decide."""
    return [record for run, start, stop in turns(inputs) for record in run[start:stop]]


def turns(inputs: Sequence[Sequence[Record]]) -> Iterator[tuple[Sequence[Record], int, int]]:
    """Whose turn it is, and how far: slices of the inputs in the order of merging."""
    heads = sorted((_place(run[0]), run, 0) for run in inputs if run)
    while len(heads) > 1:
        (_, run, start), ((bound_ms, bound_rank), *_) = heads.pop(0), heads[0]
        limit_ms = bound_ms + (RANK[run[0].kind] < bound_rank)
        stop = start + 1
        while stop < len(run) and run[stop].timestamp_ms < limit_ms:
            stop += 1
        yield run, start, stop
        if stop < len(run):
            insort(heads, (_place(run[stop]), run, stop))
    for _, run, start in heads:
        yield run, start, len(run)


def _place(record: Record) -> tuple[int, int]:
    # No two inputs share a rank, so a place is compared and nothing behind it.
    return record.timestamp_ms, RANK[record.kind]
