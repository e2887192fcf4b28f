"""The real worker with its HTTP, in a process of its own: small chunks."""

import sys
from functools import partial

from streams.wiring import build
from streams.worker import work

if __name__ == "__main__":
    sys.exit(work(partial(build, most_records=50), "info"))
