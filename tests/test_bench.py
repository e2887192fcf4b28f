"""What is measured without Kafka can be measured by anyone, with one command."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("bench.period --seats 50", "50 seats: 51 messages in 1 steps"),
        ("bench.ageing --days 30 --seats 10 --burns 1", "CPU seconds"),
    ],
)
def test_a_small_measurement_tells_its_figures(command: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command.split()], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert said in done.stdout
