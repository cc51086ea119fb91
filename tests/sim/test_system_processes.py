"""A stopped process takes no step, its timers run out meanwhile, and the others go on."""

import trio
import trio.testing

from chaos.sim.system.processes import Process, install_run_queue, start_outside


async def test_a_stopped_process_takes_no_step_until_it_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    install_run_queue()
    process, steps, others = Process("p"), list[float](), list[float]()

    async def beat(into: list[float]) -> None:
        while True:
            await trio.sleep(1)
            into.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.run, lambda: beat(steps))
        nursery.start_soon(beat, others)
        await trio.sleep(2.5)
        process.stop()
        await trio.sleep(10)
        assert len(steps) == 2
        assert len(others) == 12
        process.go_on()
        await trio.sleep(0.1)
        assert len(steps) == 3, "the timer that ran out meanwhile is found at once"
        nursery.cancel_scope.cancel()


async def test_a_stopped_process_can_be_killed(autojump_clock: trio.testing.MockClock) -> None:
    install_run_queue()
    process = Process("p")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.run, trio.sleep_forever)
        await trio.sleep(1)
        process.stop()
        process.kill()
    assert not process.is_alive


async def test_what_is_started_outside_goes_on_when_its_starter_stops(
    autojump_clock: trio.testing.MockClock,
) -> None:
    install_run_queue()
    process, ended = Process("p"), trio.Event()

    async def outside() -> None:
        await trio.sleep(2)
        ended.set()

    async with trio.open_nursery() as nursery:

        async def body() -> None:
            start_outside(nursery, outside)
            await trio.sleep_forever()

        nursery.start_soon(process.run, body)
        await trio.sleep(1)
        process.stop()
        with trio.fail_after(5):
            await ended.wait()
        process.kill()
