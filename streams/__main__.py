"""`python -m streams` is another spelling of the command `seatstream`."""

from streams.cli import run

raise SystemExit(run())
