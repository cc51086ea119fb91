"""A guard mends again and again until it has; `local` and `cli/kubedrill` run whole ones."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator

import attrs
import pytest

from trioroute.drills.guarding import standing
from trioroute.drills.guarding.standing import stand
from trioroute.drills.world import WorldError


@attrs.define
class Wound:
    """Fails so many times."""

    fails: int = 0
    cannot: bool = False
    done: list[str] = attrs.field(factory=list)

    def inflict(self) -> None:
        self.done.append("inflict")
        if self.cannot:
            raise WorldError("it would not")

    def keeper(self) -> Callable[[], None] | None:
        return None

    def heal(self) -> None:
        self.done.append("heal")
        if self.fails:
            self.fails -= 1
            raise WorldError("it would not heal")


@pytest.fixture(autouse=True)
def ended_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The drill is over; signals of the test run stay its own."""
    reading, writing = os.pipe()
    os.close(writing)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(standing, "_HEAL_PAUSE_S", 0.0)
    with io.FileIO(reading) as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield


def test_it_mends_when_the_drill_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    wound = Wound()
    assert stand(wound, 60) == 0
    assert wound.done == ["inflict", "heal"]
    assert capsys.readouterr().out.split() == ["done", "mended"]


def test_a_cure_that_fails_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    wound = Wound(fails=2, cannot=True)
    assert stand(wound, 60) == 0
    assert wound.done == ["inflict", "heal", "heal", "heal"]
    assert capsys.readouterr().out.splitlines() == ["failed: it would not", "mended"]


def test_what_cannot_be_mended_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "_HEAL_MAX_S", -1.0)
    assert stand(Wound(fails=1), 60) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "left: it would not heal"
