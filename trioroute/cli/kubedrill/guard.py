"""The guard of pods: parts one from its peers and takes that back, whatever the drill does.

Usage: `python -m trioroute.cli.kubedrill.guard LASTS_S`, the order as one line of JSON on its
standard input; `drills.guarding.standing` says what it does then. What SIGKILL of the guard leaves
behind has a label and a time, and the next drill, or `trioroute drill undo`, removes it.
"""

import sys

import msgspec

from trioroute.cli.kube.access import open_access
from trioroute.client.saved.settings import find_settings
from trioroute.drills.guarding.standing import stand
from trioroute.drills.kube.parting import Order, Parting

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Inflict, wait, mend; returns the exit status."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    cluster = {
        "TRIOROUTE_NAMESPACE": order.namespace,
        "TRIOROUTE_KUBECONFIG": order.kubeconfig,
        "TRIOROUTE_KUBE_CONTEXT": order.context,
    }
    access = open_access(find_settings(None, None, cluster))
    return stand(Parting(access, order), float(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
