"""An overlay reads through, and a scan over it is what a scan would be if everything were committed."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables.overlay import Overlay, Table
from tables.shard import Shard
from tables.store import Memory


class Dict:
    """Committed rows in a dict, the plainest there can be."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self.rows = rows

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self.rows.get(key) if table == "state" else None

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        rows = self.rows if table == "state" else {}
        return iter(sorted(((k, v) for k, v in rows.items() if start <= k < end), reverse=reverse))


# Keys from 0x01 on: those before belong to the engine.
KEYS = st.binary(min_size=1, max_size=2).map(lambda key: b"\x01" + key)
WRITES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2)), max_size=40)


@given(st.dictionaries(KEYS, st.binary(max_size=2)), WRITES, KEYS, KEYS, st.booleans())
def test_a_scan_merges_what_is_below_and_what_was_written(
    below: dict[bytes, bytes], writes: list[tuple[bytes, bytes | None]], start: bytes, end: bytes, reverse: bool
) -> None:
    overlay, whole = Overlay(Dict(dict(below))), dict(below)
    for key, value in writes:
        if value is None:
            overlay.delete("state", key)
            whole.pop(key, None)
        else:
            overlay.put("state", key, value)
            whole[key] = value
        # In between, so that keys are put in order bit by bit too.
        list(overlay.scan("state", start, end, reverse))

    assert list(overlay.scan("state", start, end, reverse)) == list(Dict(whole).scan("state", start, end, reverse))
    assert {key: overlay.get("state", key) for key in whole} == whole


DROPS_AND_WRITES = st.lists(st.tuples(KEYS, KEYS | st.none() | st.just(b""), st.booleans()), max_size=20)


# A disk for each example takes its time.
@settings(deadline=None, max_examples=50)
@given(st.dictionaries(KEYS, st.binary(min_size=1, max_size=2)), DROPS_AND_WRITES, st.booleans())
def test_a_dropped_range_is_gone_for_reads_for_scans_and_on_the_disk(
    below: dict[bytes, bytes], changes: list[tuple[bytes, bytes | None, bool]], reverse: bool
) -> None:
    with TemporaryDirectory() as directory:
        shard, whole = Shard(0, Path(directory), Memory()), dict(below)
        shard.commit({"state": {}, "trail": dict(below)}, {"trail": 1}, 0)
        overlay = Overlay(shard)
        for key, other, drops in changes:
            overlay.get("trail", key)
            if drops and other is not None:
                overlay.drop(key, other)
                whole = {k: v for k, v in whole.items() if not key <= k < other}
            elif other is None:
                overlay.delete("trail", key)
                whole.pop(key, None)
            else:
                overlay.put("trail", key, b"new")
                whole[key] = b"new"

        ends = b"\x01", b"\xff\xff\xff"
        expected = sorted(((k, v) for k, v in whole.items() if ends[0] <= k < ends[1]), reverse=reverse)
        assert list(overlay.scan("trail", *ends, reverse)) == expected
        assert all(overlay.get("trail", key) == whole.get(key) for key in below)
        shard.commit(overlay.rows(), {"trail": 2}, 0)
        assert list(shard.scan("trail", *ends, reverse)) == expected
        shard.close()


def test_what_is_below_stays_untouched() -> None:
    below = Dict({b"a": b"1"})
    overlay = Overlay(below)
    overlay.put("state", b"a", b"2")
    overlay.delete("state", b"b")
    overlay.put("trail", b"c", b"3")

    assert below.rows == {b"a": b"1"}
    assert overlay.rows() == {"state": {b"a": b"2", b"b": None}, "trail": {b"c": b"3"}}


def test_a_scan_meets_what_is_written_ahead_of_it_and_passes_what_is_deleted() -> None:
    overlay = Overlay(Dict({b"a": b"1", b"c": b"3", b"e": b"5"}))
    seen = []
    for key, _ in overlay.scan("state", b"a", b"z"):
        seen.append(key)
        if key == b"a":
            overlay.put("state", b"b", b"new")
            overlay.delete("state", b"e")

    assert seen == [b"a", b"b", b"c"]


def test_deleting_every_row_that_a_scan_meets_empties_the_range() -> None:
    overlay = Overlay(Dict({b"a": b"1", b"c": b"3", b"e": b"5"}))
    overlay.put("state", b"b", b"2")
    for key, _ in overlay.scan("state", b"a", b"z"):
        overlay.delete("state", key)

    assert list(overlay.scan("state", b"a", b"z")) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_over_rocksdb_ends_where_it_should(tmp_path: Path, reverse: bool) -> None:
    shard = Shard(0, tmp_path, Memory())
    rows: dict[bytes, bytes | None] = {b"%02d" % n: b"v" for n in range(20)}
    shard.commit({"state": rows, "trail": {}}, {"state": 20}, 0)

    found = [key for key, _ in shard.scan("state", b"05", b"08", reverse)]

    assert found == sorted([b"05", b"06", b"07"], reverse=reverse)
    shard.close()
