"""The script's certificates are what front-ends take."""

# house: tests k8s/, which is no Python

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from consensus.certificates import load_tls
from tests.k8s.rendered import FOLDER


@pytest.mark.skipif(shutil.which("openssl") is None, reason="SKIPPED: openssl not found")
def test_the_secret_holds_a_usable_certificate_for_each_pod(tmp_path: Path) -> None:
    script = ["sh", str(FOLDER / "peer-certificates.sh"), "trioroute-0", "trioroute-1"]
    done = subprocess.run(script, capture_output=True, check=True, text=True, timeout=60)
    secret = yaml.safe_load(done.stdout)
    assert secret["metadata"]["name"] == "trioroute-peers"
    for name, data in secret["data"].items():
        (tmp_path / name).write_bytes(base64.b64decode(data))
    for pod in ("trioroute-0", "trioroute-1"):
        load_tls(
            certificate=tmp_path / f"{pod}.crt",
            key=tmp_path / f"{pod}.key",
            authority=tmp_path / "ca.crt",
        )
