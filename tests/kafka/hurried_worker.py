"""The summing worker, with less patience when it is told to stop."""

import sys

from streams import worker
from tests.kafka.summing_worker import build

if __name__ == "__main__":
    worker.STOP_S = 3
    sys.exit(worker.work(build, "info"))
