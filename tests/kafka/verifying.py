"""`seatstream verify` over a scene."""

import os
import subprocess
import sys

from tests.kafka.ledger_scene import LedgerScene
from tests.kafka.scene import ROOT


def verify(scene: LedgerScene, disk: str = "a", *arguments: str) -> tuple[int, str]:
    """Its exit code, and what it says."""
    ran = subprocess.run(
        [sys.executable, "-m", "streams", "verify", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        # The journal knows which clock was obeyed.
        env={**os.environ, **scene.environment(scene.directory / disk), "SEATSTREAM_CLOCK": "topic"},
    )  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr
