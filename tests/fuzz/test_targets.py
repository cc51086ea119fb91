"""The fuzz targets run, find nothing in a short while, and can find something."""

import base64
import random

import pytest

from tests.fuzz.driver import main, mutated
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_a_few_mutations_hold(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    rng = random.Random(name)
    for seed in seeds:
        target.run(seed)
    for _ in range(300):
        target.run(mutated(rng, rng.choice(seeds), rng.choice(seeds)))


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(name, ["--seconds", "0", "--plain"]) == 0
    assert "nothing found" in capsys.readouterr().out


def test_a_finding_is_printed_as_a_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(data: bytes) -> None:
        assert b"bug" not in data

    target = Target(run, lambda: [b"bug"])
    monkeypatch.setattr("tests.fuzz.targets.TARGETS", {"planted": target})
    with pytest.raises(AssertionError):
        main("planted", ["--seconds", "0", "--plain"])
    command = capsys.readouterr().err.strip()
    encoded = command.rpartition(" ")[2]
    assert base64.b64decode(encoded) == b"bug"
    with pytest.raises(AssertionError):
        main("planted", ["--input", encoded])
