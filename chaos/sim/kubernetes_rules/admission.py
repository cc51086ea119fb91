"""Pods that a namespace refuses: more than its quota, or less safe than it asks for.

Of quotas only the number of pods, of Pod Security's levels only `restricted`, as recorded.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from chaos.sim.kubernetes.errors import ApiError

__all__ = ["check_admission", "used_by"]

Json = dict[str, Any]

_ENFORCED: Final = "pod-security.kubernetes.io/enforce"


def check_admission(
    namespace: Json, quotas: Sequence[Json], pods: Sequence[Json], pod: Json
) -> None:
    """May this pod be made?

    Args:
        quotas, pods: those of the namespace.

    Raises:
        ApiError: 403.
    """
    if namespace["metadata"].get("labels", {}).get(_ENFORCED) == "restricted":
        faults = ", ".join(_faults(pod["spec"]))
        if faults:
            raise _refused(pod, f'violates PodSecurity "restricted:latest": {faults}')
    used = used_by(pods)
    for quota in quotas:
        most = int(quota["spec"].get("hard", {}).get("pods", used + 1))
        if used >= most:
            name = quota["metadata"]["name"]
            counts = f"requested: pods=1, used: pods={used}, limited: pods={most}"
            raise _refused(pod, f"exceeded quota: {name}, {counts}")


def used_by(pods: Sequence[Json]) -> int:
    """How many pods count against a quota: all that have not ended."""
    return sum(pod["status"].get("phase") not in ("Succeeded", "Failed") for pod in pods)


def _refused(pod: Json, why: str) -> ApiError:
    name = pod["metadata"]["name"]
    details = {"name": name, "kind": "pods"}
    return ApiError(403, "Forbidden", f'pods "{name}" is forbidden: {why}', details=details)


def _faults(spec: Json) -> Iterator[str]:
    own, containers = spec.get("securityContext") or {}, spec["containers"]
    contexts = {one["name"]: one.get("securityContext") or {} for one in containers}

    def those(names: Sequence[str]) -> str:
        quoted = ", ".join(f'"{name}"' for name in names)
        return f"container{'s' if len(names) > 1 else ''} {quoted}"

    bare = [
        name for name, one in contexts.items() if one.get("allowPrivilegeEscalation") is not False
    ]
    if bare:
        fix = "must set securityContext.allowPrivilegeEscalation=false"
        yield f"allowPrivilegeEscalation != false ({those(bare)} {fix})"
    keeps = [
        name for name, one in contexts.items() if one.get("capabilities", {}).get("drop") != ["ALL"]
    ]
    if keeps:
        fix = 'must set securityContext.capabilities.drop=["ALL"]'
        yield f"unrestricted capabilities ({those(keeps)} {fix})"
    roots = [name for name, one in contexts.items() if not {**own, **one}.get("runAsNonRoot")]
    if roots:
        fix = "must set securityContext.runAsNonRoot=true"
        yield f"runAsNonRoot != true (pod or {those(roots)} {fix})"
    free = [name for name, one in contexts.items() if not {**own, **one}.get("seccompProfile")]
    if free:
        fix = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f"seccompProfile (pod or {those(free)} {fix})"
