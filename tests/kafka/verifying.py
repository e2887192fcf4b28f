"""`seatstream verify` over a scene."""

import os
import time

from tests.kafka.ledger_scene import LedgerScene
from tests.kafka.nursery import Born


def verify(scene: LedgerScene, disk: str = "a", *arguments: str) -> tuple[int, str]:
    """Its exit code, and what it says."""
    log = scene.directory / f"verify.{time.monotonic_ns()}.log"
    # The journal knows which clock was obeyed.
    environment = {**os.environ, **scene.environment(scene.directory / disk), "SEATSTREAM_CLOCK": "topic"}
    code = Born("streams", environment, log, ["verify", *arguments]).wait(240)
    return code, log.read_text()
