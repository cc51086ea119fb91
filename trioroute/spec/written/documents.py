"""What a user wrote about one endpoint or deployment, kept beside what was made of it.

`update --set`, `diff` and `show` work on the user's own fields, which the model of what is routed
no longer has. Plain JSON: it travels in the replicated log.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs
import yaml

from trioroute.core.model import deployment_key
from trioroute.errors import ConfigError
from trioroute.spec import azure
from trioroute.spec.convert import to_variables
from trioroute.spec.fields.plain import to_plain
from trioroute.spec.reading import ReadFile

__all__ = ["Document", "from_yaml", "to_yaml"]

_VARIABLES = "environment_variables"


@attrs.frozen(kw_only=True)
class Document:
    """One resource in its user's words.

    Attributes:
        kind: `endpoint` or `deployment`.
        folder: absolute; what relative paths in it are relative to.
        content: the fields by Azure's names.
        assets: registered models that it names, and where `--assets` said they are: whoever
            changes a field later need not give that file again.
    """

    kind: str
    folder: str
    content: Mapping[str, Any]
    assets: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def of(cls, file: ReadFile) -> Self:
        """What a file says, with names as they are registered."""
        content = to_plain(file.node.value)
        content.pop("$schema", None)
        content["name"] = file.spec.name
        is_endpoint = isinstance(file.spec, azure.Endpoint)
        if not is_endpoint:
            assert isinstance(file.spec, azure.Deployment)
            content["endpoint_name"] = file.spec.endpoint_name.lower()
        if content.get(_VARIABLES):
            # As written: 1.10 is a text there, and no number.
            content[_VARIABLES] = to_variables(file.at(_VARIABLES))
        return cls(
            kind="endpoint" if is_endpoint else "deployment",
            folder=str(file.scope.folder.resolve()),
            content=content,
        )

    @classmethod
    def decode(cls, text: str) -> Self:
        """The inverse of `encode`.

        Raises:
            ConfigError: the resource was registered without one.
        """
        if not text:
            raise ConfigError("it was registered without a file, so its fields cannot be edited")
        plain = json.loads(text)
        return cls(
            kind=plain["kind"],
            folder=plain["folder"],
            content=plain["content"],
            assets=plain.get("assets", {}),
        )

    def encode(self) -> str:
        """As text for the log, the same for equal documents."""
        plain = attrs.asdict(self)
        if not self.assets:
            del plain["assets"]
        return json.dumps(plain, sort_keys=True, ensure_ascii=False)

    @property
    def key(self) -> str:
        """The resource's name in the registry."""
        name = str(self.content.get("name", ""))
        if self.kind == "endpoint":
            return name
        return deployment_key(str(self.content.get("endpoint_name", "")), name)

    def path(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)

    def to_text(self) -> str:
        """As a file that reads to the same: JSON is YAML too."""
        return json.dumps(self.content, indent=2, ensure_ascii=False)


def to_yaml(value: Any) -> str:
    """Plain maps, lists and scalars as YAML, in their order."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def from_yaml(text: str, file: str) -> Any:
    """The inverse of `to_yaml`, without the bounds on files that strangers wrote.

    Raises:
        ConfigError: it is no YAML; says where.
    """
    try:
        return to_plain(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        reason = getattr(error, "problem", None) or "it cannot be read"
        raise ConfigError(f"{file}{line}: this is no YAML: {reason}") from None
