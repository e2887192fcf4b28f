"""Processes that are born with their imports done: each is forked from one that has read all modules once.

Reading them takes most of what a worker needs to start. What it does then is the same as in a process that was started by
hand, which tests/kafka/test_metrics.py and others still do.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_NURSERY = multiprocessing.get_context("forkserver")
_NURSERY.set_forkserver_preload(
    ["streams.wiring", "streams.worker", "streams.verify", "faust.cli.worker", "mode.worker"]
)


class Born:
    """A process of its own that runs a module as `python -m` would, and writes to a log; with what is used here of
    `subprocess.Popen`."""

    def __init__(self, module: str, environment: Mapping[str, str], log: Path, arguments: Sequence[str] = ()) -> None:
        log.touch()
        told = module, [module, *arguments], dict(environment), str(log)
        self._process = _NURSERY.Process(target=_live, args=told, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise TimeoutError(f"{self.pid} still runs after {timeout} s")
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def _live(module: str, argv: list[str], environment: Mapping[str, str], log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    runpy.run_module(module, run_name="__main__", alter_sys=True)
