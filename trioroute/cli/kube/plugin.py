"""`kubectl trioroute …`: the same verbs, on the cluster that `kubectl` is pointed at.

`kubectl` runs any program of this name that is on the PATH and hands its arguments over as they
are, so those that say which cluster is meant are read here; they stand before the verb.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from trioroute.cli.main import main as trioroute

__all__ = ["main", "read_arguments"]

#: Where k8s/ installs front-ends.
_NAMESPACE: Final = "trioroute-system"
#: Option of `kubectl` → what says the same to the verbs.
_VARIABLES: Final = {
    "-n": "TRIOROUTE_NAMESPACE",
    "--namespace": "TRIOROUTE_NAMESPACE",
    "--context": "TRIOROUTE_KUBE_CONTEXT",
    "--kubeconfig": "TRIOROUTE_KUBECONFIG",
}


def read_arguments(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The variables to set, and what is left for `trioroute`."""
    rest = list(arguments)
    found: dict[str, str] = {}
    while rest:
        option, equals, value = rest[0].partition("=")
        if option not in _VARIABLES:
            break
        if equals:
            del rest[:1]
        elif len(rest) > 1:
            value = rest[1]
            del rest[:2]
        else:
            break
        found[_VARIABLES[option]] = value
    return found, rest


def main() -> NoReturn:
    """Run the verb on the cluster; exits with its status."""
    found, rest = read_arguments(sys.argv[1:])
    os.environ.setdefault("TRIOROUTE_NAMESPACE", _NAMESPACE)
    os.environ.update(found)
    trioroute(rest)
