"""The parts of a parsed template: operands, which have a value, and parts that write output."""

from __future__ import annotations

from mydocker.errors import FAILED, InvalidArgument
from mydocker.gotemplate import formats
from mydocker.gotemplate.functions import to_bytes
from mydocker.gotemplate.values import Map, Nil, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from mydocker.gotemplate.functions import Function

    Part = Callable[["Run", Any], None]  # writes its output, given the dot
    Pipeline = Callable[["Run", Any], Any]  # returns its value, given the dot
    Methods = dict[str, Callable[[str], object]]

NOTHING: Any = object()  # the pipeline's value for its first command


class Run:
    """One rendering of a template. variables[0] is `$`."""

    def __init__(self, root: object, methods: Methods, variables: int, escape: Callable[[str], str] | None) -> None:
        self.root = root
        self.methods = methods
        self.typed = isinstance(root, Struct)
        self.variables: list[Any] = [root] + [None] * (variables - 1)
        self.escape = escape
        self.out: list[str] = []


# --- operands ---------------------------------------------------------------------------------------------------------


class Span:
    """A part of the template's text, for errors. mark: the place that Go reports, by default the start."""

    def __init__(self, text: str, start: int, end: int, mark: int | None = None) -> None:
        self.text = text
        self.start = start
        self.end = end
        self.mark = start if mark is None else mark

    def source(self) -> str:
        return self.text[self.start : self.end]

    def fail(self, message: str) -> NoReturn:
        line_start = self.text.rfind("\n", 0, self.mark) + 1
        line = self.text.count("\n", 0, self.mark) + 1
        column = len(to_bytes(self.text[line_start : self.mark]))
        raise InvalidArgument(f'template: :{line}:{column}: executing "" at <{self.source()}>: {message}', "", FAILED)


class Term:
    """An operand."""

    def __init__(self, span: Span) -> None:
        self.span = span

    def value(self, run: Run, dot: Any, args: Sequence[Term] = (), final: Any = NOTHING) -> Any:
        """Return the value.

        args: the terms after it in its command. final: the value of the pipeline's previous command. Only functions
        and methods take them.
        """
        raise NotImplementedError

    def refuse_arguments(self, args: Sequence[Term], final: Any) -> None:
        if args or final is not NOTHING:
            self.span.fail(f"can't give argument to non-function {self.span.source()}")


class Constant(Term):
    def __init__(self, span: Span, constant: object) -> None:
        super().__init__(span)
        self.constant = constant

    def value(self, run: Run, dot: Any, args: Sequence[Term] = (), final: Any = NOTHING) -> Any:
        self.refuse_arguments(args, final)
        return self.constant


class Path(Term):
    """The dot, a variable or a pipeline in parentheses, followed by the names of fields."""

    def __init__(self, span: Span, base: Pipeline, names: Sequence[str] = ()) -> None:
        super().__init__(span)
        self.base = base
        self.names = names

    def value(self, run: Run, dot: Any, args: Sequence[Term] = (), final: Any = NOTHING) -> Any:
        value = self.base(run, dot)
        if not self.names:
            self.refuse_arguments(args, final)
            return value
        for name in self.names[:-1]:
            value = self.field(run, value, name)
        name = self.names[-1]
        given = len(args) + (final is not NOTHING)
        if value is run.root and name in run.methods:
            if given != 1:
                self.span.fail(f"wrong number of args for {name}: want 1 got {given}")
            return run.methods[name](_checked("s", args[0].value(run, dot) if args else final, self))
        if given and isinstance(value, (dict, Struct)):
            self.span.fail(f"{name} is not a method but has arguments")
        return self.field(run, value, name)

    def field(self, run: Run, holder: Any, name: str) -> Any:
        if isinstance(holder, Struct):
            try:
                return holder.field(name)
            except KeyError:
                self.span.fail(f"can't evaluate field {name} in type {holder.type}")
        if isinstance(holder, Nil):
            if holder.is_pointer:
                self.span.fail(f"nil pointer evaluating {holder.type}.{name}")
            holder = holder.empty_map() if holder.is_map else []
        if isinstance(holder, dict):
            if name not in holder and not isinstance(holder, Map):
                self.span.fail(f"map has no entry for key {formats.quote(name)}")
            return holder.get(name)
        if holder is None:
            if run.typed:
                return None  # a map lacked it
            self.span.fail(f"nil pointer evaluating interface {{}}.{name}")
        self.span.fail(f"can't evaluate field {name} in type interface {{}}")


class Call(Term):
    """A function. whole: its command, once that is parsed."""

    def __init__(self, span: Span, name: str, function: Function) -> None:
        super().__init__(span)
        self.name = name
        self.kinds, self.function = function
        self.whole = span

    def value(self, run: Run, dot: Any, args: Sequence[Term] = (), final: Any = NOTHING) -> Any:
        kinds = self.kinds
        required = len(kinds.rstrip("*"))
        given = len(args) + (final is not NOTHING)
        if given < required or (given > required and not kinds.endswith("*")):
            bound = "at least " if kinds.endswith("*") else ""
            self.span.fail(f"wrong number of args for {self.name}: want {bound}{required} got {given}")
        values: list[Any] = []
        for place, arg in enumerate(args):
            values.append(_checked(kinds[place : place + 1], arg.value(run, dot), arg))
            if self.name in ("and", "or") and bool(values[-1]) == (self.name == "or"):
                return values[-1]  # the result is decided: the other arguments are not evaluated
        if final is not NOTHING:
            values.append(_checked(kinds[len(args) : len(args) + 1], final, self))
        try:
            return self.function(*values)
        except ValueError as error:
            self.whole.fail(f"error calling {self.name}: {error}")


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "s": ("string", lambda value: isinstance(value, str)),
    "i": ("integer", lambda value: type(value) is int),
    "l": ("[]string", lambda value: _is_strings(value)),
}


def _is_strings(value: Any) -> bool:
    if isinstance(value, Nil):
        return value.base == "[]string"
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _checked(kind: str, value: Any, term: Term) -> Any:
    """Return an argument's value. Fails if it is not of the kind (see FUNCTIONS) that the function takes there."""
    expected, is_kind = _KINDS.get(kind, ("", None))
    if is_kind and not is_kind(value):
        if isinstance(term, Constant):
            term.span.fail(f"expected {expected}; found {term.span.source()}")
        actual = "interface {}" if value is None else formats.type_name(value)
        term.span.fail(f"wrong type for value; expected {expected}; got {actual}")
    return value


def same_dot(run: Run, dot: Any) -> Any:
    return dot


# --- output -----------------------------------------------------------------------------------------------------------


def literal(text: str) -> Part:
    return lambda run, dot: run.out.append(text)


def action(pipeline: Pipeline, prints: bool) -> Part:
    def part(run: Run, dot: Any) -> None:
        value = pipeline(run, dot)
        if prints:
            text = "<no value>" if value is None else formats.text(value)
            run.out.append(run.escape(text) if run.escape else text)

    return part


def choice(condition: Pipeline, body: Part, other: Part, moves_dot: bool) -> Part:
    """An if, or a with, which sets the dot to the condition's value."""

    def part(run: Run, dot: Any) -> None:
        value = condition(run, dot)
        if value:
            body(run, value if moves_dot else dot)
        else:
            other(run, dot)

    return part


def loop(span: Span, pipeline: Pipeline, slots: list[int], body: Part, other: Part) -> Part:
    """A range. slots: the variables for the value, or for the key (a list's index) and the value."""

    def part(run: Run, dot: Any) -> None:
        value = pipeline(run, dot)
        if isinstance(value, dict):
            pairs = sorted(value.items())
        elif isinstance(value, list):
            pairs = list(enumerate(value))
        elif value is None or (isinstance(value, Nil) and not value.is_pointer):
            pairs = []
        else:
            span.fail(f"range can't iterate over {formats.text(value)}")
        for pair in pairs:
            for slot, item in zip(reversed(slots), reversed(pair)):
                run.variables[slot] = item
            body(run, pair[1])
        if not pairs:
            other(run, dot)

    return part
