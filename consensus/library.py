"""pysyncobj, imported without what importing it does to everybody else in the process.

Its transport imports a fallback for old Windows that replaces `socket.inet_ntop` on every system,
with one that fails for some addresses. An empty module under that name, put there first, keeps the
fallback out; nothing else of pysyncobj uses it. Whoever needs pysyncobj imports it from here.
"""

import sys
from types import ModuleType

sys.modules.setdefault("pysyncobj.win_inet_pton", ModuleType("pysyncobj.win_inet_pton"))

from pysyncobj import SyncObj, SyncObjConf, pickle, syncobj  # noqa: E402 - only now
from pysyncobj.config import SERIALIZER_STATE  # noqa: E402
from pysyncobj.journal import Journal  # noqa: E402
from pysyncobj.node import Node  # noqa: E402
from pysyncobj.transport import Transport  # noqa: E402

__all__ = [
    "SERIALIZER_STATE",
    "Journal",
    "Node",
    "SyncObj",
    "SyncObjConf",
    "Transport",
    "pickle",
    "syncobj",
]
