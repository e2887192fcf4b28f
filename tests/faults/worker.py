"""The real worker in a process of its own, for campaigns: small chunks, no HTTP, and ready to be armed (`points`) or broken
(`breaks`)."""

import os
import sys
from functools import partial
from pathlib import Path

from streams.wiring import build
from streams.worker import work
from tests.faults import breaks, points

if __name__ == "__main__":
    points.install(Path(os.environ["SEATSTREAM_DATA"]))
    breaks.install(os.environ.get("SEATSTREAM_TEST_BREAK"))
    # A fault has to fall between many transactions.
    sys.exit(work(partial(build, most_records=50, web=False), "info"))
