"""`seatstream worker`: folds the partitions that the group gives it until told to stop.

SIGTERM and SIGINT end it in order: the chunks in hand are committed, the rows are closed, and the group hears of it at
once, so that the others take over without waiting for a session to run out.
"""

import argparse
import asyncio
import fcntl
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import uvloop
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY

from streams import broken_connections, logs
from streams import settings as environment
from streams.app import App
from streams.lookout import Lookout
from streams.settings import Settings, SettingsWrong
from wire.topics import Topics, TopicsUnfit, ensure

log = logging.getLogger(__name__)

#: How long a worker may take to stop: less than what orchestrators grant before they kill.
STOP_S = 25

#: How the app of these settings is made; the topics are there by then.
Build = Callable[[Settings, Topics], App]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", default="info", choices=("debug", "info", "warning", "error"), help="how much to say")


def run(args: argparse.Namespace) -> int:
    """Runs a worker with the fold that `streams.wiring` builds."""
    from streams.wiring import build  # noqa: PLC0415

    return work(build, args.log)


def work(build: Build, loglevel: str = "info") -> int:
    """Runs a worker until it is told to stop; 1 where it cannot start, with the reason."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    broken_connections.install()
    try:
        settings = environment.read()
        held = _hold(settings.data)
        topics = asyncio.run(ensure(settings.topics, settings.kafka()))
        app = build(settings, topics)
    except (SettingsWrong, TopicsUnfit) as error:
        print(f"seatstream: {error}", file=sys.stderr)
        return 1
    except KafkaError as error:
        print(f"seatstream: Kafka does not answer at {', '.join(settings.broker)}: {error}", file=sys.stderr)
        return 1
    # What is there by now stays: a look at all of it for garbage would take a tenth of a second, again and again.
    gc.collect()
    gc.freeze()
    worker = app.Worker(loglevel=loglevel, quiet=True, redirect_stdouts=False, override_logging=False)
    # It would write to the terminal between our lines.
    worker.spinner = None
    logs.begin(loglevel, settings.log, settings.secrets())
    app.on_stopping = _stop_in_time
    lookout = Lookout(app)
    REGISTRY.register(lookout)
    try:
        with held:
            worker.execute_from_commandline()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        REGISTRY.unregister(lookout)
    return 0


def _stop_in_time() -> None:
    """Without Kafka, its clients would wait for it for ever."""
    timer = threading.Timer(STOP_S, _give_up)
    timer.daemon = True
    timer.start()


def _give_up() -> None:
    log.error("not stopped in order after %d s: Kafka may be gone. What it has not committed is folded again.", STOP_S)
    logging.shutdown()
    os._exit(1)


def _hold(data: Path) -> IO[str]:
    """The data directory for ourselves, as long as this process lives."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("w")
    except OSError as error:
        raise SettingsWrong(f"SEATSTREAM_DATA: {data} cannot be written to: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise SettingsWrong(
            f"another worker uses {data}. Each needs a data directory of its own: set SEATSTREAM_DATA."
        ) from error
    return lock
