"""A YAML file as a tree of values that know where they stand.

The verdict on what is YAML and what a scalar means must be that of Azure's client, which is
PyYAML's `safe_load` (decision 11). So PyYAML itself composes and constructs here, node by node, and
the node's mark is kept beside the value. ruamel.yaml in its YAML 1.1 mode was tried first: on 6,000
generated documents it disagreed on 53 (it takes `1e3` for a number and accepts tabs in lists).
"""

from collections.abc import Hashable, Iterator
from typing import Any, Final

import attrs
import yaml

from trioroute.spec.problems import Problem

__all__ = ["Entry", "Node", "Unreadable", "parse"]

#: Real files are below 20 KiB; the bound keeps a wrong path (a model, a log) from being parsed.
FILE_BYTES_MAX: Final = 1024 * 1024
#: Aliases make values shared, so a small file can stand for a huge one ("billion laughs").
VALUES_MAX: Final = 50_000


class Unreadable(Exception):  # noqa: N818 - not a fault of ours: a verdict on the file
    """The text is not one YAML document; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@attrs.frozen(eq=False)
class Node:
    """One value of the file.

    Attributes:
        value: what `yaml.safe_load` gives for it.
        line, column: where it begins, from 1.
        text: a scalar as it is written, without quotes; None for mappings and lists.
        quoted: whether a scalar was quoted or a block, so that its text is its value.
        entries: a mapping's entries by key; None for everything else.
        items: a list's values; None for everything else.
    """

    value: Any
    line: int
    column: int
    text: str | None = None
    quoted: bool = False
    entries: "dict[Hashable, Entry] | None" = None
    items: "tuple[Node, ...] | None" = None
    size: int = 1
    duplicates: "tuple[Entry, ...]" = ()

    def walk(self) -> "Iterator[Node]":
        """This node and every node below it."""
        yield self
        for entry in (self.entries or {}).values():
            yield from entry.node.walk()
        for item in self.items or ():
            yield from item.walk()

    @staticmethod
    def from_override(value: str) -> "Node":
        """A value given on the command line in place of what the file says."""
        return Node(value=value, line=0, column=0, text=value, quoted=True)


@attrs.frozen(eq=False)
class Entry:
    """A key of a mapping, where the key stands, and its value."""

    key: Hashable
    line: int
    column: int
    node: Node


def parse(text: str, file: str) -> Node:
    """Read one YAML 1.1 document.

    Args:
        text: the file's content without a byte order mark.
        file: its name, for messages.

    Raises:
        Unreadable: not YAML, empty, more than one document, or not a mapping at the top.
    """
    if "\0" in text or len(text) > FILE_BYTES_MAX:
        raise Unreadable(Problem(file=file, code="TR0002", message="this is not a YAML file"))
    # The loader is safe: SafeLoader's constructors, used one node at a time.
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise Unreadable(_about(file, "TR0003", "the file is empty"))
        node = _Converter(loader, file).convert(root)
    except yaml.YAMLError as error:
        raise Unreadable(_syntax_problem(error, text, file)) from None
    except RecursionError:
        raise Unreadable(_about(file, "TR0002", "values are nested too deeply")) from None
    if node.entries is None:
        message = "expected fields such as `name: …` at the top, found " + _shape_of(node)
        raise Unreadable(_about(file, "TR0004", message, node.line, node.column))
    return node


def _about(file: str, code: str, message: str, line: int = 0, column: int = 0) -> Problem:
    return Problem(file=file, line=line, column=column, code=code, message=message)


def _shape_of(node: Node) -> str:
    return "a list" if node.items is not None else "a single value"


@attrs.define
class _Converter:
    """Turns PyYAML's nodes into ours; each of them once, so aliases stay shared."""

    loader: yaml.SafeLoader
    file: str
    done: dict[int, Node] = attrs.field(factory=dict)
    open: set[int] = attrs.field(factory=set)

    def convert(self, node: yaml.Node) -> Node:
        key = id(node)
        if key in self.done:
            return self.done[key]
        if key in self.open:
            raise self._reject(node, "an alias refers to the value it is part of")
        self.open.add(key)
        ours = self._convert_new(node)
        self.open.remove(key)
        if ours.size > VALUES_MAX:
            raise self._reject(node, f"aliases make this more than {VALUES_MAX} values")
        self.done[key] = ours
        return ours

    def _convert_new(self, node: yaml.Node) -> Node:
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._convert_mapping(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return self._convert_list(node)
        line, column = _position(node)
        text = node.value if isinstance(node, yaml.ScalarNode) else None
        quoted = isinstance(node, yaml.ScalarNode) and bool(node.style)
        value = self._construct(node)
        return Node(value=value, line=line, column=column, text=text, quoted=quoted)

    def _construct(self, node: yaml.Node) -> Any:
        try:
            return self.loader.construct_object(node, deep=True)
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            # A constructor met text it cannot turn into its type: `!!int x`, or 2020-13-45.
            raise self._reject(node, f"{node.value!r} is not a valid value: {error}") from None

    def _convert_list(self, node: yaml.SequenceNode) -> Node:
        items = tuple(self.convert(item) for item in node.value)
        line, column = _position(node)
        size = 1 + sum(item.size for item in items)
        value = [item.value for item in items]
        return Node(value=value, line=line, column=column, items=items, size=size)

    def _convert_mapping(self, node: yaml.MappingNode) -> Node:
        # Duplicates are looked for before `<<` brings in keys that may be overridden lawfully.
        duplicates = tuple(self._duplicates(node))
        self.loader.flatten_mapping(node)
        entries: dict[Hashable, Entry] = {}
        size = 1
        for key_node, value_node in node.value:
            entry = self._convert_entry(key_node, value_node)
            size += entry.node.size
            entries[entry.key] = entry
        line, column = _position(node)
        return Node(
            value={key: entry.node.value for key, entry in entries.items()},
            line=line,
            column=column,
            entries=entries,
            size=size,
            duplicates=duplicates,
        )

    def _convert_entry(self, key_node: yaml.Node, value_node: yaml.Node) -> Entry:
        key = self.convert(key_node)
        if not isinstance(key.value, Hashable):
            hint = " (a template such as {{…}} has to be filled in or quoted)"
            raise self._reject(key_node, "a mapping cannot be a key" + hint)
        return Entry(key.value, key.line, key.column, self.convert(value_node))

    def _duplicates(self, node: yaml.MappingNode) -> Iterator[Entry]:
        seen: set[Hashable] = set()
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                continue
            entry = self._convert_entry(key_node, value_node)
            if entry.key in seen:
                yield entry
            seen.add(entry.key)

    def _reject(self, node: yaml.Node, message: str) -> Unreadable:
        line, column = _position(node)
        return Unreadable(_about(self.file, "TR0002", message, line, column))


def _position(node: yaml.Node) -> tuple[int, int]:
    mark = node.start_mark
    return mark.line + 1, mark.column + 1


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        return _about(file, "TR0002", "a control character is not allowed here", line, column)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return _about(file, "TR0002", str(error))
    mark = error.problem_mark
    message = str(error.problem)
    if "single document" in str(error.context):
        message = (
            "a second document begins here; write each endpoint and deployment to its own file"
        )
    elif error.context and error.context_mark:
        message += f" ({error.context} that begins on line {error.context_mark.line + 1})"
    line_text = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
    return Problem(
        file=file,
        line=mark.line + 1,
        column=mark.column + 1,
        code="TR0002",
        message=message,
        hint=_syntax_hint(line_text, message),
    )


def _syntax_hint(line: str, message: str) -> str:
    if "{{" in line:
        return "this looks like a template: fill in the {{…}} first, or quote the whole value"
    if "\\t" in message or "\t" in line:
        return "YAML is indented with spaces; replace the tab"
    if "quoted scalar" in message:
        return "close the quote"
    if "the tag '!" in message:
        return "quote the value if it begins with an exclamation mark"
    if "mapping values are not allowed" in message:
        return "quote the value if it contains a colon, or check the indentation"
    return ""
