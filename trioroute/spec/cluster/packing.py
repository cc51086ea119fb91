"""A small code folder as a ConfigMap: how a scoring script gets into a cluster without a registry.

A ConfigMap holds at most 1 MiB and no folders. Its name has a hash of what is in it: replicas of
before a change keep theirs, and a changed file is a changed source, which is rolled out.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

__all__ = ["CODE_OF", "PACK_BYTES_MAX", "CodePack", "UnpackableError", "pack_folder"]

#: Kubernetes' limit for all the data of a ConfigMap.
PACK_BYTES_MAX: Final = 1024 * 1024
#: What a ConfigMap's keys may be made of.
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
#: A name of 253 characters may be given; labels take 63 and people read less.
_NAME_MAX: Final = 63
_HASH_CHARACTERS: Final = 10

#: Label: the deployment whose code a ConfigMap is, as its resource is named.
CODE_OF: Final = "trioroute.dev/code-of"


class UnpackableError(ValueError):
    """The folder does not fit into a ConfigMap; says why, and what to do."""


@attrs.frozen(kw_only=True)
class CodePack:
    """What a scoring script needs, as files of one folder.

    Attributes:
        resource: name of the deployment's custom resource.
        files: name to content.
    """

    resource: str
    files: Mapping[str, bytes] = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """Of the ConfigMap; another for other content."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        ending = f"-code-{digest.hexdigest()[:_HASH_CHARACTERS]}"
        return self.resource[: _NAME_MAX - len(ending)].rstrip("-") + ending

    def manifest(self) -> dict[str, Any]:
        """The ConfigMap."""
        texts: dict[str, str] = {}
        binaries: dict[str, str] = {}
        for name, content in sorted(self.files.items()):
            try:
                texts[name] = content.decode()
            except UnicodeDecodeError:
                binaries[name] = b64encode(content).decode()
        metadata = {"name": self.name, "labels": {CODE_OF: self.resource}}
        filled = {"data": texts, "binaryData": binaries}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            # Nobody edits it: other content has another name. The kubelet need not watch it either.
            "immutable": True,
            **{field: value for field, value in filled.items() if value},
        }


def pack_folder(folder: Path, resource: str) -> CodePack:
    """Read a code folder.

    Args:
        resource: name of the deployment's custom resource.

    Raises:
        UnpackableError: it has folders inside, is too large, or a file's name cannot be a key.
    """
    files = {}
    total = 0
    for path in sorted(folder.iterdir()):
        if path.name == "__pycache__" or path.name.startswith("."):
            continue
        if path.is_dir():
            message = f"{folder} has a folder in it, {path.name}, and a ConfigMap holds files only"
            raise UnpackableError(message)
        if not _KEY.fullmatch(path.name):
            message = f"{path}: only letters, digits, - . and _ can name a file of a ConfigMap"
            raise UnpackableError(message)
        total += path.stat().st_size
        if total > PACK_BYTES_MAX:
            raise UnpackableError(f"{folder} is larger than the 1 MiB that a ConfigMap holds")
        files[path.name] = path.read_bytes()
    return CodePack(resource=resource, files=files)
