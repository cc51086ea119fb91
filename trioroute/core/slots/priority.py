"""How important a request is: three bands, served strictly one after another.

Nobody ages into a higher band. A low request that no slot is left for waits its deployment's
longest wait, as any other, and is then refused with a time to ask again: the bound on waiting is
the bound on starving.
"""

import enum

__all__ = ["Priority"]


class Priority(enum.IntEnum):
    """The bands in the order of service; their numbers are those on the wire."""

    HIGH = 0
    NORMAL = 1
    LOW = 2
