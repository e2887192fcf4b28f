"""Prometheus' own linter, which no Python package has."""

import os
import shutil
import subprocess

import pytest


def promtool(*args: str, said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs it. Where it is not on the path the test is skipped, and fails in CI: `.ci/run` brings it."""
    found = shutil.which("promtool")
    if found is None and os.environ.get("CI"):
        pytest.fail("promtool is not on the path: .ci/run brings it")
    if found is None:
        pytest.skip("promtool is not on the path; it comes with Prometheus")
    return subprocess.run([found, *args], input=said, capture_output=True, check=False)
