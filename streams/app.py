"""The app: Faust with the batch path, the tables and one agent; what it folds comes from outside."""

import logging
import socket
from collections.abc import Callable
from typing import Any, cast

import faust
from faust.types.auth import CredentialsT

from streams.batches import ChunkConsumer, ChunkSchema, ChunkTransport
from streams.fold import Fold
from streams.hands import Hands
from streams.intake import MOST_RECORDS, Intake
from streams.settings import Settings, SettingsWrong
from streams.ticker import Ticker
from streams.transactions import CHANGELOGS
from tables.faust_tables import RowTable, RowTableManager
from tables.shard import TABLES, Shards
from tables.store import Memory
from wire.topics import INPUTS, Topics


class App(faust.App):
    """A Faust app that also knows its topics, its rows and its hands."""

    logger = logging.getLogger("faust.worker")

    wire: Topics
    intake: Intake
    shards: Shards
    hands: Hands
    #: Called when the app begins to stop, before it waits for anybody.
    on_stopping: Callable[[], object] | None = None

    async def on_stop(self) -> None:
        if self.on_stopping is not None:
            self.on_stopping()
        await super().on_stop()


def create(
    settings: Settings, topics: Topics, fold: Fold, *, most_records: int = MOST_RECORDS, web: bool = True
) -> App:
    """An app that folds all partitions that the group gives it. `topics` are those that `wire.topics.ensure` found."""
    if web:
        _check_free(settings.web_host, settings.web_port)
    kafka = settings.kafka()
    app = App(
        settings.group,
        broker=";".join(f"kafka://{server}" for server in settings.broker),
        broker_credentials=_credentials(kafka),
        broker_session_timeout=settings.session_ms / 1000,
        broker_heartbeat_interval=min(3.0, settings.session_ms / 5000),
        datadir=str(settings.data),
        topic_partitions=topics.partitions,
        topic_disable_leader=True,
        # All topics exist before the app starts (wire/topics.py).
        topic_allow_declare=False,
        TableManager=RowTableManager,
        stream_buffer_maxsize=16,
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        web_enabled=web,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.web_port,
        autodiscover=False,
    )
    intake = Intake(most_records)
    directory = settings.data / (topics.cluster or "tables") / settings.group
    shards = Shards(directory, Memory())
    hands = Hands(
        fold, topics=topics, group=settings.group, kafka=kafka, shards=shards, intake=intake, obeyed=settings.obeyed
    )
    app.transport = ChunkTransport(app, topics=topics, kafka=kafka, intake=intake, settle=hands.settle)
    for table in TABLES:
        app.tables.add(RowTable(app, table, shards, topics.name(CHANGELOGS[table]), topics.partitions))
    cast(RowTableManager, app.tables).adopt = hands.adopt
    hands.consumer = lambda: cast(ChunkConsumer, app.consumer)
    app.wire, app.intake, app.shards, app.hands = topics, intake, shards, hands

    facts = app.topic(*map(topics.name, INPUTS), schema=ChunkSchema(), partitions=topics.partitions)

    @app.agent(facts, name="fold")
    async def fold_chunks(stream: Any) -> None:
        async for event in stream.noack().events():
            hands.take(event.value, event.ack)

    if settings.clock == "system":
        app.task(Ticker(hands, topics, kafka).run)

    return app


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise SettingsWrong(
            f"SEATSTREAM_WEB: {host}:{port} cannot be used ({error.strerror}). Each worker on a machine needs a port of"
            " its own."
        ) from error


def _credentials(kafka: dict[str, Any]) -> CredentialsT | None:
    """The same for the one producer that Faust makes by itself."""
    if kafka["security_protocol"].startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=kafka["sasl_mechanism"],
            username=kafka["sasl_plain_username"],
            password=kafka["sasl_plain_password"],
            ssl_context=kafka.get("ssl_context"),
        )
    if kafka["security_protocol"] == "SSL":
        return faust.SSLCredentials(kafka["ssl_context"])
    return None
