"""A short time slice for the process that others wait for, where the kernel takes one.

Two processes are woken to hand a slot over, by one that is in the middle of something. Linux lets
the running process go on until it sleeps or its slice is used up (EEVDF, since 6.6; 1.4 ms on two
cores), so the coordinator often stood behind the very worker that had just written to it. Since
6.12 a process may ask for a shorter slice, without any privilege, and is then run at once when it
is woken, before those with longer ones; its share of the processor stays what it was
(sched_setattr(2), `sched_runtime` of SCHED_OTHER). Older kernels take the request and ignore it.

Not for workers: one that is run for each byte as it comes has fewer reads in a turn, and a turn's
writes are what makes an exchange cheap (`proxy/README.md`, decision 3).
"""

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator
from typing import Final

__all__ = ["short_slice", "slice_s", "use_usual_slice"]

#: Nanoseconds. Less than any usual slice (0.7 ms on one core), and more than a coordinator's turn:
#: with 0.1 ms, the least that Linux takes, others were run in the middle of one.
_SHORT_NS: Final = 300_000

#: Numbers of sched_setattr and sched_getattr; glibc has functions for them since 2.41 only.
_CALLS: Final = {"x86_64": (314, 315), "aarch64": (274, 275)}

#: Children begin with the usual slice, model servers above all. It would take a raised priority
#: from them too (sched(7)), so not where there is one.
_RESET_ON_FORK: Final = 0x01

#: struct sched_attr in its first version: size, policy, flags, nice, priority, runtime, deadline,
#: period.
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")


@contextlib.contextmanager
def short_slice(*, wanted: bool = True) -> Iterator[bool]:
    """Inside, this thread is run at once when it is woken. Gives whether the kernel does so."""
    if not wanted:
        yield False
        return
    try:
        yield _set_slice(_SHORT_NS) and slice_s() == _SHORT_NS / 1e9
    finally:
        use_usual_slice()


def use_usual_slice() -> bool:
    """As if nothing had been asked for, by this process or its parent: children may inherit it.

    Returns whether the kernel heard it.
    """
    return _set_slice(0)


def slice_s() -> float | None:
    """This thread's slice as the kernel tells it, seconds; None where it tells none."""
    attributes = _read()
    return attributes[5] / 1e9 if attributes and attributes[5] else None


def _set_slice(nanoseconds: int) -> bool:
    attributes = _read()
    if attributes is None or attributes[1] != os.SCHED_OTHER:
        return False  # an operator's own choice of a policy stands
    size, policy, flags, nice = attributes[:4]
    if nanoseconds and nice >= 0:
        flags |= _RESET_ON_FORK
    wish = _ATTRIBUTES.pack(size, policy, flags, nice, 0, nanoseconds, 0, 0)
    return _call(0, ctypes.create_string_buffer(wish, len(wish)), 0)


def _read() -> tuple[int, ...] | None:
    answer = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if not _call(1, answer, _ATTRIBUTES.size, 0):
        return None
    return _ATTRIBUTES.unpack(answer.raw)


def _call(which: int, *arguments: object) -> bool:
    """One of the two for this thread; False where there is none, or it is not allowed."""
    calls = _CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None:
        return False
    return bool(ctypes.CDLL(None).syscall(calls[which], 0, *arguments) == 0)
