"""Every error this library raises on purpose, told apart by what the caller may conclude."""

__all__ = [
    "CommandFailedError",
    "CommandTooLongError",
    "ConsensusError",
    "FrameRefusedError",
    "HandshakeError",
    "JournalCorruptError",
    "JournalFailedError",
    "NotAcceptedError",
    "SettingsError",
    "SnapshotError",
    "UnknownOutcomeError",
]


class ConsensusError(Exception):
    """The root of everything below."""


class SettingsError(ConsensusError):
    """Names, voters or timings that cannot work together. Raised before anything starts."""


class NotAcceptedError(ConsensusError):
    """The command is in no log and never will be: it is safe to propose it again as a new one."""


class CommandTooLongError(NotAcceptedError):
    """The command is larger than one message may be: it is refused however often it is proposed."""


class UnknownOutcomeError(ConsensusError):
    """The command was handed to a leader and its fate is unknown: it may yet be applied, once."""


class CommandFailedError(ConsensusError):
    """The command was committed and its application raised, on every member alike.

    Attributes:
        index: where in the log it stands.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"command at index {index} failed: {reason}")
        self.index = index


class FrameRefusedError(ConsensusError):
    """A frame that is too long or is not a message of this version of the wire contract."""


class HandshakeError(ConsensusError):
    """The other end is not who it must be, speaks another protocol, or is of another generation."""


class SnapshotError(ConsensusError):
    """A snapshot whose checksum or shape is wrong. The member that met it must not go on."""


class JournalFailedError(ConsensusError):
    """The disk refused a write (full, broken). Nothing was promised on it; the member must stop."""


class JournalCorruptError(ConsensusError):
    """Bytes that were durable are no longer what they were. An operator must replace the member."""
