"""The command `seatstream`: one table of subcommands, each loaded only when it is asked for."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

# Name, the module with `add_arguments(parser)` and `run(args) -> int`, and what `--help` says.
COMMANDS = (
    ("demo", "streams.demo", "a company's seats and credits, live through a real Kafka, until Ctrl-C"),
    ("worker", "streams.worker", "fold facts from Kafka into balances, until told to stop"),
    ("facts", "streams.facts", "publish facts from standard input, one JSON object a line"),
    ("play", "streams.play", "play facts from a file, without Kafka, and show what follows"),
    ("redrive", "streams.redrive", "send dead letters again, chosen by code, customer, topic or time"),
    ("verify", "streams.verify", "prove that the rows and the outputs follow from the inputs; reads only"),
    ("token", "streams.token", "make a token for the HTTP"),
    ("settings", "streams.settings", "print the settings that are in force"),
    ("broker", "streams.broker", "run the embedded Kafka until interrupted"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns its exit code."""
    clash = clash_with_pytables()
    if clash is not None:
        print(f"seatstream: {clash}", file=sys.stderr)
        return 1
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="seatstream", description="Seats and credits from Kafka, through an exact ledger."
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module, summary in COMMANDS:
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        # Only the command at hand is imported: `play` must not wait for Kafka's clients.
        if words[:1] == [name]:
            command = import_module(module)
            command.add_arguments(subparser)
            subparser.set_defaults(run=command.run)
    args = parser.parse_args(words)
    code: int = args.run(args)
    return code


def run() -> int:
    """`main`, where Ctrl-C at any moment is an end like any other, told by the exit code alone."""
    try:
        return main()
    except KeyboardInterrupt:
        return 130


def clash_with_pytables() -> str | None:
    """Says what to do where PyTables shares this environment; its package is called `tables` too."""
    try:
        found = version("tables")
    except PackageNotFoundError:
        return None
    return (
        f"PyTables {found} is installed in this environment. Its package is called `tables`, as one of"
        " SeatStream's is, and one would be imported in place of the other. Give SeatStream an environment"
        " of its own (python3 -m venv), or remove the other one: pip uninstall tables"
    )
