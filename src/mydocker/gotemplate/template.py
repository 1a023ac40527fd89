"""Go's text/template, as far as `--format` needs it: what docker users type means the same here.

There are fields, variables, pipelines, parentheses, literals, if/else, range, with, trim markers, comments, and the
functions of gofunctions.py. There is no define, template or block, so that a template can't call itself, and nesting
is bounded. Errors have Go's words and name the place as Go does, line:byte.

The parser follows Go's text/template/parse, so that the same texts are refused. It makes closures, which are then run
on values of JSON's types, or of Go's (govalues.py).
"""

from __future__ import annotations

from mydocker.errors import FAILED, InvalidArgument
from mydocker.gotemplate import formats
from mydocker.gotemplate.functions import FUNCTIONS, to_bytes
from mydocker.gotemplate.lexer import SPACES, number, tokens, unquoted
from mydocker.gotemplate.values import Map, Nil, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from mydocker.gotemplate.lexer import Token

    Part = Callable[["_Run", Any], None]  # a stretch of the template: writes its output, given the dot
    Pipeline = Callable[["_Run", Any], Any]  # its value, given the dot
    Methods = dict[str, Callable[[str], object]]
    Function = tuple[str, Callable[..., Any]]  # as in gofunctions.py
    Functions = dict[str, Function]

_NO_TEMPLATE = 64  # docker's exit code, but for what lists
_DEEPEST = 50  # blocks and parentheses inside each other
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "nil": None}
_KEYWORDS = ("if", "range", "with", "else", "end")
_NOTHING: Any = object()  # what the first command of a pipeline is given


class Template:
    """A template, read once. Raises InvalidArgument where the text is none."""

    def __init__(self, text: str, functions: Functions = FUNCTIONS) -> None:
        parser = _Parser(text, functions)
        self._body = parser.template()
        self._variables = parser.variables

    def render(self, root: object, methods: Methods | None = None, shown: Callable[[str], str] | None = None) -> str:
        """The output for one value. Raises InvalidArgument where the value is not what the template takes it for.

        methods: what the root has besides its fields, each with one string argument: `.Label "k"`.
        shown: makes what an action prints fit for a terminal; the template's own text stays as it is.
        """
        run = _Run(root, methods or {}, self._variables, shown)
        self._body(run, root)
        return "".join(run.out)


class _Run:
    """One rendering. variables[0] is `$`."""

    def __init__(self, root: object, methods: Methods, variables: int, shown: Callable[[str], str] | None) -> None:
        self.root = root
        self.methods = methods
        self.typed = isinstance(root, Struct)
        self.variables: list[Any] = [root] + [None] * (variables - 1)
        self.shown = shown
        self.out: list[str] = []


# ------------------------------------------------------------------------------------------------- what has a value


class _Where:
    """A stretch of the template, to name it in an error. mark: the place that Go counts from."""

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


class _Term:
    """An operand."""

    def __init__(self, where: _Where) -> None:
        self.where = where

    def value(self, run: _Run, dot: Any, args: Sequence[_Term] = (), final: Any = _NOTHING) -> Any:
        """Its value. args: the terms after it in its command; final: what the pipeline brings. Only functions and
        methods take them."""
        raise NotImplementedError

    def no_function(self, args: Sequence[_Term], final: Any) -> None:
        if args or final is not _NOTHING:
            self.where.fail(f"can't give argument to non-function {self.where.source()}")


class _Constant(_Term):
    def __init__(self, where: _Where, constant: object) -> None:
        super().__init__(where)
        self.constant = constant

    def value(self, run: _Run, dot: Any, args: Sequence[_Term] = (), final: Any = _NOTHING) -> Any:
        self.no_function(args, final)
        return self.constant


class _Path(_Term):
    """The dot, a variable or a pipeline in parentheses, and the fields below it."""

    def __init__(self, where: _Where, base: Pipeline, names: Sequence[str] = ()) -> None:
        super().__init__(where)
        self.base = base
        self.names = names

    def value(self, run: _Run, dot: Any, args: Sequence[_Term] = (), final: Any = _NOTHING) -> Any:
        value = self.base(run, dot)
        if not self.names:
            self.no_function(args, final)
            return value
        for name in self.names[:-1]:
            value = self.field(run, value, name)
        name = self.names[-1]
        given = len(args) + (final is not _NOTHING)
        if value is run.root and name in run.methods:
            if given != 1:
                self.where.fail(f"wrong number of args for {name}: want 1 got {given}")
            return run.methods[name](_fitting("s", args[0].value(run, dot) if args else final, self))
        if given and isinstance(value, (dict, Struct)):
            self.where.fail(f"{name} is not a method but has arguments")
        return self.field(run, value, name)

    def field(self, run: _Run, holder: Any, name: str) -> Any:
        if isinstance(holder, Struct):
            try:
                return holder.field(name)
            except KeyError:
                self.where.fail(f"can't evaluate field {name} in type {holder.type}")
        if isinstance(holder, Nil):
            if holder.is_pointer:
                self.where.fail(f"nil pointer evaluating {holder.type}.{name}")
            holder = Map(holder.type, {}) if holder.is_map else []
        if isinstance(holder, dict):
            if name not in holder and not isinstance(holder, Map):
                self.where.fail(f"map has no entry for key {formats.quote(name)}")
            return holder.get(name)
        if holder is None:
            if run.typed:
                return None  # of what a map lacks
            self.where.fail(f"nil pointer evaluating interface {{}}.{name}")
        self.where.fail(f"can't evaluate field {name} in type interface {{}}")


class _Function(_Term):
    """whole: the command, once it is known."""

    def __init__(self, where: _Where, name: str, function: Function) -> None:
        super().__init__(where)
        self.name = name
        self.kinds, self.function = function
        self.whole = where

    def value(self, run: _Run, dot: Any, args: Sequence[_Term] = (), final: Any = _NOTHING) -> Any:
        kinds = self.kinds
        wanted = len(kinds.rstrip("*"))
        given = len(args) + (final is not _NOTHING)
        if given < wanted or (given > wanted and not kinds.endswith("*")):
            least = "at least " if kinds.endswith("*") else ""
            self.where.fail(f"wrong number of args for {self.name}: want {least}{wanted} got {given}")
        values: list[Any] = []
        for place, arg in enumerate(args):
            values.append(_fitting(kinds[place : place + 1], arg.value(run, dot), arg))
            if self.name in ("and", "or") and bool(values[-1]) == (self.name == "or"):
                return values[-1]  # these two evaluate no more than they must
        if final is not _NOTHING:
            values.append(_fitting(kinds[len(args) : len(args) + 1], final, self))
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


def _fitting(kind: str, value: Any, term: _Term) -> Any:
    """The value of an argument, if it is of the kind (gofunctions.py) that the function takes there."""
    wanted, fits = _KINDS.get(kind, ("", None))
    if fits and not fits(value):
        if isinstance(term, _Constant):
            term.where.fail(f"expected {wanted}; found {term.where.source()}")
        found = "interface {}" if value is None else formats.type_name(value)
        term.where.fail(f"wrong type for value; expected {wanted}; got {found}")
    return value


def _dot(run: _Run, dot: Any) -> Any:
    return dot


# ----------------------------------------------------------------------------------------------- what makes output


def _literal(text: str) -> Part:
    return lambda run, dot: run.out.append(text)


def _action(pipeline: Pipeline, prints: bool) -> Part:
    def action(run: _Run, dot: Any) -> None:
        value = pipeline(run, dot)
        if prints:
            text = "<no value>" if value is None else formats.text(value)
            run.out.append(run.shown(text) if run.shown else text)

    return action


def _choice(condition: Pipeline, body: Part, other: Part, moves_dot: bool) -> Part:
    """An if, or a with, which moves the dot to what was asked for."""

    def choice(run: _Run, dot: Any) -> None:
        value = condition(run, dot)
        if value:
            body(run, value if moves_dot else dot)
        else:
            other(run, dot)

    return choice


def _range(where: _Where, pipeline: Pipeline, slots: list[int], body: Part, other: Part) -> Part:
    """slots: the variables for the value, or for the key (a list's index) and the value."""

    def loop(run: _Run, dot: Any) -> None:
        value = pipeline(run, dot)
        if isinstance(value, dict):
            pairs = sorted(value.items())
        elif isinstance(value, list):
            pairs = list(enumerate(value))
        elif value is None or (isinstance(value, Nil) and not value.is_pointer):
            pairs = []
        else:
            where.fail(f"range can't iterate over {formats.text(value)}")
        for pair in pairs:
            for slot, part in zip(reversed(slots), reversed(pair)):
                run.variables[slot] = part
            body(run, pair[1])
        if not pairs:
            other(run, dot)

    return loop


# ---------------------------------------------------------------------------------------------- from tokens to parts


class _Parser:
    """Recursive descent, as Go's. variables: how many a run needs, `$` included."""

    def __init__(self, text: str, functions: Functions) -> None:
        self.text = text
        self.functions = functions
        self.tokens = tokens(text)
        self.place = 0
        self.depth = 0
        self.scopes: list[dict[str, int]] = [{"$": 0}]  # name -> its place in _Run.variables
        self.variables = 1

    # Tokens.

    def peek(self) -> Token:
        return self.tokens[self.place]

    def next(self) -> Token:
        kind, text, start = token = self.tokens[self.place]
        if kind == "error":
            self.fail(text, start)
        self.place += 1
        return token

    def skip_space(self) -> None:
        if self.peek()[0] == "space":
            self.place += 1

    def end_of_action(self, context: str) -> None:
        self.skip_space()
        token = self.next()
        if token[0] != "}}":
            self.unexpected(token, context)

    def where(self, first: int, mark: int | None = None) -> _Where:
        """From the token number `first` to the one taken last."""
        _, text, start = self.tokens[self.place - 1]
        return _Where(self.text, self.tokens[first][2], start + len(text.rstrip(SPACES)), mark)

    def fail(self, message: str, start: int) -> NoReturn:
        line = self.text.count("\n", 0, start) + 1
        raise InvalidArgument(f"template: :{line}: {message}", "", _NO_TEMPLATE)

    def unexpected(self, token: Token, context: str) -> NoReturn:
        _, text, start = token
        shown = formats.quote(text[:10]) + ("..." if len(text) > 10 else "")
        if text in (*_KEYWORDS, ".", "nil"):
            shown = f"<{text}>"
        self.fail(f"unexpected {shown} in {context}", start)

    def deeper(self, start: int) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"nested more than {_DEEPEST} levels deep", start)

    # Blocks.

    def template(self) -> Part:
        body, ender = self.block()
        if ender:
            self.fail(f"unexpected {{{{{ender}}}}}", self.tokens[self.place - 1][2])
        return body

    def block(self) -> tuple[Part, str]:
        """What stands before the next `end` (its action taken whole), the next `else` (the word taken) or the end of
        it all (""), and which of them it is."""
        parts: list[Part] = []

        def body(run: _Run, dot: Any) -> None:
            for part in parts:
                part(run, dot)

        while True:
            kind, text, _ = self.next()
            if kind == "eof":
                return body, ""
            if kind == "text":
                parts.append(_literal(text))
                continue
            self.skip_space()
            kind, word, _ = self.peek()
            if kind == "name" and word in ("if", "range", "with", "else", "end"):
                self.next()
                if word == "end":
                    self.end_of_action("end")
                if word in ("else", "end"):
                    return body, word
                parts.append(self.control(word))
            else:
                pipeline, slots, _ = self.pipeline("command")
                self.next()
                parts.append(_action(pipeline, not slots))

    def control(self, word: str) -> Part:
        """The rest of an if, range or with, up to its end."""
        self.deeper(self.peek()[2])
        self.scopes.append({})
        condition, slots, where = self.pipeline(word)
        self.next()
        body, ender = self.block()
        other = _literal("")
        if ender == "else":
            self.skip_space()
            if word == "if" and self.peek()[:2] == ("name", "if"):
                self.next()
                other, ender = self.control("if"), "end"  # the inner if takes the end for both
            else:
                self.end_of_action("else")
                other, ender = self.block()
        if ender != "end":
            self.fail("expected end; found {{else}}" if ender else "unexpected EOF", self.tokens[self.place - 1][2])
        self.scopes.pop()
        self.depth -= 1
        if word == "range":
            return _range(where, condition, slots, body, other)
        return _choice(condition, body, other, word == "with")

    # Pipelines.

    def pipeline(self, context: str, closer: str = "}}") -> tuple[Pipeline, list[int], _Where]:
        """A pipeline up to its closer, the variables that it sets (a range sets its own), and where its value is."""
        self.skip_space()
        names, assigns = self.declarations(context)
        first = self.place
        commands: list[tuple[_Term, Sequence[_Term]]] = []
        while True:
            self.skip_space()
            kind, _, start = self.peek()
            if kind == closer:
                break
            commands.append(self.command(context))
            if len(commands) > 1 and not self.executable(commands[-1][0]):
                self.fail(f"non executable command in pipeline stage {len(commands)}", start)
        if not commands:
            self.fail(f"missing value for {context}", start)
        slots = [self.variable(name, start) if assigns else self.declare(name) for name in names]

        def value(run: _Run, dot: Any) -> Any:
            result = _NOTHING
            for head, args in commands:
                result = head.value(run, dot, args, result)
            if context != "range":
                for slot in slots:
                    run.variables[slot] = result
            return result

        return value, slots, self.where(first)

    @staticmethod
    def executable(head: _Term) -> bool:
        return not isinstance(head, _Constant) and head.where.source() != "."

    def declarations(self, context: str) -> tuple[list[str], bool]:
        """The variables before := or =, and whether it is an assignment to old ones."""
        names: list[str] = []
        while self.peek()[0] == "variable":
            first = self.place
            _, name, start = self.next()
            self.skip_space()
            kind = self.peek()[0]
            if kind == "," and (context != "range" or names):
                self.fail(f"too many declarations in {context}", start)
            if kind not in (",", ":=", "="):
                if names:
                    self.fail("range can only initialize variables", start)
                self.place = first
                break
            names.append(name)
            self.next()
            self.skip_space()
            if kind != ",":
                return names, kind == "="
        return [], False

    def declare(self, name: str) -> int:
        self.scopes[-1][name] = self.variables
        self.variables += 1
        return self.variables - 1

    def variable(self, name: str, start: int) -> int:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        self.fail(f"undefined variable {formats.quote(name)}", start)

    def command(self, context: str) -> tuple[_Term, Sequence[_Term]]:
        """One command, with the | after it: the term that it starts with, and the others."""
        terms: list[_Term] = []
        while True:
            self.skip_space()
            term = self.operand()
            if term:
                terms.append(term)
            if not term or self.peek()[0] != "space":
                break
        if not terms or self.peek()[0] not in ("}}", ")", "|"):
            self.unexpected(self.next(), "operand" if terms else context)
        if self.peek()[0] == "|":
            self.next()
        head, args = terms[0], terms[1:]
        if isinstance(head, _Function):
            head.whole = _Where(self.text, head.where.start, terms[-1].where.end)
        if isinstance(head, _Constant) and head.constant is None:
            head.where.fail("nil is not a command")
        return head, args

    def operand(self) -> _Term | None:
        """A term and the fields right behind it."""
        first = self.place
        term = self.term()
        if term is None or self.peek()[0] != "field":
            return term
        mark = self.peek()[2]
        if not isinstance(term, (_Path, _Function)) or term.where.source() == ".":
            self.fail(f"unexpected . after term {formats.quote(term.where.source())}", mark)
        base, names = (term.base, list(term.names)) if isinstance(term, _Path) else (term.value, [])
        while self.peek()[0] == "field":
            names.append(self.next()[1][1:])
        return _Path(self.where(first, mark), base, names)

    def term(self) -> _Term | None:
        first = self.place
        kind, text, start = self.peek()
        if kind in ("number", "string", "raw", "char"):
            self.next()
            return _Constant(self.where(first), self.literal(kind, text, start))
        if kind == "name" and text not in _KEYWORDS:
            self.next()
            if text in _CONSTANTS:
                return _Constant(self.where(first), _CONSTANTS[text])
            if text not in self.functions:
                self.fail(f"function {formats.quote(text)} not defined", start)
            return _Function(self.where(first), text, self.functions[text])
        if kind == ".":
            self.next()
            return _Path(self.where(first), _dot)
        if kind == "field":
            self.next()
            return _Path(self.where(first), _dot, (text[1:],))
        if kind == "variable":
            self.next()
            slot = self.variable(text, start)
            return _Path(self.where(first), lambda run, dot: run.variables[slot])
        if kind == "(":
            self.next()
            self.deeper(start)
            pipeline, _, _ = self.pipeline("parenthesized pipeline", ")")
            self.next()
            self.depth -= 1
            return _Path(self.where(first), pipeline)
        return None

    def literal(self, kind: str, text: str, start: int) -> object:
        if kind == "raw":
            return text[1:-1]
        try:
            if kind == "number":
                return number(text)
            body = unquoted(text[1:-1])
            return body if kind == "string" else ord(body)
        except OverflowError:
            self.fail(f"integer overflow: {formats.quote(text)}", start)
        except (ValueError, TypeError):
            wrong = {"number": f"bad number syntax: {formats.quote(text)}", "string": "invalid syntax"}
            self.fail(wrong.get(kind, f"malformed character constant: {text}"), start)
