"""What Docker is told, without Docker: a valid compose file whose settings, commands and files are ours."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from streams.broker import _Node, _properties
from streams.kafka_jars import KAFKA_VERSION
from streams.settings import SETTINGS, read
from streams.worker import STOP_S
from tests.promtool import promtool

ROOT: Final = Path(__file__).parents[1]
COMPOSE: Final = ROOT / "docker-compose.kafka.yml"
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
SERVICES: Final[dict[str, dict[str, Any]]] = YAML(typ="safe").load(COMPOSE)["services"]
WORKERS: Final = ("worker-1", "worker-2")
PINNED: Final = re.compile(r"[a-z/]+:v?[0-9]+\.[0-9]+\.[0-9]+(-[a-z]+)*")


def test_it_is_what_the_compose_specification_takes() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    found = subprocess.run([*check, str(COMPOSE)], capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout + found.stderr


def test_every_image_is_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    for image in [*bases, *(service["image"] for service in SERVICES.values())]:
        assert PINNED.fullmatch(image), image
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SERVICES["worker-1"]["image"] == f"seatstream:{project['version']}"


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_settings_that_it_takes(name: str, tmp_path: Path) -> None:
    environment = SERVICES[name]["environment"]
    known = {setting.variable for setting in SETTINGS}

    assert set(environment) <= known
    tokens = tmp_path / "tokens"
    tokens.touch()
    settings = read(environment | {"SEATSTREAM_TOKENS": str(tokens)})
    assert settings.broker == ("kafka:19092",)
    port = settings.web_port
    assert f":{port}/healthz" in SERVICES[name]["healthcheck"]["test"][-1]
    assert SERVICES[name]["ports"][0].endswith(f":{port}")
    # It tells the others its own name, and they find it by the service's.
    assert SERVICES[name]["hostname"] == name
    assert f"{name}:{port}" in (ROOT / "docs/prometheus/prometheus.yml").read_text()


def test_no_two_workers_share_a_disk_or_a_port() -> None:
    held = [{*SERVICES[name]["volumes"], *SERVICES[name]["ports"]} - {"tokens:/tokens:ro"} for name in WORKERS]

    assert held[0] & held[1] == set()
    assert all(f"{name}:/data" in places for name, places in zip(WORKERS, held, strict=True))


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_the_time_that_it_needs_to_stop(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > STOP_S


def test_kafka_is_told_what_the_embedded_one_is_told(tmp_path: Path) -> None:
    """Whatever is misspelled would be ignored in silence."""
    node = _Node(1, 9092, tmp_path, [], "")
    known = {f"KAFKA_{name.upper().replace('.', '_')}" for name in _properties(node, 9093, "", 1)}

    assert set(SERVICES["kafka"]["environment"]) <= known
    assert "PLAINTEXT://kafka:19092" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


@pytest.mark.parametrize("name", ["kafka", *WORKERS, "prometheus", "grafana"])
def test_what_serves_is_asked_whether_it_does_and_keeps_its_data(name: str) -> None:
    how, *command = SERVICES[name]["healthcheck"]["test"]

    assert how == "CMD"
    assert command[0] in ("/opt/kafka/bin/kafka-broker-api-versions.sh", "python", "wget")
    assert any(re.fullmatch(rf"{name}:/\S+", volume) for volume in SERVICES[name]["volumes"])


def test_a_health_check_of_a_worker_is_python_that_fails_where_nobody_answers() -> None:
    _, _, option, program = SERVICES["worker-1"]["healthcheck"]["test"]

    compile(program, "healthcheck", "exec")
    found = subprocess.run([sys.executable, option, program.replace("6066", "1")], capture_output=True, check=False)
    assert b"Connection refused" in found.stderr


def test_volumes_and_services_that_are_named_are_there() -> None:
    declared = YAML(typ="safe").load(COMPOSE)["volumes"]
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in declared or (ROOT / source).is_dir(), volume
        assert set(service.get("depends_on", ())) <= set(SERVICES)


def test_the_commands_are_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert 'ENTRYPOINT ["seatstream"]' in DOCKERFILE and 'CMD ["worker"]' in DOCKERFILE
    assert "seatstream" in project["scripts"]
    for copied in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert (ROOT / copied).exists(), copied


def test_grafana_finds_its_board_and_its_prometheus() -> None:
    grafana = SERVICES["grafana"]
    mounted = {inside: ROOT / here for here, inside, *_ in (each.split(":") for each in grafana["volumes"])}
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    provisioning = mounted["/etc/grafana/provisioning"]
    [provider] = YAML(typ="safe").load(provisioning / "dashboards/seatstream.yml")["providers"]
    [source] = YAML(typ="safe").load(provisioning / "datasources/prometheus.yml")["datasources"]

    assert (mounted[str(home.parent)] / home.name).is_file()
    assert provider["options"]["path"] == str(home.parent)
    assert source["url"] == f"http://prometheus:{SERVICES['prometheus']['ports'][0].rpartition(':')[2]}"
    scraped = YAML(typ="safe").load(ROOT / "docs/prometheus/prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped


def test_prometheus_takes_its_file() -> None:
    found = promtool("check", "config", "--syntax-only", str(ROOT / "docs/prometheus/prometheus.yml"))

    assert found.returncode == 0, found.stdout + found.stderr
