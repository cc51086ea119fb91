"""The replicated wrapper around the application's state: epochs, the office, and applying once.

Pure and deterministic: every member applies the same commands at the same indexes and gets the same
answers. A command says who proposed it, in which life of that member, and under which number:

* a number is applied once, however often the command reaches the log;
* a later incarnation of an origin ends the earlier one;
* numbers up to `settled` are closed: their proposer waits for none of them, so late copies are
  refused everywhere alike, and what must be remembered stays as short as the proposer's own window.
"""

from typing import Final, Protocol

import attrs
import msgspec

from consensus.errors import SnapshotError

__all__ = ["Command", "Office", "Outcome", "Replicated", "StateMachine", "decode_command"]


class StateMachine(Protocol):
    """The application's replicated state: pure, deterministic, owned by one member."""

    def apply(self, command: bytes, index: int) -> bytes:
        """Apply one command; a bad one gets an encoded error value for an answer."""
        ...

    def snapshot(self) -> bytes:
        """The whole state."""
        ...

    def restore(self, data: bytes) -> None:
        """Replace the whole state."""
        ...


@attrs.frozen
class Office:
    """Who holds the coordinator's office by the log."""

    name: str
    epoch: int
    incarnation: int


class Command(msgspec.Struct, array_like=True, frozen=True):
    """A log entry. Without a body it is a take-over: the origin asks for the office."""

    origin: str
    incarnation: int
    number: int
    settled: int
    body: bytes | None


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of one command: the answer, or why there is none."""

    command: Command
    index: int
    result: bytes = b""
    failure: str = ""
    is_repeat: bool = False


class _Answer(msgspec.Struct, array_like=True):
    index: int
    result: bytes
    failure: str


class _Origin(msgspec.Struct, array_like=True):
    incarnation: int
    settled: int
    answers: dict[int, _Answer]


class _State(msgspec.Struct, array_like=True):
    epoch: int
    office_name: str
    office_incarnation: int
    origins: dict[str, _Origin]
    machine: bytes


_COMMANDS: Final = msgspec.msgpack.Decoder(Command)
_STATES: Final = msgspec.msgpack.Decoder(_State)


def decode_command(payload: bytes) -> Command | None:
    """The command in a log entry, or None when it is none: refused alike by every member."""
    try:
        return _COMMANDS.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Replicated:
    """Epoch, office and the record of what was applied, in front of the application's machine."""

    def __init__(self, machine: StateMachine) -> None:
        self.epoch = 0
        self.office: Office | None = None
        self.failures = 0
        self._machine = machine
        self._origins: dict[str, _Origin] = {}

    def apply(self, payload: bytes, index: int) -> Outcome | None:
        """Apply one log entry. None when it is not a command, or one whose proposer is past it."""
        command = decode_command(payload)
        if command is None:
            return None
        origin = self._admit(command)
        if origin is None:
            return None
        known = origin.answers.get(command.number)
        if known is not None:
            return self._outcome(command, known, is_repeat=True)
        answer = self._perform(command, index)
        origin.answers[command.number] = answer
        return self._outcome(command, answer, is_repeat=False)

    def answered(self, origin: str, incarnation: int, number: int) -> Outcome | None:
        """What a command of this origin came to, if that is still remembered."""
        record = self._origins.get(origin)
        if record is None or record.incarnation != incarnation:
            return None
        answer = record.answers.get(number)
        if answer is None:
            return None
        return self._outcome(Command(origin, incarnation, number, 0, b""), answer, is_repeat=True)

    def snapshot(self) -> bytes:
        """Everything, for a member that is far behind or that restarts."""
        office = self.office or Office("", 0, 0)
        return msgspec.msgpack.encode(
            _State(
                self.epoch,
                office.name,
                office.incarnation,
                self._origins,
                self._machine.snapshot(),
            )
        )

    def restore(self, data: bytes) -> None:
        """Replace everything.

        Raises:
            SnapshotError: the bytes are not a snapshot of this wrapper.
        """
        try:
            state = _STATES.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotError(f"not a snapshot: {error}") from None
        self._machine.restore(state.machine)
        self.epoch = state.epoch
        self.office = (
            Office(state.office_name, state.epoch, state.office_incarnation)
            if state.epoch
            else None
        )
        self._origins = state.origins

    def _admit(self, command: Command) -> _Origin | None:
        """The origin's record, moved on to this command's life and window; None to refuse it."""
        origin = self._origins.get(command.origin)
        if origin is None or origin.incarnation < command.incarnation:
            origin = self._origins[command.origin] = _Origin(command.incarnation, 0, {})
        if origin.incarnation > command.incarnation or command.number <= origin.settled:
            return None
        if command.settled > origin.settled:
            origin.settled = command.settled
            for number in [n for n in origin.answers if n <= command.settled]:
                del origin.answers[number]
        return origin

    def _perform(self, command: Command, index: int) -> _Answer:
        if command.body is None:
            self.epoch += 1
            self.office = Office(command.origin, self.epoch, command.incarnation)
            return _Answer(index, msgspec.msgpack.encode(self.epoch), "")
        try:
            return _Answer(index, self._machine.apply(command.body, index), "")
        except MemoryError:
            raise  # this process's own trouble: as an answer it would differ from the others'
        except Exception as error:  # noqa: BLE001 - a bulkhead: in the core it would wedge the group
            self.failures += 1
            # Its name only: a message may hold an address, and answers are replicated state.
            return _Answer(index, b"", type(error).__name__)

    @staticmethod
    def _outcome(command: Command, answer: _Answer, *, is_repeat: bool) -> Outcome:
        return Outcome(
            command=command,
            index=answer.index,
            result=answer.result,
            failure=answer.failure,
            is_repeat=is_repeat,
        )
