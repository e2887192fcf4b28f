"""The app: Faust with the batch path, the tables and one agent; what it folds comes from outside."""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.assignor.partition_assignor import PartitionAssignor
from faust.types.auth import CredentialsT

from alerts.webhooks import ReceiversWrong
from streams.batches import ChunkConsumer, ChunkSchema, ChunkTransport
from streams.fold import Fold
from streams.group_offsets import GroupOffsets
from streams.hands import Hands
from streams.intake import MOST_RECORDS, Intake
from streams.outcomes import Outcomes
from streams.pulse import Pulse
from streams.serving import Serving, Window
from streams.settings import Settings, SettingsWrong
from streams.ticker import Ticker
from streams.transactions import CHANGELOGS
from streams.trimming import Trimmer
from streams.webhooks import Courier, ReceiverFile
from tables.faust_tables import RowTable, RowTableManager
from tables.shard import TABLES, Shards
from tables.store import Memory
from web.tokens import Tokens, TokensUnfit
from wire.topics import INPUTS, Topics


class Boot(BootStrategy):
    """Starts our own server in the place of Faust's: before there is a consumer, so that it can say what is missing."""

    app: "App"

    def web_server(self) -> Iterable[Any]:
        return [] if self.app.window is None else [self.app.window]


class App(faust.App):
    """A Faust app that also knows its topics, its rows and its hands."""

    logger = logging.getLogger("faust.worker")
    BootStrategy = Boot

    wire: Topics
    intake: Intake
    shards: Shards
    hands: Hands
    outcomes: Outcomes
    #: None where nobody is to be answered.
    window: Window | None = None
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
        canonical_url=settings.url,
        autodiscover=False,
    )
    intake = Intake(most_records)
    directory = settings.data / (topics.cluster or "tables") / settings.group
    shards = Shards(directory, Memory())
    hands = Hands(
        fold, topics=topics, group=settings.group, kafka=kafka, shards=shards, intake=intake, obeyed=settings.obeyed
    )
    pulse = Pulse(settings.session_ms / 1000)
    app.transport = ChunkTransport(app, topics=topics, kafka=kafka, intake=intake, settle=hands.settle, pulse=pulse)
    for table in TABLES:
        app.tables.add(RowTable(app, table, shards, topics.name(CHANGELOGS[table]), topics.partitions))
    cast(RowTableManager, app.tables).adopt = hands.adopt
    hands.consumer = lambda: cast(ChunkConsumer, app.consumer)
    app.wire, app.intake, app.shards, app.hands = topics, intake, shards, hands
    offsets = GroupOffsets(hands.cursors, lambda news: cast(ChunkConsumer, app.consumer).tell(news))
    hands.on_folded = offsets.tell_last
    app.task(offsets.run)

    facts = app.topic(*map(topics.name, INPUTS), schema=ChunkSchema(), partitions=topics.partitions)

    @app.agent(facts, name="fold")
    async def fold_chunks(stream: Any) -> None:
        async for event in stream.noack().events():
            hands.take(event.value, event.ack)

    app.outcomes = Outcomes()
    if web:
        serving = Serving(
            topics=topics,
            clock=settings.clock,
            kafka=kafka,
            hands=hands,
            intake=intake,
            outcomes=app.outcomes,
            pulse=pulse,
            assignment=lambda: _assignment(app),
            url=str(app.conf.canonical_url),
        )
        app.window = Window(serving, settings, _tokens(settings))
    if settings.clock == "system":
        app.task(Ticker(hands, topics, kafka).run)
        app.task(Trimmer(hands.shards, topics, kafka).run)
    if settings.webhooks is not None:
        file = _receivers(settings.webhooks)
        app.task(Courier(file, lambda: hands.cursors().keys(), topics=topics, group=settings.group, kafka=kafka).run)

    return app


def _assignment(app: App) -> dict[int, str]:
    """Which worker has which partition, as the group's leader told everybody."""
    told: Mapping[str, Mapping[str, Iterable[int]]] = cast(PartitionAssignor, app.assignor).external_topic_distribution
    # All inputs of a partition have one owner.
    name = app.wire.name(INPUTS[0])
    return {partition: url for url, topics in told.items() for partition in topics.get(name, ())}


def _receivers(path: Path) -> ReceiverFile:
    try:
        return ReceiverFile(path)
    except (OSError, ReceiversWrong) as error:
        raise SettingsWrong(f"SEATSTREAM_WEBHOOKS: {error}") from error


def _tokens(settings: Settings) -> Tokens | None:
    try:
        return None if settings.tokens is None else Tokens(settings.tokens)
    except TokensUnfit as error:
        raise SettingsWrong(str(error)) from error


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
