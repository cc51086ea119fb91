"""`python -m chaos.sim.kubernetes_cluster KUBECONFIG`: a fake control plane until it is stopped."""

import json
import sys
from pathlib import Path

import trio

from chaos.sim.kubernetes_cluster.plane import ADMIN_TOKEN, ControlPlane

__all__ = ["serve"]


async def serve(file: Path) -> None:
    """Serve, and write how to get in."""
    plane = ControlPlane()
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.run)
        file.write_text(json.dumps(plane.kubeconfig(ADMIN_TOKEN)))
        print(f"{plane.url}: KUBECONFIG={file}; no nodes here: TOY_KUBELET=1", flush=True)


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]))
