"""Tables come back from their changelogs, from wherever the disk left off, up to an end that may be a marker."""

import time
from pathlib import Path
from shutil import copytree

import pytest

from streams.fold import Output
from streams.journal import Cut, Entry
from streams.transactions import CHANGELOGS, Lost, Writer
from tables import restoring
from tables.restoring import restore
from tables.shard import Shard
from tables.store import Memory, Position, Store
from wire.topics import Topics, ensure

DAY_MS = 86_400_000
ENTRY = Entry(step=1, inputs={"credit-burn": Cut(0, 0)})


async def prepared(broker: str, prefix: str) -> tuple[Topics, dict[str, str]]:
    kafka = {"bootstrap_servers": broker}
    return await ensure(Topics(prefix, 1, 1, DAY_MS), kafka), kafka


async def written(
    topics: Topics, kafka: dict[str, str], shard: Shard | None, *batches: dict[bytes, bytes | None]
) -> None:
    """Commits each batch of state rows in a transaction, and to the disk where one is given."""
    writer = Writer(0, topics, topics.prefix, kafka)
    await writer.start()
    for rows in batches:
        positions = await writer.commit(
            ENTRY, {"state": rows, "trail": {b"t": b"1"}}, [Output("dead-letter", b"k", b"v")]
        )
        if shard is not None:
            shard.commit({"state": rows, "trail": {b"t": b"1"}}, positions, int(time.time() * 1000))
    await writer.stop()


@pytest.mark.parametrize("far", [restoring.FAR, 0])
async def test_an_empty_disk_gets_every_row(
    broker: str, prefix: str, tmp_path: Path, far: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "FAR", far)
    topics, kafka = await prepared(broker, prefix)
    await written(topics, kafka, None, {b"a": b"1", b"b": b"1"}, {b"a": b"2", b"b": None})
    shard = Shard(0, tmp_path, Memory())

    await restore([shard], {table: topics.name(kind) for table, kind in CHANGELOGS.items()}, kafka)

    assert list(shard.scan("state", b"a", b"z")) == [(b"a", b"2")]
    assert shard.get("trail", b"t") == b"1"
    shard.close()


async def test_who_is_called_away_while_a_store_is_filled_goes_on_where_its_rows_end(
    broker: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "FAR", 10)
    topics, kafka = await prepared(broker, prefix)
    changelogs = {table: topics.name(kind) for table, kind in CHANGELOGS.items()}
    await written(topics, kafka, None, {b"%02d" % n: b"1" for n in range(20)})
    shard = Shard(0, tmp_path, Memory())

    def call_away(done: int, left: int) -> None:
        raise CalledAway

    with pytest.raises(CalledAway):
        await restore([shard], changelogs, kafka, call_away)
    await written(topics, kafka, None, {b"00": b"2"})
    assert await restore([shard], changelogs, kafka) == 2

    assert [value for _, value in shard.scan("state", b"0", b"9")] == [b"2", *[b"1"] * 19]
    # As ever: what is written from here on is on the disk at once.
    shard.commit({"state": {b"01": b"2"}, "trail": {}}, {"state": 100}, 0)
    copytree(shard.state.path, tmp_path / "died" / "state-0")
    died = Store(tmp_path / "died" / "state-0", Memory())
    assert (died.get(b"01"), died.position()) == (b"2", Position(100, 0))
    shard.close()


class CalledAway(Exception):
    """There is a newer assignment."""


async def test_a_disk_that_has_all_but_the_last_batch_reads_only_that(broker: str, prefix: str, tmp_path: Path) -> None:
    topics, kafka = await prepared(broker, prefix)
    shard = Shard(0, tmp_path, Memory())
    await written(topics, kafka, shard, {b"a": b"1"}, {b"b": b"1"}, {b"a": b"2"})
    await written(topics, kafka, None, {b"last": b"1"})
    changelogs = {table: topics.name(kind) for table, kind in CHANGELOGS.items()}

    assert await restore([shard], changelogs, kafka) == 2
    assert await restore([shard], changelogs, kafka) == 0
    assert shard.get("state", b"last") == b"1"
    shard.close()


async def test_a_disk_that_says_more_than_its_changelog_is_not_believed(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    topics, kafka = await prepared(broker, prefix)
    await written(topics, kafka, None, {b"a": b"1"})
    shard = Shard(0, tmp_path, Memory())
    shard.state.write({b"from another life": b"1"}, Position(1_000_000, int(time.time() * 1000)))

    await restore([shard], {table: topics.name(kind) for table, kind in CHANGELOGS.items()}, kafka)

    assert list(shard.scan("state", b"a", b"z")) == [(b"a", b"1")]
    shard.close()


async def test_a_disk_that_was_away_too_long_is_not_believed(broker: str, prefix: str, tmp_path: Path) -> None:
    topics, kafka = await prepared(broker, prefix)
    await written(topics, kafka, None, {b"a": b"1"})
    shard = Shard(0, tmp_path, Memory())
    shard.state.write({b"deleted since": b"1"}, Position(0, 0))

    await restore([shard], {table: topics.name(kind) for table, kind in CHANGELOGS.items()}, kafka)

    assert list(shard.scan("state", b"a", b"z")) == [(b"a", b"1")]
    shard.close()


async def test_a_new_writer_ends_the_transaction_of_the_old_one_and_refuses_it(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    topics, kafka = await prepared(broker, prefix)
    old, new = Writer(0, topics, prefix, kafka), Writer(0, topics, prefix, kafka)
    await old.start()
    await old.commit(ENTRY, {"state": {b"a": b"1"}, "trail": {}}, [])
    await new.start()

    with pytest.raises(Lost):
        await old.commit(ENTRY, {"state": {b"a": b"zombie"}, "trail": {}}, [])
    shard = Shard(0, tmp_path, Memory())
    await restore([shard], {table: topics.name(kind) for table, kind in CHANGELOGS.items()}, kafka)

    assert shard.get("state", b"a") == b"1"
    shard.close()
    await old.stop()
    await new.stop()
