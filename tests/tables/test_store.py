"""What a partition's rows are on disk, and what they say about themselves."""

from pathlib import Path

import pytest

from tables.shard import Shard, Shards
from tables.store import Memory, Position, Store, StoreInUse


def test_rows_and_their_changelog_position_are_there_after_a_restart(tmp_path: Path) -> None:
    shard = Shard(3, tmp_path, Memory())
    shard.commit({"state": {b"a": b"1"}, "trail": {b"b": b"2"}}, {"state": 10, "trail": 20}, 1000)
    shard.commit({"state": {b"a": None, b"c": b"3"}, "trail": {}}, {"state": 13}, 2000)
    shard.close()

    again = Shard(3, tmp_path, Memory())

    assert (again.get("state", b"a"), again.get("state", b"c"), again.get("trail", b"b")) == (None, b"3", b"2")
    assert again.state.position() == Position(13, 2000)
    assert again.trail.position() == Position(20, 1000)
    again.close()


def test_the_last_value_of_a_key_in_a_changelog_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())
    store.apply([(b"a", b"1"), (b"a", b"2"), (b"b", b"1"), (b"b", None)], Position(4, 0))

    assert (store.get(b"a"), store.get(b"b")) == (b"2", None)
    store.close()


def test_a_store_that_is_cleared_knows_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())
    store.write({b"a": b"1"}, Position(1, 0))
    store.clear()

    assert (store.get(b"a"), store.position()) == (None, None)
    store.close()


def test_a_second_worker_on_the_same_disk_is_told_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())

    with pytest.raises(StoreInUse, match="SEATSTREAM_DATA"):
        Store(tmp_path / "s", Memory())
    store.close()


def test_a_partition_that_is_not_kept_is_closed_for_others_to_open(tmp_path: Path) -> None:
    ours, theirs = Shards(tmp_path, Memory()), Shards(tmp_path, Memory())
    ours.keep([0, 1])
    ours.keep([1])

    assert [shard.partition for shard in theirs.keep([0])] == [0]
    ours.close()
    theirs.close()
