"""The real worker in a process of its own, for tests that kill and pause it: small chunks, no HTTP."""

import sys
from functools import partial

from streams.wiring import build
from streams.worker import work

if __name__ == "__main__":
    # A test wants many transactions, and to fall between them.
    sys.exit(work(partial(build, most_records=50, web=False), "info"))
