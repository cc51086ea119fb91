"""Scenarios are found under the names of their modules, whose docstrings are their claims."""

import importlib
from pathlib import Path

import chaos.scenarios
from chaos.scenarios.table import SCENARIOS

_FOLDER = Path(chaos.scenarios.__file__).parent


def test_each_module_states_one_scenario_its_own_claim() -> None:
    stems = {path.stem for path in _FOLDER.rglob("*.py")} - {"__init__", "table"}
    assert {name.replace("-", "_") for name in SCENARIOS} == stems
    for path in _FOLDER.rglob("*.py"):
        if path.stem in ("__init__", "table"):
            continue
        below = path.relative_to(_FOLDER).with_suffix("").parts
        module = importlib.import_module(".".join(("chaos", "scenarios", *below)))
        assert module.SCENARIO is SCENARIOS[path.stem.replace("_", "-")]
        assert module.SCENARIO.claim == module.__doc__


def test_worlds_are_told_by_names_that_there_are() -> None:
    worlds = {world for scenario in SCENARIOS.values() for world in scenario.worlds}
    assert worlds == {"processes", "simulated", "pods", "cluster"}
