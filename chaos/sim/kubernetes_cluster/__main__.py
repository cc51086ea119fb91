"""`python -m chaos.sim.kubernetes_cluster KUBECONFIG`: a fake control plane until it is stopped."""

import json
import sys
import tempfile
from pathlib import Path

import trio

from chaos.sim.kubernetes_cluster.plane import ADMIN_TOKEN, ControlPlane
from chaos.sim.kubernetes_cluster.tls import make_server_tls

__all__ = ["serve"]


async def serve(file: Path) -> None:
    """Serve by HTTPS, and write how to get in, for `kubectl` and every other client."""
    with tempfile.TemporaryDirectory(prefix="trioroute-plane-") as folder:
        plane = ControlPlane(make_server_tls(Path(folder)))
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.run)
        file.write_text(json.dumps(plane.kubeconfig(ADMIN_TOKEN)))
        address = plane.server.cluster["server"]
        print(f"{address}: KUBECONFIG={file}; no nodes here: TOY_KUBELET=1", flush=True)


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]))
