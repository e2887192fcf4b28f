"""`python -m streams` is another spelling of the command `seatstream`."""

from streams.cli import main

raise SystemExit(main())
