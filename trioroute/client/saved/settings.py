"""Which system is meant, and who said so: argument, environment, context or default.

One table for the command line and the SDK. A context's token and scoring address belong to its
admin address: where something else named the address, they are left alone, so that a token never
goes to another system than the one it was meant for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from trioroute.client.saved.contexts import Context, contexts_path, read_contexts
from trioroute.errors import ConfigError

__all__ = ["DATA", "Setting", "Settings", "find_settings"]

#: Where `up` keeps everything unless told otherwise.
DATA: Final = ".trioroute"
_DEFAULT: Final = "default"


@attrs.frozen
class Setting:
    """A value, and where it came from; an empty value is none."""

    name: str
    value: str
    origin: str


@attrs.frozen(kw_only=True)
class Settings:
    """What was found.

    Attributes:
        admin: admin addresses; empty when the system is that of `namespace` or `data`.
        namespace: of the front-ends in a Kubernetes cluster; empty when they are in none.
        kubeconfig, kube_context: how to reach that cluster; empty for what `kubectl` would do.
        token: an admin token; its value is not for printing.
        token_file: where to read it instead.
    """

    context: Setting
    admin: Setting
    data: Setting
    url: Setting
    token: Setting = attrs.field(repr=False)
    token_file: Setting
    namespace: Setting
    kubeconfig: Setting
    kube_context: Setting

    def rows(self) -> list[dict[str, str]]:
        """For showing: without the token itself."""
        shown = attrs.evolve(self.token, value="(set)" if self.token.value else "")
        settings = (
            *(self.context, self.admin, self.namespace, self.kubeconfig, self.kube_context),
            *(self.data, self.url, shown, self.token_file),
        )
        return [{"name": s.name, "value": s.value, "origin": s.origin} for s in settings]

    def read_token(self) -> str | None:
        """The admin token, None where there is none.

        Raises:
            ConfigError: its file cannot be read.
        """
        if self.token.value or not self.token_file.value:
            return self.token.value or None
        try:
            return Path(self.token_file.value).expanduser().read_text("utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise ConfigError(
                f"the admin token cannot be read from {self.token_file.value} "
                f"({self.token_file.origin}): {reason}"
            ) from None


def find_settings(admin: str | None, data: Path | None, environment: Mapping[str, str]) -> Settings:
    """Decide.

    Args:
        admin, data: as given with `--admin` and `--data`, or to `connect()`.
        environment: TRIOROUTE_ADMIN, TRIOROUTE_DATA, TRIOROUTE_URL (scoring), TRIOROUTE_TOKEN,
            TRIOROUTE_TOKEN_FILE, TRIOROUTE_NAMESPACE (of front-ends in a Kubernetes cluster),
            TRIOROUTE_KUBECONFIG, TRIOROUTE_KUBE_CONTEXT, TRIOROUTE_CONTEXT, TRIOROUTE_CONFIG.

    Raises:
        ConfigError: the file of contexts cannot be read, or has no context of that name.
    """
    is_named = bool(admin) or data is not None or _has(environment, "ADMIN", "DATA", "NAMESPACE")
    name, context = ("", Context()) if is_named else _find_context(environment)
    said_by = f"context {name}" if name else ""
    if not admin and data is not None:
        # A folder that is named wins over an address that is only in the environment.
        environment = _without(environment, "ADMIN")
    if admin or data is not None or _has(environment, "ADMIN"):
        environment = _without(environment, "NAMESPACE")
    chosen = Setting("context", name, "TRIOROUTE_CONTEXT" if _has(environment, "CONTEXT") else "")
    if not name:
        chosen = Setting("context", "", "not used: the system is named" if is_named else _DEFAULT)
    elif not chosen.origin:
        chosen = attrs.evolve(chosen, origin=str(contexts_path(environment)))

    def pick(setting: str, argument: str, of_context: str, default: str = "") -> Setting:
        variable = f"TRIOROUTE_{setting.upper()}"
        options = (
            (argument, f"--{setting}"),
            (environment.get(variable, ""), variable),
            (of_context, said_by),
            (default, _DEFAULT),
        )
        value, origin = next((each for each in options if each[0]), ("", _DEFAULT))
        return Setting(setting, value, origin)

    return Settings(
        context=chosen,
        admin=pick("admin", admin or "", context.admin),
        data=pick("data", "" if data is None else str(data), context.data, DATA),
        url=pick("url", "", context.url),
        token=pick("token", "", ""),
        token_file=pick("token_file", "", context.token_file),
        namespace=pick("namespace", "", context.namespace),
        kubeconfig=pick("kubeconfig", "", context.kubeconfig),
        kube_context=pick("kube_context", "", context.kube_context),
    )


def _without(environment: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key != f"TRIOROUTE_{name}"}


def _has(environment: Mapping[str, str], *names: str) -> bool:
    return any(environment.get(f"TRIOROUTE_{name}") for name in names)


def _find_context(environment: Mapping[str, str]) -> tuple[str, Context]:
    path = contexts_path(environment)
    kept = read_contexts(path)
    name = environment.get("TRIOROUTE_CONTEXT") or kept.current
    if not name:
        return "", Context()
    if name not in kept.contexts:
        known = ", ".join(kept.contexts) or "none"
        raise ConfigError(f"there is no context {name} in {path}; there are: {known}")
    return name, kept.contexts[name]
