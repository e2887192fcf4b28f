"""The two tables as Faust knows them, and the moment at which it hands partitions over.

Faust would read changelogs through the group's own consumer, record by record; here they are read beside it, in whole
record lists (tables/restoring.py). Faust decides when, `adopt` does it.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.stores.base import Store as FaustStore
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from tables.overlay import Table
from tables.shard import Shards
from tables.store import StoreRefused

#: Takes over these partition numbers; False where a newer assignment came in between.
Adopt = Callable[[set[int]], Awaitable[bool]]


class RowTable(faust.Table[bytes, bytes]):
    """One of the two tables. Its rows are read and written by partition, through its shards."""

    logger = logging.getLogger("faust.tables")

    def __init__(self, app: Any, table: Table, shards: Shards, changelog: str, partitions: int) -> None:
        self.shards = shards
        topic = app.topic(changelog, key_type=bytes, value_type=bytes, partitions=partitions, internal=True)
        super().__init__(
            app, name=table, key_type=bytes, value_type=bytes, partitions=partitions, changelog_topic=topic
        )

    def _new_store_by_url(self, url: Any) -> "RowStore":
        return RowStore(url, self.app, self, table_name=self.name, loop=self.loop)

    async def on_start(self) -> None:
        """The changelog exists: all topics are made and checked before anything starts."""
        await self.add_runtime_dependency(self.data)


class RowStore(FaustStore[bytes, bytes]):
    """What Faust asks about the rows of a table."""

    logger = logging.getLogger("faust.tables")

    table: RowTable

    def persisted_offset(self, tp: TP) -> int | None:
        shard = self.table.shards.get(tp.partition)
        position = None if shard is None else shard.table(cast(Table, self.table_name)).position()
        return None if position is None else position.offset

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        raise NotImplementedError("changelogs are read in tables/restoring.py")

    def reset_state(self) -> None:
        """Nothing is held beside the shards."""

    async def backup_partition(self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1) -> None:
        raise NotImplementedError("the changelogs are the backup")

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None:
        raise NotImplementedError("the changelogs are the backup")


class RowRecovery(Recovery):
    """After each assignment: take the partitions over, then let the records flow."""

    logger = logging.getLogger("faust.tables")

    app: Any
    tables: "RowTableManager"

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start.wait()):
                return
            self.signal_recovery_start.clear()
            self._set_recovery_started()
            try:
                await self._wait(self._take_over(self._generation_id))
            except RebalanceAgain:
                continue
            except ServiceStopped:
                return
            except StoreRefused as refused:
                self.log.error("%s", refused)
                await self.crash(refused)
                return
            except (KafkaError, OSError) as error:
                self.log.warning("taking partitions over failed, trying again: %r", error)
                await self.sleep(1)
                self.signal_recovery_start.set()

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """No changelog comes through the group's consumer."""

    @Service.task
    async def _publish_stats(self) -> None:
        """The reader says how far it is."""

    async def _take_over(self, generation_id: int) -> None:
        app = self.app
        if not await self.tables.adopt({tp.partition for tp in app.consumer.assignment()}):
            return
        if app.consumer_generation_id != generation_id:
            return
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        self.completed.set()
        app.flow_control.resume()
        app.consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()


class RowTableManager(TableManager):
    """Faust's table manager without a subscription to the changelogs."""

    logger = logging.getLogger("faust.tables")

    adopt: Adopt

    @property
    def recovery(self) -> RowRecovery:
        if self._recovery is None:
            self._recovery = RowRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return cast(RowRecovery, self._recovery)

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()

    async def _update_channels(self) -> None:
        self._tables_finalized.set()
        for table in self.values():
            await table.maybe_start()
        self._tables_registered.set()

    async def on_stop(self) -> None:
        await super().on_stop()
        for table in self.values():
            table.shards.close()
