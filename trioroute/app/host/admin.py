"""The admin API's listeners: one for everything, and where asked for one that only reads."""

from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Self

import attrs

from trioroute.admin.guard import AdminPolicy
from trioroute.admin.roles import AdminToken, parse_tokens
from trioroute.app.host.ports import LOOPBACK, open_listening_socket
from trioroute.errors import ConfigError

if TYPE_CHECKING:
    from trioroute.app.settings import FrontEndConfig

__all__ = ["AdminListeners", "load_tokens", "open_admin_listeners"]


@attrs.frozen(kw_only=True)
class AdminListeners:
    """The listening sockets and what each allows. A context that closes them.

    Attributes:
        host: what the listener for everything is bound to.
        read_only: None where there is none.
        tokens: who may do what; empty: whoever connects.
    """

    full: socket
    host: str = LOOPBACK[0]
    read_only: socket | None = None
    read_only_host: str = LOOPBACK[0]
    tokens: tuple[AdminToken, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for listening, _ in self.policies():
            listening.close()

    def policies(self) -> list[tuple[socket, AdminPolicy]]:
        """Each listener with its policy.

        Without tokens the full one answers to loopback names only, wherever it is bound: nothing
        else keeps a page in an operator's browser away from it.
        """
        full = AdminPolicy(tokens=self.tokens, is_loopback=not self.tokens or self.host in LOOPBACK)
        if self.read_only is None:
            return [(self.full, full)]
        reading = AdminPolicy(is_read_only=True, is_loopback=self.read_only_host in LOOPBACK)
        return [(self.full, full), (self.read_only, reading)]


def load_tokens(path: Path | None) -> tuple[AdminToken, ...]:
    """The tokens of a file; none where there is no file.

    Raises:
        ConfigError: it cannot be read, or a line is wrong.
    """
    if path is None:
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"--admin-tokens {path}: {why}") from None
    return parse_tokens(text, f"--admin-tokens {path}")


def open_admin_listeners(config: "FrontEndConfig") -> AdminListeners:
    """Open what a front-end's settings ask for.

    Raises:
        ConfigError: a port is taken, or the file of tokens cannot be used.
    """
    tokens = load_tokens(config.admin_tokens)
    full = open_listening_socket(config.admin_host, config.admin_port, option="--admin-port")
    read_only = None
    if config.read_only_port is not None:
        try:
            read_only = open_listening_socket(
                config.read_only_host, config.read_only_port, option="--read-only-port"
            )
        except BaseException:
            full.close()
            raise
    return AdminListeners(
        full=full,
        host=config.admin_host,
        read_only=read_only,
        read_only_host=config.read_only_host,
        tokens=tokens,
    )
