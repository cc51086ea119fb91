"""How `doctor` looks into a cluster: what is not there is no error, and no right is no crash."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from trioroute.cli.kube.access import Access
from trioroute.cli.system.verdicts import Check, Verdict
from trioroute.discovery.kube.calls import KubeError

__all__ = ["Look"]

Json = dict[str, Any]

#: As the manifests have them: components put models elsewhere by this variable.
_STATEFUL_SET: Final = "trioroute"
_MODELS: Final = "MODELS_NAMESPACE"
_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403


@attrs.frozen
class Look:
    """Reads, and changes nothing."""

    access: Access

    def path(self, plural: str, group: str = "") -> str:
        """Where a kind is in the front-ends' namespace.

        Args:
            group: with its version, as `apps/v1`; empty for the core one.
        """
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{self.access.namespace}/{plural}"

    @property
    def stateful_set(self) -> str:
        """Where the front-ends' StatefulSet is."""
        return f"{self.path('statefulsets', 'apps/v1')}/{_STATEFUL_SET}"

    def get(self, path: str, **query: str) -> Json | None:
        """An object or a list; None when there is none. Raises KubeError."""
        try:
            return self.access.ask("GET", path, **query)
        except KubeError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def items(self, path: str, **query: str) -> list[Json]:
        """Of a list. Raises KubeError."""
        items: list[Json] = (self.get(path, **query) or {}).get("items") or []
        return items

    def models_namespaces(self) -> list[str]:
        """Where models are, as the StatefulSet says; else where the front-ends are.

        Raises KubeError.
        """
        found = self.get(self.stateful_set) or {}
        template = (found.get("spec") or {}).get("template") or {}
        for container in (template.get("spec") or {}).get("containers") or ():
            for variable in container.get("env") or ():
                if variable["name"] == _MODELS and variable.get("value"):
                    return [name.strip() for name in str(variable["value"]).split(",")]
        return [self.access.namespace]

    def of_models(self, group: str, plural: str, **query: str) -> list[Json]:
        """All of a kind where models are. Raises KubeError.

        Args:
            group: `api/v1`, or `apis/` with group and version.
        """
        return [
            one
            for namespace in self.models_namespaces()
            for one in self.items(f"/{group}/namespaces/{namespace}/{plural}", **query)
        ]

    def may(self, right: tuple[str, str, str, str], *, user: str = "", namespace: str = "") -> bool:
        """Whether somebody may do something in a namespace. Raises KubeError.

        Args:
            right: verb, group, resource, and a name or an empty one.
            user: whose rights; empty for our own.
            namespace: where; empty for the front-ends' own.
        """
        verb, group, resource, name = right
        resource, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": resource, "name": name}
        where = namespace or self.access.namespace
        attributes |= {"namespace": where, "subresource": subresource}
        kind = "SubjectAccessReview" if user else "SelfSubjectAccessReview"
        spec: Json = {"resourceAttributes": attributes, **({"user": user} if user else {})}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        path = f"/apis/authorization.k8s.io/v1/{kind.lower()}s"
        answer = self.access.send("POST", path, body)
        return bool(answer["status"]["allowed"])

    def carefully(self, name: str, check: Callable[["Look"], Iterator[Check]]) -> Iterator[Check]:
        """The checks of one part; where the API refuses it, one that says so."""
        try:
            yield from check(self)
        except KubeError as error:
            where = f"kubernetes.{name.replace('_', '-')}"
            if error.status == _FORBIDDEN:
                yield Check(where, Verdict.SKIPPED, f"you may not look at it: {error}")
            else:
                fix = "is the API server well? kubectl get --raw /readyz?verbose"
                yield Check(where, Verdict.BAD, str(error), fix)
