"""A kubelet's probes of one container: startup holds back the others, a failed liveness ends it.

Counts of failures, time-outs and the time that a start may take are the manifest's, and so are the
pauses of liveness. Whether a container has started or is ready is asked more often than it says,
and readiness without its first delay: tests wait for that all the time.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import trio

__all__ = ["Probed", "look_after"]

Json = dict[str, Any]

#: Between two looks: before a container is ready, and when it has been, seconds.
_EAGER_S: Final = 0.05
_CALM_S: Final = 0.5
_READ_BYTES: Final = 64


@attrs.frozen(kw_only=True)
class Probed:
    """One container that runs.

    Attributes:
        ready: is told whether it may be sent requests.
        end: ends it: it will be started again.
        execute: runs a command inside; whether that ended well.
    """

    container: Json
    address: str
    ready: Callable[[bool], Awaitable[None]]
    end: Callable[[str], None]
    execute: Callable[[list[str]], Awaitable[bool]]

    async def passes(self, probe: Json) -> bool:
        """Make one probe."""
        with trio.move_on_after(probe.get("timeoutSeconds", 1)):
            if "exec" in probe:
                return await self.execute(probe["exec"]["command"])
            if "tcpSocket" in probe:
                return await _connects(self.address, self._port(probe["tcpSocket"]["port"]))
            request = probe["httpGet"]
            return await _answers(self.address, self._port(request["port"]), request)
        return False

    def _port(self, named: int | str) -> int:
        ports = {one.get("name"): one["containerPort"] for one in self.container.get("ports", [])}
        return int(ports.get(named, named))


async def look_after(probed: Probed) -> None:
    """Probe until cancelled."""
    container = probed.container
    if "startupProbe" in container and not await _starts(probed, container["startupProbe"]):
        probed.end("did not start")
        await trio.sleep_forever()
    async with trio.open_nursery() as nursery:
        if "livenessProbe" in container:
            nursery.start_soon(_keep_alive, probed, container["livenessProbe"])
        if "readinessProbe" in container:
            nursery.start_soon(_keep_ready, probed, container["readinessProbe"])
        else:
            await probed.ready(True)


async def _starts(probed: Probed, probe: Json) -> bool:
    """Whether it does in the time that it has."""
    allowed_s = probe.get("initialDelaySeconds", 0)
    allowed_s += probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
    with trio.move_on_after(allowed_s):
        while not await probed.passes(probe):
            await trio.sleep(_EAGER_S)
        return True
    return False


async def _keep_alive(probed: Probed, probe: Json) -> None:
    await trio.sleep(probe.get("initialDelaySeconds", 0))
    failures = 0
    while failures < probe.get("failureThreshold", 3):
        failures = 0 if await probed.passes(probe) else failures + 1
        await trio.sleep(probe.get("periodSeconds", 10))
    probed.end("failed its liveness probe")


async def _keep_ready(probed: Probed, probe: Json) -> None:
    is_ready, failures = False, 0
    while True:
        if await probed.passes(probe):
            failures = 0
            if not is_ready:
                await probed.ready(True)
            is_ready = True
        else:
            failures += 1
            if is_ready and failures >= probe.get("failureThreshold", 3):
                await probed.ready(False)
                is_ready = False
        await trio.sleep(_CALM_S if is_ready and not failures else _EAGER_S)


async def _connects(address: str, port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream(address, port)
    except OSError:
        return False
    await stream.aclose()
    return True


async def _answers(address: str, port: int, request: Json) -> bool:
    """Any status of 200 to 399 will do."""
    host = next((h["value"] for h in request.get("httpHeaders", []) if h["name"] == "Host"), "pod")
    lines = f"GET {request['path']} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    try:
        async with await trio.open_tcp_stream(address, port) as stream:
            await stream.send_all(lines.encode())
            start = await stream.receive_some(_READ_BYTES)
    except (OSError, trio.BrokenResourceError):
        return False
    return start[9:10] in (b"2", b"3")
