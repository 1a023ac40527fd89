"""Go's text/template, as far as `--format` needs it: a docker user's template means the same here.

It has fields, variables, pipelines, parentheses, literals, if/else, range, with, trim markers, comments, and the
functions of functions.py. It lacks define, template and block, so a template can't call itself, and nesting is bounded.
Errors are worded as Go's, and give the place as Go does, line:byte.

The parser follows Go's text/template/parse, so it rejects the same texts. It makes closures, which then run on values
of JSON's types, or of Go's (values.py).
"""

from __future__ import annotations

from mydocker.gotemplate.functions import FUNCTIONS
from mydocker.gotemplate.nodes import Run
from mydocker.gotemplate.parser import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.gotemplate.functions import Functions
    from mydocker.gotemplate.nodes import Methods


class Template:
    """A parsed template. Raises InvalidArgument if the text is not a template."""

    def __init__(self, text: str, functions: Functions = FUNCTIONS) -> None:
        parser = Parser(text, functions)
        self._body = parser.template()
        self._variables = parser.variables

    def render(self, root: object, methods: Methods | None = None, escape: Callable[[str], str] | None = None) -> str:
        """Return the output for one value. Raises InvalidArgument if the template does not apply to the value.

        methods: the root's methods, each with one string argument: `.Label "k"`.
        escape: called on the output of each action, but not on the template's own text.
        """
        run = Run(root, methods or {}, self._variables, escape)
        self._body(run, root)
        return "".join(run.out)
