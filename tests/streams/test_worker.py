"""A worker that cannot start says why in a sentence, and ends with 1."""

import fcntl
from pathlib import Path
from typing import Any

import pytest

from streams.worker import work


def never(*args: Any) -> Any:
    raise AssertionError("nothing should have been built")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEATSTREAM_DATA", str(tmp_path))
    monkeypatch.setenv("SEATSTREAM_BROKER", "kafka://127.0.0.1:1")


def test_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SEATSTREAM_PARTITIONS", "0")

    assert work(never) == 1
    assert "SEATSTREAM_PARTITIONS: '0' is not a whole number from 1" in capsys.readouterr().err


def test_a_data_directory_that_another_worker_uses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert work(never) == 1
    assert "Each needs a data directory of its own" in capsys.readouterr().err


def test_a_kafka_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert work(never) == 1
    assert "Kafka does not answer at 127.0.0.1:1" in capsys.readouterr().err
