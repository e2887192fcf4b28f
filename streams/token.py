"""`seatstream token`: makes a token for the HTTP, told once; the file keeps what is needed to know it again."""

import argparse
import os
import sys
from pathlib import Path

from web.tokens import SCOPES, line_of, new


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="whose it is, for whoever reads the file")
    parser.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        help="what it is good for, several times for several; read, unless said",
    )
    parser.add_argument("--customer", action="append", help="only this customer's, several times for several; else all")
    parser.add_argument(
        "--file",
        type=Path,
        default=os.environ.get("SEATSTREAM_TOKENS") or None,
        help="append to it; SEATSTREAM_TOKENS, unless said",
    )


def run(args: argparse.Namespace) -> int:
    """Tells the token on standard output, alone, so that it can be put where it belongs."""
    customers = None if args.customer is None else frozenset(args.customer)
    secret, token = new(args.name, frozenset(args.scope or ["read"]), customers)
    line = line_of(token)
    if args.file is None:
        print(f"Put this line into the file that SEATSTREAM_TOKENS names:\n{line}", file=sys.stderr)
    else:
        try:
            _append(Path(args.file), line)
        except OSError as error:
            print(f"seatstream token: {args.file} cannot be written to: {error.strerror}", file=sys.stderr)
            return 1
        print(
            f"Appended to {args.file}; workers see it within a second. The token, which nobody can tell again:",
            file=sys.stderr,
        )
    print(secret)
    return 0


def _append(path: Path, line: str) -> None:
    """Readable by its owner alone where it is new: it says who there is."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    gap = "" if before.endswith("\n") or not before else "\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
        file.write(f"{gap}{line}\n")
