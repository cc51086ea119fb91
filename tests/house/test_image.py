"""The image is made of what is named, hashed, and of nothing that lies about in a checkout."""

import re

from tests.house.tree import ROOT

STEPS = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def pip_calls() -> list[str]:
    """Each call of pip that the Containerfile makes."""
    runs = [step for step in STEPS if step.startswith("RUN ")]
    return [call for run in runs for call in run.split("&&") if re.search(r"/pip \w", call)]


def test_pip_fetches_nothing_without_a_hash() -> None:
    calls = pip_calls()
    assert len(calls) >= 4
    for call in calls:
        is_hashed = "--require-hashes" in call
        is_built = "--no-deps" in call and "--no-build-isolation" in call
        is_local = "--no-deps" in call and "--no-index" in call
        assert is_hashed or is_built or is_local, call


def test_a_build_sees_what_is_copied_and_nothing_else() -> None:
    copied = {
        source.removeprefix("./")
        for step in STEPS
        if step.startswith("COPY ") and "--from" not in step
        for source in step.split()[1:-1]
    }
    rules = [line for line in IGNORED if not line.startswith("#")]
    assert rules[0] == "*"
    assert rules[-1] == "**/__pycache__"
    assert {line.removeprefix("!") for line in rules[1:-1] if line.startswith("!")} == copied
    assert {"trioroute", "consensus", "requirements.txt"} <= copied
