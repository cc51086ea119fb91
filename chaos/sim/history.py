"""What happened in one run, as values that the checkers read and nothing else writes."""

import attrs

__all__ = ["Act", "AuthoritySpan", "Call", "History", "Life"]


@attrs.frozen
class Life:
    """One life of one member."""

    name: str
    incarnation: int


@attrs.define
class Call:
    """One proposal as its client saw it. `ended_at` None = it never heard."""

    client: Life
    command: bytes
    began_at: float
    ended_at: float | None = None
    #: "applied", "refused" (certainly in no log) or "unknown".
    outcome: str = "unknown"
    index: int = 0
    result: bytes = b""


@attrs.frozen
class AuthoritySpan:
    """From one step to the next, in true time, a member would have answered "yes, I may act"."""

    holder: Life
    epoch: int
    begins_at: float
    ends_at: float


@attrs.frozen
class Act:
    """The office did something under an epoch."""

    holder: Life
    epoch: int
    at: float


@attrs.define
class History:
    """One run."""

    calls: list[Call] = attrs.field(factory=list)
    #: Everything each life applied, in its order: (index, command).
    applied: dict[Life, list[tuple[int, bytes]]] = attrs.field(factory=dict)
    #: Commands that a life got inside a snapshot, whenever it restored one.
    restored: dict[Life, list[list[bytes]]] = attrs.field(factory=dict)
    #: (term, who leads in it), as each member said of itself.
    leaders: set[tuple[int, str]] = attrs.field(factory=set)
    #: (epoch, who took it), in the order in which each life saw them.
    offices: dict[Life, list[tuple[int, Life]]] = attrs.field(factory=dict)
    authority: list[AuthoritySpan] = attrs.field(factory=list)
    acts: list[Act] = attrs.field(factory=list)
    #: What the world did: (time, fault). For people who read a failing run.
    faults: list[tuple[float, str]] = attrs.field(factory=list)
    healed_at: float = 0.0
    #: When, after healing, a coordinator could act and every member had applied a new command.
    recovered_at: float | None = None
    crashes: list[str] = attrs.field(factory=list)
