"""A worker that cannot start says why in a sentence, and ends with 1."""

import asyncio
import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.settings import SettingsWrong, read
from streams.wiring import build
from streams.worker import work


def never(*args: Any) -> Any:
    raise AssertionError("nothing should have been built")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("SEATSTREAM_DATA", str(tmp_path))
    monkeypatch.setenv("SEATSTREAM_BROKER", "kafka://127.0.0.1:1")
    policy = asyncio.get_event_loop_policy()
    yield
    # A worker has a process of its own, and its kind of loop is for all of it.
    asyncio.set_event_loop_policy(policy)


def test_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SEATSTREAM_PARTITIONS", "0")

    assert work(never) == 1
    assert "SEATSTREAM_PARTITIONS: '0' is not a whole number from 1" in capsys.readouterr().err


def test_a_data_directory_that_another_worker_uses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert work(never) == 1
    assert "Each needs a data directory of its own" in capsys.readouterr().err


def test_a_data_directory_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEATSTREAM_DATA", str(tmp_path / "file" / "data"))

    assert work(never) == 1
    assert "SEATSTREAM_DATA: " in capsys.readouterr().err


def test_a_port_that_another_worker_listens_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = read({"SEATSTREAM_WEB": f"127.0.0.1:{port}", "SEATSTREAM_DATA": str(tmp_path)})

        with pytest.raises(SettingsWrong, match=f"127.0.0.1:{port} cannot be used .* needs a port of its own"):
            build(settings, settings.topics)


def test_a_kafka_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert work(never) == 1
    assert "Kafka does not answer at 127.0.0.1:1" in capsys.readouterr().err
