"""The demo as a newcomer sees it, on the real broker."""

import os
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_plays_for_so_many_seconds_and_ends_by_itself(broker: str) -> None:
    demo = subprocess.run(
        command("--seconds", "24"), env=environment(broker), capture_output=True, timeout=90, check=False
    )
    said = demo.stdout.decode()

    assert demo.returncode == 0, demo.stderr.decode()
    assert "aurora-design  a contract: 80 seats" in said
    assert re.search(r"changed +aurora-design +seats 0 -> 82", said)
    assert re.search(r"refused +dead-letter", said)
    assert re.search(r"corrected +\w+", said)
    pool = [float(left) for left in re.findall(r"boreal-bank +the pool: ([0-9.]+) left", said)]
    assert any(later < earlier for earlier, later in pairwise(pool))
    assert said.endswith("That was it; nothing is left running.\n")


def test_ctrl_c_ends_it_in_order(broker: str) -> None:
    with subprocess.Popen(command(), env=environment(broker), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "a contract:" in line:
                break
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=30)

    assert demo.returncode == 0
    assert rest.endswith("That was it; nothing is left running.\n")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "streams", "demo", *arguments]


def environment(broker: str) -> dict[str, str]:
    return {**os.environ, "SEATSTREAM_BROKER": f"kafka://{broker}", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
