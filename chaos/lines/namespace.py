"""Network namespaces with one interface each, whose wire is a descriptor of this process.

The interface is a TUN device: what the kernel sends through it is read from the descriptor, and
what is written there arrives. A namespace ends with the last descriptor, socket or process in it.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

__all__ = ["Namespace", "enter_private_network", "open_device"]

_T = TypeVar("_T")

#: linux/sched.h, linux/if_tun.h
_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000

_DEVICE: Final = "wire0"


def enter_private_network() -> None:
    """From here on this thread is in a network of its own, and all that it starts.

    Threads that run already stay where they are: call it before any other is needed.

    Raises:
        OSError: not root, or the kernel refuses.
        subprocess.SubprocessError: `ip` does not work here.
    """
    _check(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET), "unshare")
    _ip("link", "set", "lo", "up")


def open_device(*address: str) -> int:
    """An interface in this thread's namespace, up; returns the descriptor of its wire.

    Args:
        address: as `ip addr add` takes it, its words apart.

    Raises:
        OSError: not root, or no TUN devices.
        subprocess.SubprocessError: `ip` does not work here.
    """
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        request = struct.pack("16sH22x", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(tun, _TUNSETIFF, request)
        _ip("addr", "add", *address, "dev", _DEVICE)
        _ip("link", "set", _DEVICE, "up")
    except BaseException:
        os.close(tun)
        raise
    return tun


class Namespace:
    """One namespace, its loopback and its interface.

    Attributes:
        tun: the wire of the interface.
    """

    def __init__(self, *address: str) -> None:
        """Make it; the address as `open_device` takes it.

        Raises:
            OSError: not root, no TUN devices, or no namespaces.
            subprocess.SubprocessError: `ip` does not work here.
        """
        self.tun = -1
        self._namespace = -1
        _run_apart(lambda: self._make(address))

    @property
    def path(self) -> Path:
        """What `nsenter` takes, while this process lives."""
        return Path(f"/proc/{os.getpid()}/fd/{self._namespace}")

    def make_socket(self) -> socket.socket:
        """A TCP socket that lives in this namespace for ever, whoever uses it."""
        return _run_apart(self._make_socket)

    def close(self) -> None:
        """The device and the namespace end with the last socket in it."""
        for descriptor in (self.tun, self._namespace):
            os.close(descriptor)

    def _make(self, address: tuple[str, ...]) -> None:
        enter_private_network()
        thread = threading.get_native_id()
        self._namespace = os.open(f"/proc/self/task/{thread}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.tun = open_device(*address)
        except BaseException:
            os.close(self._namespace)
            raise

    def _make_socket(self) -> socket.socket:
        _check(ctypes.CDLL(None, use_errno=True).setns(self._namespace, _CLONE_NEWNET), "setns")
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        return sock


def _run_apart(act: Callable[[], _T]) -> _T:
    """In a thread of its own: a namespace is a thread's, and this one's must not change."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(act).result()


def _ip(*words: str) -> None:
    # A child is forked by this thread, so it is in this thread's namespace.
    subprocess.run(("ip", *words), check=True, capture_output=True, timeout=10)


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
