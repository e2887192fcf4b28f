"""Rows in memory: an ordered store, like any other."""

from hypothesis import given
from hypothesis import strategies as st

from tables.memory import MemoryRows

keys = st.binary(max_size=2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, st.binary(max_size=2)),
        st.tuples(st.just("delete"), keys, st.just(b"")),
        st.tuples(st.just("scan"), keys, keys),
    ),
    max_size=120,
)


@given(steps)
def test_a_scan_finds_what_was_put_and_not_deleted_in_the_order_of_keys(steps: list[tuple[str, bytes, bytes]]) -> None:
    rows, meant = MemoryRows(), dict[bytes, bytes]()
    for step, key, other in steps:
        match step:
            case "put":
                rows.put("state", key, other)
                meant[key] = other
            case "delete":
                rows.delete("state", key)
                meant.pop(key, None)
            case _:
                found = sorted((k, v) for k, v in meant.items() if key <= k < other)
                assert list(rows.scan("state", key, other)) == found
                assert list(rows.scan("state", key, other, reverse=True)) == found[::-1]
        assert rows.get("state", key) == meant.get(key)


def test_the_two_tables_are_apart() -> None:
    rows = MemoryRows()
    rows.put("state", b"a", b"1")

    assert rows.get("trail", b"a") is None
    assert list(rows.scan("trail", b"", b"\xff")) == []


def test_many_keys_put_and_deleted_between_two_scans() -> None:
    rows = MemoryRows()
    for n in range(1_000):
        rows.put("trail", n.to_bytes(2, "big"), b"x")
    assert len(list(rows.scan("trail", b"\0", b"\xff"))) == 1_000
    for n in range(990):
        rows.delete("trail", n.to_bytes(2, "big"))
    rows.put("trail", b"\0\0", b"back")

    assert [value for _, value in rows.scan("trail", b"\0", b"\xff")] == [b"back"] + [b"x"] * 10
    assert next(rows.scan("trail", b"\0", b"\xff", reverse=True)) == ((999).to_bytes(2, "big"), b"x")


def test_a_scan_passes_by_what_is_deleted_ahead_of_it() -> None:
    rows = MemoryRows()
    for key in (b"a", b"b", b"c"):
        rows.put("state", key, key)
    found = []
    for key, _ in rows.scan("state", b"a", b"d"):
        found.append(key)
        rows.delete("state", b"b")

    assert found == [b"a", b"c"]
