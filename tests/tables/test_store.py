"""What a partition's rows are on disk, and what they say about themselves."""

import os
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from rocksdict import Rdict

from tables.look import LookOver
from tables.overlay import dropping
from tables.shard import Shard, Shards
from tables.store import FORMAT, Memory, Position, Store, StoreRefused, StoreTorn


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


def test_a_store_that_was_filled_holds_what_the_changelog_says(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())
    store.write({b"old": b"1", b"gone": b"1", b"r1": b"1"}, Position(1, 0))

    store.fill()
    store.apply([(b"a", b"1"), (b"gone", None), (b"r2", b"1"), (dropping(b"r"), b"s"), (b"r3", b"1")], Position(5, 0))
    store.apply([(b"a", b"2"), (b"b", b"1"), (b"b", None)], Position(8, 7))
    store.filled()

    assert list(store.scan(b"a", b"z")) == [(b"a", b"2"), (b"old", b"1"), (b"r3", b"1")]
    assert store.position() == Position(8, 7)
    store.close()


def test_what_is_written_after_a_filling_lasts_though_the_process_may_die(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())
    store.fill()
    store.apply([(b"a", b"1")], Position(1, 0))
    store.filled()
    store.write({b"a": b"2"}, Position(2, 0))
    copytree(store.path, tmp_path / "died" / "s")

    died = Store(tmp_path / "died" / "s", Memory())

    assert (died.get(b"a"), died.position()) == (b"2", Position(2, 0))


def test_whoever_dies_while_a_store_is_filled_leaves_rows_that_agree_with_their_position(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())
    store.fill()
    for n in range(1, 4):
        store.apply([(b"%d" % n, b""), (b"newest", b"%d" % n)], Position(n, 0))
        if n == 2:
            store._db.flush()
    copytree(store.path, tmp_path / "died" / "s")

    died = Store(tmp_path / "died" / "s", Memory())

    assert list(died.scan(b"0", b"z")) == [(b"1", b""), (b"2", b""), (b"newest", b"2")]
    assert died.position() == Position(2, 0)


def test_a_filling_of_which_something_is_missing_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())
    store.fill()
    store.apply([(b"a", b"1")], Position(1, 0))
    store._filled = Position(2, 0)

    with pytest.raises(StoreTorn):
        store.filled()


def test_a_store_that_somebody_still_reads_can_be_filled_at_the_next_attempt(tmp_path: Path) -> None:
    """A question that was left half way kept the directory open, and the partition was never recovered."""
    shards = Shards(tmp_path, Memory())
    [shard] = shards.keep([0])
    shard.state.write({b"x": b"1"}, Position(1, 0))
    left = shard.state.scan(b"a", b"z")
    next(left)
    with pytest.raises(OSError, match="lock"):
        shard.state.fill()

    del left
    shards.close()
    [shard] = shards.keep([0])
    shard.state.filled()
    shard.state.fill()
    shard.state.filled()

    assert shard.state.get(b"x") == b"1"


def test_a_filling_that_the_disk_does_not_take_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def flush(self) -> None:
            raise Exception("IO error: No space left on device: While appending to file: 000004.sst")

    store = Store(tmp_path / "state-0", Memory())
    store.fill()
    store.close()
    monkeypatch.setattr(store, "_db", Full())

    with pytest.raises(OSError, match="state-0 takes no more"):
        store.filled()


def test_a_store_that_is_there_already_shares_the_memory_of_all(tmp_path: Path) -> None:
    path = written(tmp_path / "state-3")
    memory = Memory()
    store = Store(path, memory)
    before = memory.cache.get_usage()

    rows = list(store.scan(b"k", b"l"))

    taken = memory.cache.get_usage() - before
    assert taken > sum(len(key) + len(value) for key, value in rows) / 2
    store.close()


def test_a_store_that_is_cleared_knows_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())
    store.write({b"a": b"1"}, Position(1, 0))
    store.clear()

    assert (store.get(b"a"), store.position()) == (None, None)
    store.close()


def test_a_second_worker_on_the_same_disk_is_told_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Memory())

    with pytest.raises(StoreRefused, match="SEATSTREAM_DATA"):
        Store(tmp_path / "s", Memory())
    store.close()


def test_a_partition_that_is_not_kept_is_closed_for_others_to_open(tmp_path: Path) -> None:
    ours, theirs = Shards(tmp_path, Memory()), Shards(tmp_path, Memory())
    ours.keep([0, 1])
    ours.keep([1])

    assert [shard.partition for shard in theirs.keep([0])] == [0]
    ours.close()
    theirs.close()


# --- what a disk may have become -------------------------------------------------------------------------------------


def written(path: Path) -> Path:
    """A store with rows in a file of their own."""
    store = Store(path, Memory())
    store.write({b"k%05d" % n: os.urandom(200) for n in range(5_000)}, Position(7, 0))
    store._db.flush()
    store.close()
    return path


def rows_file(path: Path) -> Path:
    return sorted(path.glob("*.sst"))[0]


def cut_rows(path: Path) -> None:
    os.truncate(rows_file(path), rows_file(path).stat().st_size // 2)


def turn_rows_over(path: Path) -> None:
    """Every block's checksum is another then: RocksDB tells of a block, which is no lock."""
    rows = rows_file(path)
    rows.write_bytes(bytes(byte ^ 0xFF if n % 512 < 16 else byte for n, byte in enumerate(rows.read_bytes())))


def lose_rows(path: Path) -> None:
    rows_file(path).unlink()


def lose_manifest(path: Path) -> None:
    next(path.glob("MANIFEST*")).unlink()


def lose_current(path: Path) -> None:
    (path / "CURRENT").unlink()


def be_a_file(path: Path) -> None:
    rmtree(path)
    path.write_bytes(b"not a directory")


def be_somebody_elses(path: Path) -> None:
    rmtree(path)
    Rdict(str(path)).close()
    db = Rdict(str(path))
    db["theirs"] = 1
    db.close()


def be_another_partition(path: Path) -> None:
    rmtree(path)
    written(path.with_name("state-4")).rename(path)


def be_older(path: Path) -> None:
    _sign(path, b"0 state-3")


def _sign(path: Path, said: bytes) -> None:
    db = Rdict(str(path), options=Memory().options())
    db.put(FORMAT, said)
    db.close()


@pytest.mark.parametrize(
    "harm",
    [
        cut_rows,
        turn_rows_over,
        lose_rows,
        lose_manifest,
        lose_current,
        be_a_file,
        be_somebody_elses,
        be_another_partition,
        be_older,
    ],
)
def test_a_directory_that_is_torn_or_not_ours_is_set_aside_with_a_word(
    tmp_path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "state-3")
    harm(path)

    store = Store(path, Memory())

    assert (store.position(), list(store.scan(b"k", b"l"))) == (None, [])
    assert (tmp_path / "state-3.aside").exists()
    assert "is set aside as state-3.aside and rebuilt from its changelog: " in caplog.text
    store.write({b"k": b"1"}, Position(1, 0))
    store.close()
    assert Store(path, Memory()).get(b"k") == b"1"


def test_only_the_last_directory_that_was_set_aside_is_kept(tmp_path: Path) -> None:
    for _ in range(2):
        cut_rows(written(tmp_path / "state-3"))
        Store(tmp_path / "state-3", Memory()).close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-3", "state-3.aside"]


def test_a_newer_directory_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "state-3")
    _sign(path, b"2 state-3")

    with pytest.raises(StoreRefused, match="written by a newer SeatStream"):
        Store(path, Memory())
    with pytest.raises(StoreRefused):
        Store(path, Memory())
    assert not (tmp_path / "state-3.aside").exists()


def test_rows_that_cannot_be_read_are_never_rows_that_are_not_there(tmp_path: Path) -> None:
    path = written(tmp_path / "state-3")
    with rows_file(path).open("r+b") as file:
        file.seek(rows_file(path).stat().st_size // 2)
        file.write(b"\xff" * 64)
    store = Store(path, Memory())

    with pytest.raises(StoreTorn):
        list(store.scan(b"k", b"l"))
    with pytest.raises(StoreTorn):
        list(store.scan(b"k", b"l", reverse=True))
    with pytest.raises(StoreTorn) as torn:
        for n in range(5_000):
            assert store.get(b"k%05d" % n) is not None

    torn.value.store.set_aside(torn.value)
    assert store.get(b"k00000") is None
    store.close()


def test_a_disk_without_room_is_no_torn_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, *_: object) -> None:
            raise Exception(
                "IO error: No space left on device: While appending to file: 000004.log: No space left on device"
            )

    store = Store(tmp_path / "state-0", Memory())
    store.close()
    monkeypatch.setattr(store, "_db", Full())

    with pytest.raises(OSError, match="state-0 takes no more"):
        store.write({b"k": b"v"}, Position(1, 1))


def test_a_worker_whose_disk_was_full_lets_its_partition_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failed:
        def close(self) -> None:
            raise Exception("IO error: Writer has previous error.")

    store = Store(tmp_path / "state-0", Memory())
    store.close()
    monkeypatch.setattr(store, "_db", Failed())

    store.close()


def test_a_look_sees_one_moment(tmp_path: Path) -> None:
    shard = Shard(0, tmp_path, Memory())
    shard.commit({"state": {b"a": b"1", b"b": b"2"}, "trail": {b"t": b"1"}}, {"state": 1, "trail": 1}, 0)
    look = shard.look()
    shard.commit({"state": {b"a": b"9", b"c": b"3"}, "trail": {b"t": None}}, {"state": 2, "trail": 2}, 0)

    assert [look.get("state", key) for key in (b"a", b"c")] == [b"1", None]
    assert look.get("trail", b"t") == b"1"
    assert list(look.scan("state", b"a", b"z")) == [(b"a", b"1"), (b"b", b"2")]
    assert list(look.scan("state", b"a", b"b", reverse=True)) == [(b"a", b"1")]
    assert list(look.scan("state", b"a", b"c", reverse=True)) == [(b"b", b"2"), (b"a", b"1")]
    with pytest.raises(TypeError):
        look.put("state", b"a", b"")
    look.close()
    with pytest.raises(LookOver):
        look.get("state", b"a")
    shard.close()
    Shard(0, tmp_path, Memory()).close()


def test_scans_of_a_look_take_turns(tmp_path: Path) -> None:
    """Whoever is in the middle of one goes on where it was, in both directions."""
    store = Store(tmp_path / "s", Memory())
    store.write({b"%02d" % n: b"v" for n in range(0, 20, 2)}, Position(1, 0))
    look = store.look()
    store.write({b"%02d" % n: b"w" for n in range(20)} | {b"06": None}, Position(2, 0))

    up, down, other = look.scan(b"02", b"12"), look.scan(b"02", b"12", reverse=True), look.scan(b"00", b"99")
    met = [(next(up)[0], next(down)[0], next(other)[0]) for _ in range(5)]
    assert met == [
        (b"02", b"10", b"00"),
        (b"04", b"08", b"02"),
        (b"06", b"06", b"04"),
        (b"08", b"04", b"06"),
        (b"10", b"02", b"08"),
    ]
    assert list(up) == list(down) == [] and len(list(other)) == 5
    assert list(look.scan(b"05", b"05")) == list(look.scan(b"05", b"05", reverse=True)) == []
    assert [key for key, _ in look.scan(b"03", b"09", reverse=True)] == [b"08", b"06", b"04"]
    look.close()
    store.close()
