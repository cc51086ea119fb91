"""Asking a replica whether it is ready: one GET, as a kubelet would."""

import trio

from trioroute.core.model import Deployment
from trioroute.errors import BrokenAnswerError
from trioroute.net.dial import DialError, open_stream
from trioroute.net.stream import SocketStream, StreamBrokenError
from trioroute.net.tls import ClientTls
from trioroute.wire.fast import FastResponseDecoder
from trioroute.wire.http import Limits

__all__ = ["probe"]

_LIMITS = Limits()


async def probe(
    deployment: Deployment, host: str, port: int, *, tls: ClientTls | None = None
) -> str:
    """Ask for the readiness path once.

    Ready is any status of 200 to 399, as Kubernetes defines it for HTTP probes.

    Args:
        tls: for deployments whose replicas speak it; None: trusting the system.

    Returns:
        Empty when the replica is ready; else why it is not, in a few words.
    """
    timeout_s = deployment.readiness.timeout_s
    try:
        stream = await open_stream(
            host,
            port,
            timeout_s=timeout_s,
            tls=(tls or ClientTls()).context() if deployment.replica_tls else None,
            tls_name=deployment.replica_tls_name,
        )
    except (DialError, OSError) as error:
        return f"cannot be reached: {error}"
    try:
        return await _ask(stream, deployment.readiness_path, f"{host}:{port}", timeout_s)
    except (StreamBrokenError, BrokenAnswerError) as error:
        return f"readiness probe: {error}"
    finally:
        stream.reset()


async def _ask(stream: SocketStream, path: str, authority: str, timeout_s: float) -> str:
    decoder = FastResponseDecoder(_LIMITS)
    decoder.begin(b"GET")
    with trio.move_on_after(timeout_s):
        await stream.send_all(
            f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: trioroute-probe\r\n"
            "Connection: close\r\n\r\n".encode("latin-1")
        )
        while True:
            data = await stream.receive()
            if not data:
                return "closed without an answer"
            head = decoder.feed_head(data)
            while head is not None and head.status < 200:
                head = decoder.feed_head()
            if head is not None:
                return "" if head.status < 400 else f"answers {head.status}"
    return f"no answer within {timeout_s:g} s"
