"""Processes of ours that outlive nobody: when we end, however that is, they end too."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

# Runs a command and outlives nobody: when the pipe from us closes, however we ended, the command is killed
# and what was only temporary removed. It shares the command's process group, and lets the group's SIGTERM pass
# to wait for an orderly end.
_GUARD = """
import shutil, signal, subprocess, sys, threading
temporary, *command = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: None)
child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
left_alone = threading.Event()
def follow():
    sys.stdin.buffer.read()
    left_alone.set()
    child.kill()
threading.Thread(target=follow, daemon=True).start()
code = child.wait()
if temporary and left_alone.is_set():
    shutil.rmtree(temporary, ignore_errors=True)
sys.exit(code)
"""


def start(
    command: Sequence[str], log: IO[bytes], *, temporary: str = "", env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a command that writes to `log`. `temporary` names a directory that goes where we are killed, or nothing."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _GUARD, temporary, *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env=env,
        # Ctrl-C in a terminal is for us; the others are told to stop when it is their turn.
        start_new_session=True,
    )


def tell(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Sends a signal to the command and its guard, where they still run."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
