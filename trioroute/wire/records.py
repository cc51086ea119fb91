"""The registry's commands, results and snapshots as bytes, and any model value as a record.

MessagePack of plain values, structured by cattrs: these are coarse records (tens a second at
most), so a library that names the offending path beats a faster one. Unknown fields are ignored
when read, so that versions N and N-1 can share a log.
"""

from typing import Any, Final, TypeVar

import cattrs
import msgspec
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.strategies import configure_tagged_union

from trioroute.core import registry
from trioroute.core.model import RoutingSnapshot, Source
from trioroute.core.slots.masks import pack, pack_all, unpack, unpack_all
from trioroute.errors import ControlError

__all__ = [
    "RecordError",
    "decode_command",
    "decode_result",
    "decode_state",
    "encode_command",
    "encode_result",
    "encode_state",
    "pack_record",
    "structure_record",
    "unpack_record",
    "unstructure_record",
]

T = TypeVar("T")


class RecordError(ControlError):
    """Bytes that are not the record they should be."""

    reason = "bad-record"


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    # Tags hold any plain value. By predicate: a hook for the class would catch everything.
    converter.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    # Masks may be wider than MessagePack's integers.
    homes: Any = registry.Homes
    converter.register_unstructure_hook_func(
        lambda kind: kind == homes,
        lambda value: {r: {h: pack(m) for h, m in by.items()} for r, by in value.items()},
    )
    converter.register_structure_hook_func(
        lambda kind: kind == homes,
        lambda value, _: {r: {h: unpack(m) for h, m in by.items()} for r, by in value.items()},
    )
    # In this order: each looks up the hooks of what it contains once, now.
    configure_tagged_union(Source, converter, tag_name="kind")
    converter.register_unstructure_hook(
        RoutingSnapshot,
        make_dict_unstructure_fn(
            RoutingSnapshot, converter, homes=override(unstruct_hook=pack_all)
        ),
    )
    converter.register_structure_hook(
        RoutingSnapshot,
        make_dict_structure_fn(
            RoutingSnapshot,
            converter,
            homes=override(struct_hook=lambda value, _: unpack_all(value)),
        ),
    )
    configure_tagged_union(registry.Command, converter, tag_name="do")
    return converter


_CONVERTER: Final = _converter()


def unstructure_record(value: object, kind: Any = None) -> Any:
    """A model value as plain maps, lists and scalars (JSON-able but for bytes)."""
    return _CONVERTER.unstructure(value, unstructure_as=kind)


def structure_record(plain: Any, kind: type[T]) -> T:
    """The inverse of `unstructure_record`.

    Raises:
        RecordError: the plain value does not have the shape of `kind`; says where.
    """
    try:
        return _CONVERTER.structure(plain, kind)
    except Exception as error:  # noqa: BLE001 - cattrs raises groups of whatever the hooks raise
        where = "; ".join(cattrs.transform_error(error))
        raise RecordError(f"not a {kind}: {where}") from None


def pack_record(value: object, kind: Any = None) -> bytes:
    """A model value as MessagePack; `kind` where the type is a union."""
    return msgspec.msgpack.encode(unstructure_record(value, kind))


def unpack_record(data: bytes, kind: type[T]) -> T:
    """The inverse of `pack_record`.

    Raises:
        RecordError: not MessagePack, or not of the shape of `kind`.
    """
    try:
        plain = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"not MessagePack: {error}") from None
    return structure_record(plain, kind)


def encode_command(command: registry.Command) -> bytes:
    """One command for the log."""
    return pack_record(command, registry.Command)


def decode_command(data: bytes) -> registry.Command:
    """The inverse of `encode_command`; raises RecordError."""
    command: registry.Command = unpack_record(data, registry.Command)  # type: ignore[arg-type]
    return command


def encode_result(result: registry.Result) -> bytes:
    """What a command's proposer is told."""
    return pack_record(result)


def decode_result(data: bytes) -> registry.Result:
    """The inverse of `encode_result`; raises RecordError."""
    return unpack_record(data, registry.Result)


def encode_state(state: registry.RegistryState) -> bytes:
    """The whole registry for a snapshot of the log."""
    return pack_record(state)


def decode_state(data: bytes) -> registry.RegistryState:
    """The inverse of `encode_state`; raises RecordError."""
    return unpack_record(data, registry.RegistryState)
