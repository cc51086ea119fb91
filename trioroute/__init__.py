"""An inference router: exact concurrency limits across front-ends, through fail-over."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trioroute.client.sdk import connect

__all__ = ["connect"]


def __getattr__(name: str) -> Any:
    """The SDK on first use: no process of the router pays for it."""
    if name == "connect":
        from trioroute.client.sdk import connect

        return connect
    if name in ("aio", "testing"):
        return importlib.import_module(f"trioroute.{name}")
    raise AttributeError(f"module 'trioroute' has no attribute {name!r}")
