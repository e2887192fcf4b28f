"""Kafka's jars are the very files that the lock names, or they are not used."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from streams import kafka_jars
from streams.kafka_jars import Jar, JarsMissing, class_path, read_lock

CONTENT = b"a jar"
JAR = Jar("org.example", "kafka", "1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a machine whose lock names one jar."""
    monkeypatch.setenv("SEATSTREAM_CACHE", str(tmp_path))
    monkeypatch.setattr(kafka_jars, "read_lock", lambda: [JAR])
    return tmp_path / "kafka" / kafka_jars.KAFKA_VERSION


def served(monkeypatch: pytest.MonkeyPatch, *answers: bytes | Exception) -> None:
    """Lets the downloads of this test end so, one after the other."""
    left = iter(answers)

    def download(_resolver: object, artifact: SimpleNamespace) -> Path:
        answer = next(left)
        path = Path(artifact.cached_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer if isinstance(answer, bytes) else CONTENT[:2])
        if isinstance(answer, Exception):
            raise answer
        return path

    monkeypatch.setattr("jgo.maven.PythonResolver.download", download)


def test_the_lock_names_each_jar_once_with_its_checksum() -> None:
    jars = read_lock()

    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert f"kafka_2.13-{kafka_jars.KAFKA_VERSION}.jar" in {jar.file_name for jar in jars}


def test_a_jar_is_downloaded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, CONTENT)

    assert class_path() == class_path() == [folder / "kafka-1.0.jar"]
    assert [path.name for path in folder.iterdir()] == ["kafka-1.0.jar"]


def test_a_damaged_jar_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True)
    (folder / "kafka-1.0.jar").write_bytes(b"half a j")
    served(monkeypatch, CONTENT)

    assert [path.read_bytes() for path in class_path()] == [CONTENT]


def test_a_download_that_breaks_off_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, OSError("connection reset"), CONTENT)

    assert [path.read_bytes() for path in class_path()] == [CONTENT]


def test_another_file_than_the_locked_one_is_never_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, b"forged", b"forged", b"forged")

    with pytest.raises(JarsMissing, match=r"kafka-1\.0\.jar is not the file that the lock names"):
        class_path()
    assert list(folder.iterdir()) == []


def test_a_machine_without_network_is_told_what_would_help(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, *[OSError("no route to host")] * 3)

    with pytest.raises(JarsMissing, match=r"no route to host.*mirror.*kafka\.lock lists into"):
        class_path()
