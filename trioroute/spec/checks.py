"""What one field means for another: bounds that cross, traffic that does not add up.

Azure's client checks almost none of this; the service does, or should (D5).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from trioroute.spec.fields.document import Node
from trioroute.spec.fields.scope import Scope

if TYPE_CHECKING:
    from trioroute.spec import azure

__all__ = [
    "check_code",
    "check_endpoint",
    "check_kubernetes",
    "check_managed",
    "check_model",
    "check_scale",
]

#: Azure's limit for mirrored traffic (`azure-reference.md` section 5).
_MIRROR_MAX: Final = 50
#: Endpoint and deployment name of a Kubernetes deployment become one label (section 6.3).
_NAMES_CHARS_MAX: Final = 62


def check_model(model: "azure.Model", node: Node, scope: Scope) -> bool:
    """A version says which version of a name."""
    if model.version is not None and not model.name:
        scope.error(_at(node, "version"), "TR0109", "a version needs a name as well")
        return False
    return True


def check_code(code: "azure.CodeConfiguration", node: Node, scope: Scope) -> bool:
    """Code and script go together."""
    if code.code and not code.scoring_script:
        message = "the scoring_script is missing: the file in the code folder with init() and run()"
        scope.error(node, "TR0102", message, "scoring_script: score.py")
        return False
    if code.scoring_script and code.code is None:
        message = "a scoring_script without the folder it is in (code) is ignored by Azure"
        scope.warn(_at(node, "scoring_script"), "TR0114", message, "code: ./")
    return True


def check_scale(scale: "azure.ScaleSettings", node: Node, scope: Scope) -> bool:
    """Bounds belong to `target_utilization` and do not cross."""
    bounds = ("min_instances", "max_instances", "target_utilization_percentage", "polling_interval")
    given = [name for name in bounds if getattr(scale, name) is not None]
    if scale.type == "default":
        for name in given:
            message = "with type: default the number of replicas is instance_count"
            hint = "type: target_utilization, or delete the line"
            scope.child(name).error(_at(node, name), "TR0109", message, hint)
        return not given
    lowest, highest = scale.min_instances, scale.max_instances
    if lowest is not None and lowest > (highest or 1):
        most = highest if highest is not None else "1, its default"
        message = f"min_instances is {lowest}, but max_instances is {most}"
        below = scope.child("min_instances")
        below.error(_at(node, "min_instances"), "TR0109", message, f"max_instances: {lowest}")
        return False
    return True


def check_endpoint(endpoint: "azure.Endpoint", node: Node, scope: Scope) -> bool:
    """Traffic adds up, and the mirror is one more deployment."""
    is_traffic_valid = _check_traffic(endpoint.traffic, node, scope.child("traffic"))
    is_mirror_valid = _check_mirror(endpoint, node, scope.child("mirror_traffic"))
    if endpoint.auth_mode == "aad_token" and hasattr(endpoint, "compute"):
        message = "Azure has no aad_token on Kubernetes endpoints"
        below = scope.child("auth_mode")
        below.warn(_at(node, "auth_mode"), "TR0114", message, "key or aml_token")
    return is_traffic_valid and is_mirror_valid


def _check_traffic(traffic: Mapping[str, int] | None, node: Node, scope: Scope) -> bool:
    if not traffic:
        return True
    at = _at(node, "traffic")
    negative = [name for name, percent in traffic.items() if percent < 0]
    for name in negative:
        scope.child(name).error(_at(at, name), "TR0108", f"{traffic[name]} % is less than nothing")
    total = sum(traffic.values())
    if not negative and total not in (0, 100):
        parts = " + ".join(str(percent) for percent in traffic.values())
        sum_of = f"{parts} = {total}" if len(traffic) > 1 else str(total)
        scope.error(at, "TR0110", f"the percentages add up to {sum_of}; they have to make 0 or 100")
    folded = [name.lower() for name in traffic]
    if len(set(folded)) < len(folded):
        message = "two of the names differ in upper and lower case only; names are lower case"
        scope.error(at, "TR0110", message)
        return False
    return not negative and total in (0, 100)


def _check_mirror(endpoint: "azure.Endpoint", node: Node, scope: Scope) -> bool:
    mirror = endpoint.mirror_traffic
    if not mirror:
        return True
    at = _at(node, "mirror_traffic")
    if len(mirror) > 1:
        scope.error(at, "TR0111", f"one deployment can be the mirror, not {len(mirror)}")
        return False
    (name, percent), *_ = mirror.items()
    if not 0 <= percent <= _MIRROR_MAX:
        message = f"{percent} % is out of range: 0 to {_MIRROR_MAX} % can be mirrored"
        scope.child(name).error(_at(at, name), "TR0111", message)
        return False
    live = {key.lower(): value for key, value in (endpoint.traffic or {}).items()}
    if percent and live.get(name.lower()):
        message = f"{name} has live traffic ({live[name.lower()]} %) and cannot be the mirror too"
        scope.child(name).error(_at(at, name), "TR0111", message)
        return False
    return True


def check_kubernetes(deployment: "azure.KubernetesDeployment", node: Node, scope: Scope) -> bool:
    """The names of a Kubernetes deployment fit into one label."""
    length = len(deployment.endpoint_name) + len(deployment.name)
    if length > _NAMES_CHARS_MAX:
        message = (
            f"endpoint and deployment name have {length} characters together, "
            f"{_NAMES_CHARS_MAX} is the most"
        )
        scope.child("name").error(_at(node, "name"), "TR0106", message)
    return length <= _NAMES_CHARS_MAX


def check_managed(deployment: "azure.ManagedDeployment", node: Node, scope: Scope) -> bool:
    """Managed deployments have a fixed number of replicas."""
    scale = deployment.scale_settings
    is_fixed = scale is None or scale.type == "default"
    if not is_fixed:
        message = "only deployments with type: kubernetes scale by target_utilization"
        below = scope.child("scale_settings")
        below.error(_at(node, "scale_settings"), "TR0109", message, "type: kubernetes at the top")
    return is_fixed


def _at(node: Node, name: str) -> Node:
    """The value of a field, or the mapping when the field is spelled another way."""
    entry = (node.entries or {}).get(name)
    return entry.node if entry is not None else node
