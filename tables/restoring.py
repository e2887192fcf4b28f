"""Bringing a partition's tables to the end of their changelogs, from wherever the local disk left off.

Only whoever has fenced all earlier writers may look: then the end that it sees is the end. Commit and abort markers take
an offset each, so a changelog may end where no record is; what is compared with the end is the reader's position.

A store that is far behind is opened in another way until it is not (`Store.fill`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

from tables.overlay import Table
from tables.shard import TABLES, Shard
from tables.store import Position, Store
from wire import quick_records
from wire.consumer import Consumer
from wire.topics import BELIEVED_MS

log = logging.getLogger(__name__)

#: So many records are worth opening a store twice.
FAR = 50_000
#: Bytes in one answer of a broker; the next one is on its way while the rows of this one are written.
FETCH_BYTES = 4 << 20

#: Told how many rows were applied, and about how many are left.
Progress = Callable[[int, int], object]


async def restore(
    shards: Sequence[Shard],
    changelogs: Mapping[Table, str],
    kafka: Mapping[str, Any],
    progress: Progress = lambda done, left: None,
) -> int:
    """Applies what the changelogs hold beyond the local rows, in whole record lists; returns how many rows came."""
    stores = {
        TopicPartition(changelogs[table], shard.partition): shard.table(table) for shard in shards for table in TABLES
    }
    if not stores:
        return 0
    quick_records.install()
    for store in stores.values():
        store.filled()  # somebody may have been called away meanwhile
    reader = Consumer(
        **kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=FETCH_BYTES,
        fetch_max_wait_ms=50,
        check_crcs=False,
    )
    await reader.start()
    try:
        reader.assign(list(stores))
        firsts, ends = await reader.beginning_offsets(list(stores)), await reader.end_offsets(list(stores))
        now_ms = int(time.time() * 1000)
        for tp, store in stores.items():
            start = _start(store, firsts[tp], ends[tp], now_ms)
            reader.seek(tp, start)
            if ends[tp] - start > FAR:
                store.fill()
        count = await _read(reader, stores, ends, progress)
        for store in stores.values():
            store.filled()
            await asyncio.sleep(0)
        return count
    finally:
        await reader.stop()


def _start(store: Store, first: int, end: int, now_ms: int) -> int:
    """Where the local rows end, or the beginning where they cannot be believed."""
    position = store.position()
    if position is None:
        return first
    if position.offset > end:
        doubt = f"it is at {position.offset}, but its changelog ends at {end}"
    elif now_ms - position.seen_ms > BELIEVED_MS:
        doubt = "it was away so long that deletions may have left the changelog unseen"
    else:
        return max(position.offset, first)
    log.warning("%s is rebuilt from its changelog: %s", store.path, doubt)
    store.clear()
    return first


async def _read(
    reader: Consumer,
    stores: Mapping[TopicPartition, Store],
    ends: Mapping[TopicPartition, int],
    progress: Progress,
) -> int:
    count = 0
    behind = set(stores)
    told = time.monotonic()
    while behind:
        fetching = reader.getmany(*behind, timeout_ms=200)
        for tp, records in (await quick_records.made_by(_as_they_are, fetching)).items():
            # Lets the reader ask for more, and take it.
            await asyncio.sleep(0)
            stores[tp].apply(((r.key, r.value) for r in records), _now(records[-1].offset + 1))
            count += len(records)
        for tp in list(behind):
            position = await reader.position(tp)
            if position >= ends[tp]:
                behind.remove(tp)
                # What is left is a marker at most; with it passed, a restart finds nothing to read.
                stores[tp].apply((), _now(position))
                stores[tp].flush()
        left = sum([ends[tp] - await reader.position(tp) for tp in behind])
        progress(count, left)
        if time.monotonic() - told > 5:
            told = time.monotonic()
            log.info("restoring tables: %d rows applied, about %d to go", count, left)
    return count


def _as_they_are(_: TopicPartition, records: list[Any]) -> list[Any]:
    return records


def _now(offset: int) -> Position:
    return Position(offset, int(time.time() * 1000))
