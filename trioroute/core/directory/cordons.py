"""Replicas on which nothing begins any more, while requests without a slot may still run there.

Of slots it is known who has them. Of requests without one, holders tell in each renewal how many
run, and their routing alone says where one may begin. So a cordon is a change of the log like that
of a limit (`former`): who routes by a log as new as it begins nothing there. The replica is out of
use when everybody has told that nothing of theirs runs there, or is known to have ended.
"""

from collections.abc import Callable

from trioroute.core.directory.former import FormerUse

__all__ = ["Cordons"]


class Cordons:
    """All of one epoch. One owner, `keeper.LineKeeper`."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[str, int]] = {}
        # Shared by what was cordoned at once: each is told of every renewal.
        self._uses: dict[tuple[str, int], FormerUse] = {}

    @property
    def uses(self) -> list[tuple[str, FormerUse]]:
        """Each use once, with the deployment's key."""
        return [(key, use) for (key, _), use in self._uses.items()]

    def begin(
        self, replica: str, deployment: str, index: int, make: Callable[[], FormerUse]
    ) -> None:
        """Who routes by a log as new as `index` begins nothing on it; again says nothing new.

        Args:
            make: makes what all that is known of the holders says of it.
        """
        if replica in self._keys:
            return
        at = self._keys[replica] = deployment, index
        if at not in self._uses:
            self._uses[at] = make()

    def keep_only(self, is_cordoned: Callable[[str], bool]) -> None:
        """The others are back in use, or are no more."""
        self._keys = {name: at for name, at in self._keys.items() if is_cordoned(name)}
        used = {*self._keys.values()}
        self._uses = {at: use for at, use in self._uses.items() if at in used}

    def may_run(self, replica: str, now: float) -> bool:
        """Whether a request without a slot may run on it, as far as its cordon knows."""
        at = self._keys.get(replica)
        return at is not None and self._uses[at].may_run_on(replica, now)
