"""A front-end that starts tells the log that its earlier processes have ended."""

from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.app.host.predecessor import prove_predecessor_dead
from trioroute.core.registry import ProveDead, RegisterHolder, Registry
from trioroute.errors import NoCoordinatorError, TrioRouteError


class Log:
    """A registry behind an office that is empty for the first tries."""

    def __init__(self, *troubles: TrioRouteError) -> None:
        self.registry = Registry()
        self.troubles = [*troubles]
        self.tries: list[ProveDead] = []

    async def change(self, command: ProveDead) -> int:
        self.tries.append(command)
        if self.troubles:
            raise self.troubles.pop(0)
        index = self.registry.state.index + 1
        result = self.registry.apply(command, index)
        if result.error:
            raise RefusedError(result.error)
        return index


async def prove(log: Log, *, times: list[float]) -> None:
    await prove_predecessor_dead(
        "fe-0", below=2 << 20, ended_at=100.0, clock=lambda: times.pop(0), change=log.change
    )


async def test_it_is_tried_until_somebody_holds_the_office(autojump_clock: object) -> None:
    log = Log(NoCoordinatorError("nobody"), OutcomeUnknownError("perhaps"))
    log.registry.apply(RegisterHolder(epoch=0, holder="fe-0/0", incarnation=1 << 20 | 1), 1)
    await prove(log, times=[100.1, 100.5, 101.0])
    (death,) = log.registry.state.dead.values()
    assert death.below == 2 << 20
    assert death.ended_s_ago == 1.0, "as long ago as it is when it is said"


async def test_what_left_nothing_behind_is_not_asked_for_again(autojump_clock: object) -> None:
    log = Log()
    await prove(log, times=[100.1])
    assert len(log.tries) == 1


async def test_it_is_given_up_in_the_end(autojump_clock: object) -> None:
    log = Log(*[NoCoordinatorError("nobody")] * 10_000)
    await prove(log, times=[100.0] * 10_000)
    assert not log.registry.state.dead
