"""Apache Kafka's jars: brought once from Maven Central, each the very file that the lock names.

`python -m streams.kafka_jars > streams/kafka.lock` writes the lock anew for the versions in `ROOTS`.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jgo
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

KAFKA_VERSION = "4.2.0"
# Kafka leaves the choice of a log to whoever runs it; without a binding it would say nothing at all.
ROOTS = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
LOCK = Path(__file__).with_name("kafka.lock")
ATTEMPTS = 3

Advance = Callable[[int], None]
ShowDownload = Callable[[str, int], AbstractContextManager[Advance]]


class JarsMissing(Exception):
    """Kafka's jars are not all here, and could not be brought."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked file; `size` is there to show progress, `sha256` to trust it."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def class_path() -> list[Path]:
    """The locked jars on this disk, checked; those that are missing or damaged are downloaded first."""
    folder = cache_dir()
    jars = read_lock()
    missing = [jar for jar in jars if not _is_whole(folder / jar.file_name, jar)]
    if missing:
        _bring(missing, folder)
    return [folder / jar.file_name for jar in jars]


def cache_dir() -> Path:
    """Where the jars stay: `SEATSTREAM_CACHE`, or the user's cache directory."""
    home = os.environ.get("SEATSTREAM_CACHE")
    base = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatstream"
    return base / "kafka" / KAFKA_VERSION


def read_lock() -> list[Jar]:
    """The jars in the order of the class path."""
    jars = []
    for line in LOCK.read_text().splitlines():
        coordinate, size, sha256 = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, int(size), sha256.removeprefix("sha256:")))
    return jars


def _is_whole(path: Path, jar: Jar) -> bool:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    return hashlib.sha256(content).hexdigest() == jar.sha256


def _bring(jars: list[Jar], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A file gets its final name only once it is whole, so that neither a broken download
        # nor a second process at the same work can leave half a jar on the class path.
        with tempfile.TemporaryDirectory(dir=folder, prefix="incoming-") as incoming, _progress(jars) as show:
            maven = _maven(Path(incoming), show)
            with ThreadPoolExecutor(max_workers=6) as pool:
                for jar, path in zip(jars, pool.map(lambda jar: _download(maven, jar), jars), strict=True):
                    path.replace(folder / jar.file_name)
    except OSError as error:  # also what the HTTP client raises
        raise JarsMissing(
            f"Kafka {KAFKA_VERSION} could not be downloaded ({error.__class__.__name__}: {error})."
            " It is needed once: see that Maven Central can be reached, or name a mirror as `central` under"
            " [repositories] in jgo's settings (~/.config/jgo.conf), or bring the jars that"
            f" {LOCK.name} lists into {folder}, or use a Kafka that runs already."
        ) from error


def _download(maven: MavenContext, jar: Jar) -> Path:
    artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    for _ in range(ATTEMPTS):
        try:
            path: Path = artifact.resolve()
        except (OSError, RuntimeError) as error:
            problem = str(error)
        else:
            if _is_whole(path, jar):
                return path
            problem = f"{jar.file_name} is not the file that the lock names"
        # What a broken download left would be taken for the whole file.
        if artifact.cached_path is not None:
            artifact.cached_path.unlink(missing_ok=True)
    raise OSError(f"{problem}, tried {ATTEMPTS} times")


def _maven(folder: Path, show: ShowDownload | None = None) -> MavenContext:
    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    return MavenContext(
        repo_cache=folder, remote_repos=repositories, resolver=PythonResolver(progress_callback=show), timeout=30
    )


@contextmanager
def _progress(jars: list[Jar]) -> Iterator[ShowDownload]:
    """One bar for all the jars; where nobody watches, one line at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"Apache Kafka {KAFKA_VERSION}", total=sum(jar.size for jar in jars))

        @contextmanager
        def show(_name: str, _size: int) -> Iterator[Advance]:
            yield lambda count: progress.advance(task, count)

        yield show


def _print_lock() -> None:
    with tempfile.TemporaryDirectory() as folder:
        maven = _maven(Path(folder))
        for found in jgo.resolve(ROOTS):
            path = maven.project(found.groupId, found.artifactId).at_version(found.version).artifact().resolve()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            coordinate = f"{found.groupId}:{found.artifactId}:{found.version}"
            print(coordinate, path.stat().st_size, f"sha256:{digest}")


if __name__ == "__main__":
    _print_lock()
