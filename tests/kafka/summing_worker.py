"""A worker that sums, in a process of its own, for tests that kill and pause it."""

import sys

from streams.app import App, create
from streams.settings import Settings
from streams.worker import work
from tests.streams.summing import fold_sums
from wire.topics import Topics


def build(settings: Settings, topics: Topics) -> App:
    # Small chunks: a test wants many transactions, and to fall between them.
    return create(settings, topics, fold_sums, most_records=500, web=False)


if __name__ == "__main__":
    sys.exit(work(build, "info"))
