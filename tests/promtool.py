"""Prometheus' own linter, which no Python package has."""

import subprocess

from tests.debian import program


def promtool(*args: str, said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [program("promtool", "prometheus"), *args], input=said, capture_output=True, check=False, timeout=60
    )
