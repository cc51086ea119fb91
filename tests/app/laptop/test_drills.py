"""A drill sees who coordinates, kills for real, and knows when the killed one is back."""

from pathlib import Path

from tests.app.composed import running_group
from tests.app.laptop.test_front_ends import layout_in
from trioroute.app.laptop.drills import Drills
from trioroute.app.laptop.front_ends import FrontEnds
from trioroute.demo.scoring import ScoringTarget

TARGET = ScoringTarget("http://127.0.0.1:1/api/v1/service/digits/score", "key")


async def test_the_office_is_the_one_of_the_highest_epoch(tmp_path: Path) -> None:
    async with running_group(tmp_path, 3) as group:
        with layout_in(tmp_path, 3) as layout:
            drills = Drills(TARGET, group.door, FrontEnds(layout))
            office = await drills.find_office()
            assert office is not None
            assert office.since_s is not None, "the coordinator's own account"
            before = office.epoch
            group.front_ends[office.name].scope.cancel()
            await group.front_ends[office.name].ended.wait()
            while (successor := await drills.find_office()) is None or successor.epoch == before:
                pass
            assert successor.name != office.name
            assert drills.target is TARGET
            assert list(drills.front_ends) == ["fe-0", "fe-1", "fe-2"]
            assert drills.pid("fe-0") is None
