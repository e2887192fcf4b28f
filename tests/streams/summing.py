"""The smallest fold that can be wrong: sums by key, and an output each time a sum crosses a line."""

from collections.abc import Iterator, Sequence

import orjson

from ledger.rows import Breathe, nobody_waits
from streams.fold import Output, Record
from tables.overlay import Overlay

LINE = 100


class Broken(Exception):
    """What a record that says "broken" does to its partition."""


def fold_sums(
    partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe = nobody_waits
) -> Iterator[Output]:
    """Adds each value to the sum of its key; a count of all records of the partition but ticks goes to the trail."""
    records = [record for record in records if record.kind != "control"]
    sums: dict[bytes, int] = {}
    for record in records:
        key, value = record.key or b"", record.value or b""
        if value == b"broken":
            raise Broken(f"record {record.offset} of {record.kind}")
        old = sums.get(key)
        if old is None:
            old = int(rows.get("state", b"s" + key) or 0)
        new = sums[key] = old + orjson.loads(value)["amount"]
        if old // LINE != new // LINE:
            yield Output("threshold-alert", key, b"%d" % (new // LINE))
    for key, total in sums.items():
        rows.put("state", b"s" + key, b"%d" % total)
    if records:
        rows.put("trail", b"count", b"%d" % (int(rows.get("trail", b"count") or 0) + len(records)))
