"""From the tokens of a template to its parts, by recursive descent, as Go's text/template/parse."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.gotemplate import formats
from mydocker.gotemplate.lexer import SPACES, number, tokens, unquoted
from mydocker.gotemplate.nodes import NOTHING, Call, Constant, Path, Span, action, choice, literal, loop, same_dot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from mydocker.gotemplate.functions import Functions
    from mydocker.gotemplate.lexer import Token
    from mydocker.gotemplate.nodes import Part, Pipeline, Run, Term

_NOT_A_TEMPLATE = 64  # docker's exit code, except for commands that list
_MAX_DEPTH = 50  # blocks and parentheses inside each other
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "nil": None}
_KEYWORDS = ("if", "range", "with", "else", "end")


class Parser:
    """variables: how many of them a run needs, `$` included."""

    def __init__(self, text: str, functions: Functions) -> None:
        self.text = text
        self.functions = functions
        self.tokens = tokens(text)
        self.place = 0
        self.depth = 0
        self.scopes: list[dict[str, int]] = [{"$": 0}]  # name -> its index in Run.variables
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

    def span(self, first: int, mark: int | None = None) -> Span:
        """The span from token number `first` to the last token taken."""
        _, text, start = self.tokens[self.place - 1]
        return Span(self.text, self.tokens[first][2], start + len(text.rstrip(SPACES)), mark)

    def fail(self, message: str, start: int) -> NoReturn:
        line = self.text.count("\n", 0, start) + 1
        raise InvalidArgument(f"template: :{line}: {message}", "", _NOT_A_TEMPLATE)

    def unexpected(self, token: Token, context: str) -> NoReturn:
        _, text, start = token
        shown = formats.quote(text[:10]) + ("..." if len(text) > 10 else "")
        if text in (*_KEYWORDS, ".", "nil"):
            shown = f"<{text}>"
        self.fail(f"unexpected {shown} in {context}", start)

    def deeper(self, start: int) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"nested more than {_MAX_DEPTH} levels deep", start)

    # Blocks.

    def template(self) -> Part:
        body, ender = self.block()
        if ender:
            self.fail(f"unexpected {{{{{ender}}}}}", self.tokens[self.place - 1][2])
        return body

    def block(self) -> tuple[Part, str]:
        """Parse up to the next `end` (taking its whole action), the next `else` (taking the word only) or the end of
        the text (""). Returns the part, and which of the three ended it."""
        parts: list[Part] = []

        def body(run: Run, dot: Any) -> None:
            for part in parts:
                part(run, dot)

        while True:
            kind, text, _ = self.next()
            if kind == "eof":
                return body, ""
            if kind == "text":
                parts.append(literal(text))
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
                parts.append(action(pipeline, not slots))

    def control(self, word: str) -> Part:
        """Parse the remainder of an if, range or with, up to its end."""
        self.deeper(self.peek()[2])
        self.scopes.append({})
        condition, slots, span = self.pipeline(word)
        self.next()
        body, ender = self.block()
        other = literal("")
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
            return loop(span, condition, slots, body, other)
        return choice(condition, body, other, word == "with")

    # Pipelines.

    def pipeline(self, context: str, closer: str = "}}") -> tuple[Pipeline, list[int], Span]:
        """Parse a pipeline up to its closer. Returns the pipeline, the variables that it declares or assigns (a range
        sets them itself), and the span of its commands."""
        self.skip_space()
        names, assigns = self.declarations(context)
        first = self.place
        commands: list[tuple[Term, Sequence[Term]]] = []
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

        def value(run: Run, dot: Any) -> Any:
            result = NOTHING
            for head, args in commands:
                result = head.value(run, dot, args, result)
            if context != "range":
                for slot in slots:
                    run.variables[slot] = result
            return result

        return value, slots, self.span(first)

    @staticmethod
    def executable(head: Term) -> bool:
        return not isinstance(head, Constant) and head.span.source() != "."

    def declarations(self, context: str) -> tuple[list[str], bool]:
        """Parse the variables before := or =. Returns their names, and True if they are assigned, not declared."""
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

    def command(self, context: str) -> tuple[Term, Sequence[Term]]:
        """Parse a command and the | after it. Returns its first term, and the others."""
        terms: list[Term] = []
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
        if isinstance(head, Call):
            head.whole = Span(self.text, head.span.start, terms[-1].span.end)
        if isinstance(head, Constant) and head.constant is None:
            head.span.fail("nil is not a command")
        return head, args

    def operand(self) -> Term | None:
        """Parse a term and the fields attached to it."""
        first = self.place
        term = self.term()
        if term is None or self.peek()[0] != "field":
            return term
        mark = self.peek()[2]
        if not isinstance(term, (Path, Call)) or term.span.source() == ".":
            self.fail(f"unexpected . after term {formats.quote(term.span.source())}", mark)
        base, names = (term.base, list(term.names)) if isinstance(term, Path) else (term.value, [])
        while self.peek()[0] == "field":
            names.append(self.next()[1][1:])
        return Path(self.span(first, mark), base, names)

    def term(self) -> Term | None:
        first = self.place
        kind, text, start = self.peek()
        if kind in ("number", "string", "raw", "char"):
            self.next()
            return Constant(self.span(first), self.literal(kind, text, start))
        if kind == "name" and text not in _KEYWORDS:
            self.next()
            if text in _CONSTANTS:
                return Constant(self.span(first), _CONSTANTS[text])
            if text not in self.functions:
                self.fail(f"function {formats.quote(text)} not defined", start)
            return Call(self.span(first), text, self.functions[text])
        if kind == ".":
            self.next()
            return Path(self.span(first), same_dot)
        if kind == "field":
            self.next()
            return Path(self.span(first), same_dot, (text[1:],))
        if kind == "variable":
            self.next()
            slot = self.variable(text, start)
            return Path(self.span(first), lambda run, dot: run.variables[slot])
        if kind == "(":
            self.next()
            self.deeper(start)
            pipeline, _, _ = self.pipeline("parenthesized pipeline", ")")
            self.next()
            self.depth -= 1
            return Path(self.span(first), pipeline)
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
