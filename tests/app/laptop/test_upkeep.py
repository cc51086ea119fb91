"""A front-end that hangs is told of once, and logs stay bounded while they are written to."""

from pathlib import Path

import attrs
import trio
import trio.testing

from trioroute.app.laptop.upkeep import bound_log, bound_logs, watch_front_ends


@attrs.define
class FrontEnds:
    """What their processes are and whether they answer, as the test says."""

    pids: dict[str, int | None]
    silent: set[int | None] = attrs.field(factory=set)
    said: list[str] = attrs.field(factory=list)

    async def answers(self, name: str) -> bool:
        await trio.sleep(5 if self.pids[name] in self.silent else 0)
        return self.pids[name] not in self.silent

    def start(self, nursery: trio.Nursery) -> None:
        async def run() -> None:
            await watch_front_ends(
                [*self.pids], pid=self.pids.get, answers=self.answers, say=self.said.append
            )

        nursery.start_soon(run)


async def test_a_silent_process_is_said_to_hang_once_and_to_be_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    front_ends = FrontEnds({"fe-0": 10, "fe-1": 11})
    async with trio.open_nursery() as nursery:
        front_ends.start(nursery)
        await trio.sleep(20)
        assert front_ends.said == []
        front_ends.silent.add(11)
        await trio.sleep(60)
        (said,) = front_ends.said
        assert said.startswith("fe-1 hangs: process 11 has not answered for 1")
        front_ends.silent.clear()
        await trio.sleep(20)
        assert front_ends.said[1:] == ["fe-1 answers again"]
        nursery.cancel_scope.cancel()


async def test_a_new_process_gets_the_whole_time(autojump_clock: trio.testing.MockClock) -> None:
    front_ends = FrontEnds({"fe-0": 10}, silent={10, 12, None})
    async with trio.open_nursery() as nursery:
        front_ends.start(nursery)
        await trio.sleep(30)
        front_ends.pids["fe-0"] = None
        await trio.sleep(60)
        assert len(front_ends.said) == 1, "no process, so none that hangs"
        front_ends.pids["fe-0"] = 12
        await trio.sleep(9)
        assert len(front_ends.said) == 1
        await trio.sleep(30)
        assert "process 12" in front_ends.said[1]
        nursery.cancel_scope.cancel()


def test_a_log_that_is_too_large_starts_anew_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "fe-0.log"
    with log.open("a") as writer:
        for number in range(3):
            writer.write(f"{number}" * 100 + "\n")
            writer.flush()
            bound_log(log, 150)
    assert log.read_text() == "2" * 100 + "\n"
    assert (tmp_path / "fe-0.log.1").read_text() == "0" * 100 + "\n" + "1" * 100 + "\n"


async def test_what_cannot_be_bounded_is_left_alone(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    large = b"x" * (9 * 1024 * 1024)
    (tmp_path / "fe-0.log").write_bytes(large)
    (tmp_path / "fe-0.log.1").mkdir()
    (tmp_path / "fe-1.log").write_bytes(large)
    with trio.move_on_after(1):
        await bound_logs(tmp_path)
    assert (tmp_path / "fe-0.log").stat().st_size == len(large)
    assert (tmp_path / "fe-1.log").stat().st_size == 0
