"""The cluster that trioroute offers to others' tests, with real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

import trioroute
from tests.e2e.system import REPLICA
from trioroute.testing import ClusterError, local_cluster, runtimes_variable

README = Path(__file__).parents[1] / "README.md"
DEPLOYMENT = """\
name: blue
endpoint_name: NAME
instance_type: any
instance_count: 2
request_settings: {max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 10000}
properties: {trioroute.command: "COMMAND"}
"""

#: Runs a scoring script as Azure's server does: the body's text in, what `run` returns as JSON out.
SERVER = """\
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import score

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.answer(score.run(body.decode()))
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

score.init()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def write(folder: Path, name: str) -> None:
    (folder / "records").mkdir(parents=True)
    write_files(folder, name, f"{REPLICA} {{port}} {folder / 'records'} 0")


def write_files(folder: Path, name: str, server: str) -> None:
    command = f"{sys.executable} {server}"
    (folder / "e.yml").write_text(f"name: {name}\nauth_mode: key\ntraffic: {{blue: 100}}\n")
    text = DEPLOYMENT.replace("COMMAND", command).replace("NAME", name)
    (folder / "d.yml").write_text(text)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_readme_s_fixture_works_with_the_readme_s_scoring_script(tmp_path: Path) -> None:
    blocks = [block.split("```")[0] for block in README.read_text().split("```python\n")[1:]]
    (shown,) = [block for block in blocks if "local_cluster" in block]
    (script,) = [block for block in blocks if "def run(data)" in block]
    folder = tmp_path / "fraud"
    folder.mkdir()
    (folder / "score.py").write_text(script)
    (folder / "server.py").write_text(SERVER)
    write_files(folder, "fraud", f"{folder / 'server.py'} {{port}}")
    (tmp_path / "test_fraud.py").write_text(shown)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_fraud.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_admin_addresses_are_all_that_anybody_has_to_know(tmp_path: Path) -> None:
    write(tmp_path / "files", "echo")
    with local_cluster(tmp_path / "files") as cluster:
        admin = ",".join(cluster.client.system.admin_urls)
        assert trioroute.connect(admin).online_endpoints.invoke("echo", 3) == "3"
        keys = cluster.client.endpoints.get_keys("echo")
        old = cluster.coordinator()
        new = cluster.kill_coordinator()
        assert new.epoch > old.epoch
        assert cluster.client.endpoints.get_keys("echo") == keys


def test_runtimes_outlive_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIOROUTE_RUNTIMES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / "trioroute" / "runtimes"
    assert runtimes_variable(None) == {"TRIOROUTE_RUNTIMES": str(kept)}
    assert kept.is_dir()
    assert runtimes_variable(tmp_path) == {"TRIOROUTE_RUNTIMES": str(tmp_path)}
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    assert runtimes_variable(None) == {}  # then each cluster has its own
    with pytest.raises(ClusterError, match="/dev/null/mine"):
        runtimes_variable("/dev/null/mine")
    monkeypatch.setenv("TRIOROUTE_RUNTIMES", "/elsewhere")
    assert runtimes_variable(None) == {}  # inherited


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_what_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="TR0006"), local_cluster(tmp_path):
        raise AssertionError("it must not start")
