"""No time of the firmware goes through a float: a board's has a mantissa of 24 bits, and a Unix time in it is off by up
to 128 seconds. The Unix port's has 53, so no test that runs there would see it.

What is a time is told by its name, by the call that it comes from, or by what it was computed or assigned from. It must
not be divided by `/`, nor meet a float literal or `float()`, nor be given as a float.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"

WORDS = {"ms", "us", "ns", "s", "seconds", "time", "times", "ticks", "stamp", "stamps", "epoch", "bt", "mktime"}
WORDS |= {"uptime", "now", "since", "until", "deadline"}
"""Parts of names, between underscores, that mean a moment or a duration."""

NO_TIMES = {"cm_s", "mm_s"}
"""Speeds."""

KEEP = {"abs", "int", "max", "min", "round", "sum"}
"""Calls whose result is a time when an argument is."""

_FILTER = "weighs a reading by seconds of use, 12 hours at most"
_RATE = "a rate over a duration: its error is that of the float, 1 in 10 million"

ALLOWED = {
    ("drivers/gasindex.py", "(index - self._fast) / _FAST_S"): _FILTER,
    ("drivers/gasindex.py", "(index - self._slow) / _SLOW_S"): _FILTER,
    ("drivers/gasindex.py", "(index - self._index) / (_FAST_S + (_SLOW_S - _FAST_S) * calm)"): _FILTER,
    ("drivers/gasindex.py", "away / min(self._learnt + _LEARN_MEAN_S, _LEARN_S)"): _FILTER,
    (
        "drivers/gasindex.py",
        "(away * away - self._variance) / min(self._learnt + _LEARN_VARIANCE_S, _LEARN_S)",
    ): _FILTER,
    ("node/battery.py", "litres * 3600 / seconds"): _RATE,
    ("node/health.py", "clock.error_ms / 1000"): "told to people as a figure in seconds; the clock itself is set in ms",
    ("sensors/loops.py", "occupied_us / (10 * length_ms)"): _RATE,
    ("sensors/meter.py", "self._litres * _HOUR_MS / max(self._gap, ticks_diff(now, self._last))"): _RATE,
    ("sensors/meter.py", "pulses * self._litres * _HOUR_MS / length_ms"): _RATE,
    ("sensors/meter.py", "self._litres * _HOUR_MS / longest"): _RATE,
}
"""(file, expression) -> why a float does no harm there: durations that are short and need no precision, never a Unix
time. An entry that is not found any more fails the test."""


class Finding(NamedTuple):
    line: int
    code: str


def findings(source: str) -> list[Finding]:
    """Where a time becomes a float, in the order of lines; each expression once."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = {id(node) for function in functions for node in ast.walk(function) if node is not function}
    found = list(_scope([node for node in ast.walk(tree) if id(node) not in inner]))
    for function in functions:
        found += _scope(list(ast.walk(function)))
    return sorted(set(found))


def _scope(nodes: list[ast.AST]) -> Iterator[Finding]:
    known: set[str] = set()
    assigned = [pair for node in nodes for pair in _assignments(node)]
    for _ in range(len(assigned)):
        more = {name.id for name, value in assigned if isinstance(name, ast.Name) and _is_time(value, known)}
        if more <= known:
            break
        known |= more
    for node in nodes:
        if _is_float(node, known):
            yield Finding(node.lineno, ast.unparse(node))  # type: ignore[attr-defined]
    for target, value in assigned:
        if _is_time(target, known) and _has_literal(value):
            yield Finding(value.lineno, ast.unparse(value))


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """(target, value) of all that gives a value to a name: one by one where both sides are tuples."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    yield from zip(target.elts, value.elts, strict=False)
                else:
                    yield target, value
        case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
            yield target, value
        case ast.keyword(arg=str(name), value=value):
            yield ast.Name(name), value
        case ast.arguments():
            positional = [*node.posonlyargs, *node.args]
            defaults = node.defaults
            pairs = [*zip(positional[len(positional) - len(defaults) :], defaults, strict=True)]
            pairs += [(a, d) for a, d in zip(node.kwonlyargs, node.kw_defaults, strict=True) if d is not None]
            yield from ((ast.Name(argument.arg), default) for argument, default in pairs)


def _named(name: str) -> bool:
    bare = name.lower().strip("_")
    return bare not in NO_TIMES and not WORDS.isdisjoint(bare.split("_"))


def _is_time(node: ast.AST, known: set[str]) -> bool:
    match node:
        case ast.Name(id=name):
            return name in known or _named(name)
        case ast.Attribute(attr=name):
            return _named(name)
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in KEEP:
            return any(_is_time(argument, known) for argument in arguments)
        case ast.Call(func=function):
            return _is_time(function, set())
        case ast.BinOp(left=left, right=right):
            return _is_time(left, known) or _is_time(right, known)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_time(body, known) or _is_time(orelse, known)
        case ast.BoolOp(values=values):
            return any(_is_time(value, known) for value in values)
        case ast.UnaryOp(operand=inner) | ast.Subscript(value=inner) | ast.Await(value=inner):
            return _is_time(inner, known)
    return False


def _is_float(node: ast.AST, known: set[str]) -> bool:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            timely = _is_time(left, known) or _is_time(right, known)
            return timely and (isinstance(op, ast.Div) or _is_literal(left) or _is_literal(right))
        case ast.AugAssign(target=target, op=op, value=value):
            timely = _is_time(target, known) or _is_time(value, known)
            return timely and (isinstance(op, ast.Div) or _has_literal(value))
        case ast.Call(func=ast.Name(id="float"), args=[argument]):
            return _is_time(argument, known)
    return False


def _is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _has_literal(node: ast.expr) -> bool:
    """Is it a float literal, or arithmetic with one?"""
    match node:
        case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
            return _has_literal(left) or _has_literal(right)
        case ast.UnaryOp(operand=inner):
            return _has_literal(inner)
    return _is_literal(node)


FILES = sorted(FIRMWARE.rglob("*.py"))


def test_no_time_is_a_float() -> None:
    """In all of the firmware, but for what is allowed; nothing is allowed that is not there."""
    found = {
        (str(path.relative_to(FIRMWARE)), each.code): each.line for path in FILES for each in findings(path.read_text())
    }
    unknown = [f"{file}:{line}: {code}" for (file, code), line in found.items() if (file, code) not in ALLOWED]
    assert not unknown, "\n".join(unknown)
    assert set(ALLOWED) - set(found) == set()
    assert len(FILES) > 50


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("time_ns() / 1000", "time_ns() / 1000"),
        ("x = time.ticks_diff(a, b) / 2", "time.ticks_diff(a, b) / 2"),
        ("n = unix_ms * 0.001", "unix_ms * 0.001"),
        ("n = 1e3 * (self._epoch + n)", "1000.0 * (self._epoch + n)"),
        ("float(packed.bt)", "float(packed.bt)"),
        ("n = time.mktime(t) + 0.5", "time.mktime(t) + 0.5"),
        ("self._since /= 2", "self._since /= 2"),
        ("uptime -= 0.5", "uptime -= 0.5"),
        ("timeout_s = 0.5", "0.5"),
        ("a, timeout_s = 1, -0.5", "-0.5"),
        ("wait(timeout_ms=2.5)", "2.5"),
        ("def f(wait_ms=1.5):\n    pass", "1.5"),
        ("def f(*, wait_ms=60 * 1.5):\n    pass", "60 * 1.5"),
        ("litres / (began_ms - ended)", "litres / (began_ms - ended)"),
        ("x = max(0, now - n) / 7", "max(0, now - n) / 7"),
        ("x = -stamps[0] / 7", "-stamps[0] / 7"),
        ("x = (await uptime_ms()) / 7", "await uptime_ms() / 7"),
        # By what a name was given, however far back.
        ("def f():\n    a = ticks_ms()\n    b = a - 5\n    c = b if b else 0\n    return c / 2", "c / 2"),
        ("def f():\n    a, b = ticks_us(), 1\n    return a * 2.0", "a * 2.0"),
        ("async def f():\n    if (a := rtc_ms()):\n        return float(a)", "float(a)"),
        ("def f():\n    b = a\n    a = time()\n    return b / 2", "b / 2"),
    ],
)
def test_a_time_that_is_a_float_is_found(source: str, code: str) -> None:
    """Each way into a float."""
    assert [each.code for each in findings(source)] == [code]


@pytest.mark.parametrize(
    "source",
    [
        "ms = time_ns() // 1_000_000 + EPOCH * 1000",
        "raw / 16",
        "speed = cm_s * 0.036",
        "share = count / total",
        "left_ms = left * 1000 - now_ms()",
        "level = 0.5",
        "level, wait_ms = 0.5, 500",
        "wait(level=2.5)",
        "print('%d s' % seconds)",
        "float(reading)",
        "time.sleep_ms(500)",
        # A name is what it is within its own function.
        "def f():\n    a = ticks_ms()\ndef g(a):\n    return a / 2",
    ],
)
def test_what_is_no_such_thing_passes(source: str) -> None:
    """Integers, readings, speeds, and words."""
    assert findings(source) == []
