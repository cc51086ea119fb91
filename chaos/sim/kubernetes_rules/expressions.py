"""CEL, as far as validation rules of custom resources use it here.

Its operators are written down as Python's, and the tree of what that says is walked: fields,
indices, comparisons, `&&`, `||`, `!`, `in`, `has()`, `size()`, and of lists and maps `all`,
`exists`, `map`, `filter`, `sum` and `size`. Anything else is refused by its name, so that a rule is
never taken for one that holds because nobody understood it.
"""

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from chaos.sim.kubernetes.errors import ApiError

__all__ = ["RuleError", "evaluate"]

Names = Mapping[str, Any]

_TOKENS: Final = re.compile(r"""("[^"]*"|'[^']*')|(&&)|(\|\|)|!(?!=)|\btrue\b|\bfalse\b|\bnull\b""")
_WORDS: Final = {"&&": " and ", "||": " or ", "!": " not "}
_CONSTANTS: Final = {"true": "True", "false": "False", "null": "None"}
_COMPARISONS: Final[Mapping[type, Callable[[Any, Any], bool]]] = {
    ast.Eq: lambda a, b: bool(a == b),
    ast.NotEq: lambda a, b: bool(a != b),
    ast.Lt: lambda a, b: bool(a < b),
    ast.LtE: lambda a, b: bool(a <= b),
    ast.Gt: lambda a, b: bool(a > b),
    ast.GtE: lambda a, b: bool(a >= b),
    ast.In: lambda a, b: a in b,
}


_OF_ALL: Final[Mapping[str, Callable[[Any], Any]]] = {"sum": sum, "size": len}
_OF_EACH: Final[Mapping[str, Callable[[Any], Any]]] = {"all": all, "exists": any, "map": list}


class RuleError(ApiError):
    """A rule that is not understood, or whose value cannot be had: the server refuses either."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(422, "Invalid", f"rule {rule}: {why}", details={})


def evaluate(rule: str, **names: Any) -> Any:
    """The value of an expression, with `self` and the like known by name. Raises RuleError."""

    def word(found: re.Match[str]) -> str:
        text = found[0]
        return _WORDS.get(text) or _CONSTANTS.get(text, text)

    try:
        # Python binds `not` less tightly than CEL binds `!`: each gets its operand in brackets.
        tree = ast.parse(_tight(_TOKENS.sub(word, rule)).strip(), mode="eval")
        return _value(tree.body, names)
    except (SyntaxError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RuleError(rule, repr(error)) from None


def _tight(text: str) -> str:
    return re.sub(r" not (has\([^()]*\))", r"(not \1)", text)


def _value(node: ast.expr, names: Names) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.Attribute(value=inner, attr=name):
            return _value(inner, names)[name]
        case ast.Subscript(value=inner, slice=index):
            return _value(inner, names)[_value(index, names)]
        case ast.List(elts=items):
            return [_value(item, names) for item in items]
    return _operation(node, names)


def _operation(node: ast.expr, names: Names) -> Any:
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return not _value(inner, names)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, names)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _value(left, names) + _value(right, names)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, names) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, names) for part in parts)
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _COMPARISONS[type(operator)](_value(left, names), _value(right, names))
    return _called(node, names)


def _called(node: ast.expr, names: Names) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="has"), args=[ast.Attribute(value=inner, attr=name)]):
            return name in _value(inner, names)
        case ast.Call(func=ast.Name(id="size"), args=[inner]):
            return len(_value(inner, names))
        case ast.Call(func=ast.Attribute(value=inner, attr=method), args=args):
            return _call(_value(inner, names), method, args, names)
    raise TypeError(ast.dump(node))


def _call(target: Any, method: str, args: list[ast.expr], names: Names) -> Any:
    if not args:
        return _OF_ALL[method](target)
    if len(args) != 2:
        raise TypeError(method)
    variable, body = args
    assert isinstance(variable, ast.Name)
    values = [_value(body, {**names, variable.id: each}) for each in target]
    if method == "filter":
        return [each for each, is_in in zip(target, values, strict=True) if is_in]
    return _OF_EACH[method](values)
