"""Certificates that front-ends take, renewed and replaced without a moment of distrust."""

import base64
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.running import RunningCluster
from trioroute.app.host.certificates import PeerFiles, load_peer_tls
from trioroute.cli.main import main
from trioroute.errors import ConfigError


def run(capsys: pytest.CaptureFixture[str], line: str, *, status: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["certs", *line.split()])
    out, err = capsys.readouterr()
    assert ended.value.code == status, out + err
    return out, err


def unpacked(secret: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    for name, data in secret["data"].items():
        (folder / name).write_bytes(base64.b64decode(data))
    return folder


def load(folder: Path, pod: str, authority: Path | None = None) -> None:
    """As a front-end does it: whatever its peers would refuse is refused."""
    ca = (authority or folder) / "ca.crt"
    load_peer_tls(PeerFiles(folder / f"{pod}.crt", folder / f"{pod}.key", ca), pod)


def test_every_pod_is_known_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "--count 2 -n routers --seal")
    peers, seal = yaml.safe_load_all(out)
    assert {one["metadata"]["namespace"] for one in (peers, seal)} == {"routers"}
    assert len(base64.b64decode(seal["data"]["secret.key"])) == 64
    folder = unpacked(peers, tmp_path / "a")
    load(folder, "trioroute-0")
    load(folder, "trioroute-1")
    files = PeerFiles(folder / "trioroute-0.crt", folder / "trioroute-0.key", folder / "ca.crt")
    with pytest.raises(ConfigError, match="peers would refuse it"):
        load_peer_tls(files, "trioroute-1")
    other = unpacked(yaml.safe_load(run(capsys, "trioroute-0")[0]), tmp_path / "b")
    with pytest.raises(ConfigError, match="peers would refuse it"):
        load(other, "trioroute-0", authority=folder)


def test_an_authority_that_is_kept_renews_and_adds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "authority.pem"
    out, err = run(capsys, f"trioroute-0 --authority {kept}")
    assert f"wrote {kept}" in err
    assert kept.stat().st_mode & 0o077 == 0
    first = unpacked(yaml.safe_load(out), tmp_path / "a")
    second = unpacked(
        yaml.safe_load(run(capsys, f"--count 3 --authority {kept}")[0]), tmp_path / "b"
    )
    load(second, "trioroute-2", authority=first)
    load(first, "trioroute-0", authority=second)
    kept.write_text("nothing")
    _, err = run(capsys, f"trioroute-0 --authority {kept}", status=2)
    assert "it holds no PEM certificate with its key" in err


def test_one_authority_replaces_the_other_with_both_believed_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.pem", tmp_path / "new.pem"
    run(capsys, f"x --authority {old}")
    run(capsys, f"x --authority {new}")
    lines = [
        f"trioroute-0 --authority {old}",
        f"trioroute-0 --authority {old} --trust {new}",
        f"trioroute-0 --authority {new} --trust {old}",
        f"trioroute-0 --authority {new}",
    ]
    steps = [
        unpacked(yaml.safe_load(run(capsys, line)[0]), tmp_path / str(number))
        for number, line in enumerate(lines)
    ]
    # During each restart some have one step's files, and some the next one's.
    for one, other in pairwise(steps):
        load(one, "trioroute-0", authority=other)
        load(other, "trioroute-0", authority=one)
    with pytest.raises(ConfigError):
        load(steps[3], "trioroute-0", authority=steps[0])
    assert b"PRIVATE" not in (steps[1] / "ca.crt").read_bytes()


def test_it_is_written_into_the_cluster_and_the_seal_only_once(
    cluster: RunningCluster,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    del environment
    _, err = run(capsys, "--count 1 --seal --write")
    assert err.splitlines() == ["wrote secret trioroute-peers", "wrote secret trioroute-secret"]
    seal = cluster.get("Secret", "trioroute-secret")
    peers = cluster.get("Secret", "trioroute-peers")
    assert peers is not None
    _, err = run(capsys, "--count 1 --seal --write")
    assert "is there already and stays" in err
    assert cluster.get("Secret", "trioroute-secret") == seal
    renewed = cluster.get("Secret", "trioroute-peers")
    assert renewed is not None
    assert renewed["data"] != peers["data"]


def test_what_is_missing_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRIOROUTE_CONFIG", str(tmp_path / "none.json"))
    assert "--count N" in run(capsys, "", status=2)[1]
    assert "no cluster is in use" in run(capsys, "--count 1 --write", status=2)[1]
