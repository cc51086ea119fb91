"""What both kinds of engine give their driver: frames and closings, counters, a status."""

import attrs

from consensus.settings import Role

__all__ = ["Counters", "Effects", "Status"]


@attrs.define
class Counters:
    """What happened since the start, for statistics and for tests of the rules."""

    elections: int = 0
    leader_changes: int = 0
    frames_of_old_sessions: int = 0
    frames_refused: int = 0
    stale_answers: int = 0
    votes_withheld: int = 0
    hints: int = 0


@attrs.frozen
class Effects:
    """What the driver must do, in this order, once the log is durable."""

    frames: list[tuple[str, int, bytes]]
    closings: list[tuple[str, int]]


@attrs.frozen(kw_only=True)
class Status:
    """What an engine knows about itself."""

    role: Role
    leader: str | None
    term: int
    commit_index: int
    applied_index: int
    log_entries: int
    peers_connected: tuple[str, ...]
    is_full_member: bool
