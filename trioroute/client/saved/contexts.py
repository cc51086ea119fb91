"""Named systems of one user, in a file of their own: `trioroute config use prod`.

`$XDG_CONFIG_HOME/trioroute/contexts.json`, or what TRIOROUTE_CONFIG names. It never holds a token,
only the name of a file that does: configuration gets copied, shown and committed.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trioroute.errors import ConfigError

__all__ = ["Context", "Contexts", "contexts_path", "read_contexts", "write_contexts"]


class Context(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One system.

    Attributes:
        admin: admin addresses separated by commas.
        data: data folder of an `up` on this machine.
        namespace: of the front-ends, for a system in a Kubernetes cluster.
        kubeconfig: the file that says how to reach that cluster; empty for `kubectl`'s own.
        kube_context: which of that file's contexts; empty for its current one.
        url: the scoring address, where the front-ends cannot tell it.
        token_file: a file that holds the admin token.
    """

    admin: str = ""
    data: str = ""
    url: str = ""
    token_file: str = ""
    namespace: str = ""
    kubeconfig: str = ""
    kube_context: str = ""


class Contexts(msgspec.Struct, forbid_unknown_fields=True):
    """All of them, and which one counts when nothing else is said."""

    current: str = ""
    contexts: dict[str, Context] = msgspec.field(default_factory=dict)


def contexts_path(environment: Mapping[str, str]) -> Path:
    """Where they are kept."""
    if environment.get("TRIOROUTE_CONFIG"):
        return Path(environment["TRIOROUTE_CONFIG"])
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or "~", ".config")
    return Path(home, "trioroute", "contexts.json").expanduser()


def read_contexts(path: Path) -> Contexts:
    """What is kept there; nothing when there is no file.

    Raises:
        ConfigError: the file cannot be read; says where in it and what was expected.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Contexts)
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is no file of contexts: {error}. Correct it, or remove it and "
            "name your systems again with `trioroute config set`"
        ) from None


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Replace the file as one step.

    Raises:
        ConfigError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(contexts), indent=2) + b"\n")
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
