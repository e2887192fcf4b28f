"""Programs that tests need and that no Python package brings: Debian's, installed where they are missing and we may."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class ProgramMissing(Exception):
    """A program could not be installed; the message says how to do it by hand."""


def program(name: str, package: str) -> str:
    """The path of a program, brought by Debian's `package` if need be. Raises `ProgramMissing`: a test is never skipped."""
    found = shutil.which(name)
    if found is not None:
        return found
    said = "no right to install packages"
    if shutil.which("apt-get") and os.geteuid() == 0:
        with (Path(tempfile.gettempdir()) / "seatstream-debian.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for arguments in (["install"], ["update"], ["install"]):
                what = (
                    [*arguments, "--yes", "--no-install-recommends", package] if arguments == ["install"] else arguments
                )
                ran = subprocess.run(
                    ["apt-get", "--quiet", *what],
                    env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
                )  # fmt: skip
                said = ran.stderr.strip()
                if (found := shutil.which(name)) is not None:
                    return found
    raise ProgramMissing(f"{name} is needed; install it with `apt-get install {package}` ({said})")
