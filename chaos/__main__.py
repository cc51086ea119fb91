"""`python -m chaos RUN`: run a scenario, print what it came to; exit 1 when it broke a promise."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import attrs

from chaos.faults import KINDS
from chaos.judging.report import Judgement, judge, shown, to_json
from chaos.lines.kinds import NETWORK_KINDS
from chaos.plan import make_plan
from chaos.pods.kinds import POD_KINDS
from chaos.pods.remote import check_remote
from chaos.pods.world import PodsWorld
from chaos.processes.world import ProcessesWorld
from chaos.scenarios import soak
from chaos.scenarios.table import SCENARIOS
from chaos.sim.system.run import fix_hash_seed
from chaos.simulated.world import SimulatedWorld
from chaos.workload.clients import CLIENT_KINDS
from chaos.world import Scenario, World
from trioroute.errors import ConfigError, ControlError

__all__ = ["main"]

_WORLDS: Final = ("processes", "simulated", "pods", "cluster")
_EVERY_KIND: Final = (*KINDS, *NETWORK_KINDS, *POD_KINDS)

#: A few faults, or the worst of them again and again, may cost most of a short run's requests; a
#: run that answers fewer than these shows nothing whatever its faults.
_OK_SHARE_OF_FEW: Final = 0.25


def main(argv: list[str] | None = None) -> int:
    """Run from a command line.

    Returns:
        the exit status: 1 when a rule was broken, 2 when there is no such run (argparse's) or
        the cluster of KUBECONFIG cannot be used, 3 when the run proves nothing.
    """
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("scenario", choices=[*SCENARIOS, "list", "kinds"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, help="how many; the scenario's own number otherwise")
    parser.add_argument("--hours", type=float, help="for the soak: as many faults as fit in")
    parser.add_argument("--kinds", type=_kinds, help="only these kinds of fault, with commas")
    parser.add_argument("--client", choices=CLIENT_KINDS, help="only this kind of client")
    parser.add_argument("--rate", type=float, help="requests per second offered")
    parser.add_argument("--report", type=Path, help="write what happened here, as JSON")
    parser.add_argument("--world", choices=_WORLDS, default="processes")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args(argv)
    if options.scenario in ("list", "kinds"):
        _print_list(options.scenario)
        return 0
    scenario = _adapted(SCENARIOS[options.scenario], options)
    print(f"scenario {scenario.name}, seed {options.seed}", flush=True)
    world: World = ProcessesWorld(say=_say, keep=options.keep)
    if options.world == "simulated":
        world = SimulatedWorld()
    elif options.world in ("pods", "cluster"):
        world = PodsWorld(say=_say, is_remote=options.world == "cluster")
    if options.world == "cluster":
        try:
            check_remote()
        except (ConfigError, ControlError) as error:
            parser.error(str(error))
    try:
        judgement = run_scenario(scenario, world, options.seed)
    except NoSuchRunError as error:
        parser.error(str(error))
    if options.report is not None:
        options.report.write_text(json.dumps(to_json(judgement), indent=1))
    words = sys.argv[1:] if argv is None else argv
    print(shown(judgement, replay=f"python -m chaos {' '.join(words)}"), flush=True)
    if judgement.violations:
        return 1
    return 3 if judgement.invalid else 0


class NoSuchRunError(ValueError):
    """A scenario cannot be run in a world; the message says why, and what to do."""


def run_scenario(scenario: Scenario, world: World, seed: int) -> Judgement:
    """Plan, run and judge.

    Raises:
        NoSuchRunError: none of the scenario's kinds of fault is possible here, or the scenario
            makes no sense in this world.
    """
    if world.name not in scenario.worlds:
        choices = " or ".join(sorted(scenario.worlds))
        raise NoSuchRunError(
            f"{scenario.name} makes no sense in the {world.name} world: --world {choices}"
        )
    impossible = world.impossible()
    if impossible.keys() >= set(scenario.profile.kinds):
        needs = (f"{name} needs {impossible[name]}" for name in scenario.profile.kinds)
        raise NoSuchRunError(f"none of its faults can be done here: {'; '.join(needs)}")
    plan = make_plan(seed, scenario.profile, without=impossible)
    return judge(world.run(scenario, plan), scenario.levels)


def _adapted(scenario: Scenario, options: argparse.Namespace) -> Scenario:
    """The scenario with what the command line says otherwise; levels that depend on it yield."""
    profile, levels, load = scenario.profile, scenario.levels, scenario.load
    if options.kinds:
        profile = attrs.evolve(profile, kinds=options.kinds)
        levels = attrs.evolve(levels, kinds_min=1)
    if options.kinds or (options.faults is not None and options.faults < levels.kinds_min):
        share = min(levels.ok_share_min, _OK_SHARE_OF_FEW)
        levels = attrs.evolve(levels, ok_share_min=share)
    if options.faults is not None:
        profile = attrs.evolve(profile, fault_count=options.faults)
        kinds_min = min(levels.kinds_min, options.faults)
        levels = attrs.evolve(levels, kinds_min=kinds_min, requests_min=0)
    if options.client is not None:
        load = attrs.evolve(load, mix={options.client: 1})
    if options.hours is not None:
        count = max(1, round(options.hours * 3600 / soak.PERIOD_S))
        profile = attrs.evolve(profile, fault_count=count)
        levels = attrs.evolve(levels, kinds_min=min(levels.kinds_min, count))
    if options.rate is not None:
        load = attrs.evolve(load, rate=options.rate)
        levels = attrs.evolve(levels, rate_min=min(levels.rate_min, options.rate * 0.9))
    return attrs.evolve(scenario, profile=profile, levels=levels, load=load)


def _kinds(text: str) -> tuple[str, ...]:
    """Names of kinds of fault, as they stand on the command line."""
    names = tuple(text.split(","))
    unknown = set(names) - {kind.name for kind in _EVERY_KIND}
    if unknown:
        said = ", ".join(sorted(unknown))
        raise argparse.ArgumentTypeError(
            f"no such kind of fault: {said}; `python -m chaos kinds` lists them"
        )
    return names


def _print_list(what: str) -> None:
    if what == "kinds":
        for kind in _EVERY_KIND:
            print(f"{kind.name:20} row {kind.row:2}  {kind.does}")
        return
    for name, scenario in SCENARIOS.items():
        worlds = ", ".join(sorted(scenario.worlds))
        print(f"{name:22} {worlds:21} {scenario.claim.splitlines()[0]}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    if "simulated" in sys.argv:
        fix_hash_seed("chaos")
    sys.exit(main())
