"""`kubectl trioroute`: which cluster is meant, and that kubectl finds it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trioroute.cli.kube.plugin import read_arguments


@pytest.mark.parametrize(
    ("words", "variables", "rest"),
    [
        ("get endpoints", {}, ["get", "endpoints"]),
        (
            "-n models --context=prod --kubeconfig f get",
            {
                "TRIOROUTE_NAMESPACE": "models",
                "TRIOROUTE_KUBE_CONTEXT": "prod",
                "TRIOROUTE_KUBECONFIG": "f",
            },
            ["get"],
        ),
        # After the verb it is the verb's.
        ("online-endpoint show -n iris", {}, ["online-endpoint", "show", "-n", "iris"]),
        ("-n", {}, ["-n"]),
    ],
)
def test_what_says_which_cluster_is_meant_stands_before_the_verb(
    words: str, variables: dict[str, str], rest: list[str]
) -> None:
    assert read_arguments(words.split()) == (variables, rest)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="SKIPPED LOUDLY: no kubectl")
def test_kubectl_runs_it(tmp_path: Path) -> None:
    script = tmp_path / "kubectl-trioroute"
    code = "from trioroute.cli.kube.plugin import main; main()"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    variables["PYTHONPATH"] = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        ["kubectl", "trioroute", "config", "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=variables,
    )
    assert done.returncode == 0, done.stderr
    assert '"trioroute-system"' in done.stdout
