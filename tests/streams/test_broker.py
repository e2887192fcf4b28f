"""What the embedded broker refuses, and decides, before any Java is started."""

import uuid
from pathlib import Path

import pytest

from streams.broker import Broker, BrokerError, cluster_id


def test_a_directory_keeps_its_cluster(tmp_path: Path) -> None:
    assert cluster_id(tmp_path, nodes=1) == cluster_id(tmp_path, nodes=1)


def test_a_cluster_id_never_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xfb" * 16))

    assert not cluster_id(tmp_path, nodes=1).startswith("-")


def test_a_directory_of_three_nodes_is_not_opened_as_one(tmp_path: Path) -> None:
    cluster_id(tmp_path, nodes=3)

    with pytest.raises(BrokerError, match="start it with --nodes 3"):
        cluster_id(tmp_path, nodes=1)


def test_a_directory_whose_first_start_was_cut_short_is_said(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text('{"id": "S')

    with pytest.raises(BrokerError, match=r"cluster\.json cannot be read"):
        cluster_id(tmp_path, nodes=1)


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()

    with pytest.raises(BrokerError, match="is not empty and holds no broker"):
        cluster_id(tmp_path, nodes=1)

    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_two_nodes_are_no_quorum() -> None:
    with pytest.raises(BrokerError, match="2 nodes: choose 1, or 3"):
        Broker(nodes=2)
