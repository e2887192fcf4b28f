"""The packages as their wheel has them, with the ledger compiled: for whoever compares them with the source."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build(place: Path) -> None:
    """Builds the wheel as `make wheel` does and unpacks it in `place`. Takes a minute and a C compiler."""
    command = ["uv", "build", "--quiet", "--no-build-isolation", "--offline", "--python", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--out-dir", str(place / "dist"), str(ROOT)],
        env={**os.environ, "SEATSTREAM_BUILD": "compiled"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the wheel was not built:\n{done.stderr[-4_000:]}")
    [wheel] = (place / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(place)
