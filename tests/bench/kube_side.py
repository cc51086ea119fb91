"""The router's side of `kube`: one process that watches a cluster and says what it sees, when."""

import gc
import json
import sys
import time
from typing import Any

import psutil  # type: ignore[import-untyped]
import trio

from trioroute.discovery.kube.api import KubeSettings, connect
from trioroute.discovery.kube.source import KubeReplicaSource

__all__: list[str] = []


async def watch(url: str, namespace: str) -> None:
    """Print JSON lines: memory before and with the picture, then when each pod was seen running."""
    settings = KubeSettings(namespaces=(namespace,), host=url, token="admin")
    (api,) = connect(settings)
    source = KubeReplicaSource(api)
    gc.collect()
    say(kind="before", rss=psutil.Process().memory_info().rss)
    began_at, seen = time.monotonic(), None
    async with source.watch() as pictures:
        async for picture in pictures:
            now = time.monotonic()
            running = {one.id.partition(".")[0] for one in picture if one.state == "running"}
            if seen is None:
                gc.collect()
                rss = psutil.Process().memory_info().rss
                say(kind="synced", rss=rss, pods=len(picture), took_s=now - began_at)
            else:
                for name in running - seen:
                    say(kind="seen", pod=name, at=now)
            seen = running


def say(**words: Any) -> None:
    """One line to whoever started this."""
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    trio.run(watch, sys.argv[1], sys.argv[2])
