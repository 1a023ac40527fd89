"""Shared by the declarations: short names for Typer's three kinds of option, and a help in sections.

All of declare/ works with typer 0.7 to 0.25. That excludes Annotated and `X | None`; and as Typer evaluates
annotations, it excludes `from __future__ import annotations`. Click is used only through Typer's own classes.
"""

import inspect
import textwrap
from typing import Any, Callable, Dict, List, Tuple, TypeVar

import typer
import typer.core

_GENERAL = "Options"
_MIN_WIDTH = 20  # columns for an option's description
_COMMAND_PANELS = ("Containers", "Images", "Volumes", "Networks", "System", "Commands")

_Body = TypeVar("_Body", bound=Callable[..., int])
_Rows = Dict[str, List[Tuple[str, str]]]  # a section's title -> its lines, as (names, about)


def flag(about: str, *names: str, panel: str = _GENERAL) -> Any:
    """On or off; off when absent. One of the names is the parameter's, with `-` for `_`, as for all kinds."""
    return typer.Option(False, *names, help=about, show_default=False, rich_help_panel=panel)


def switch(about: str, name: str, *short: str) -> Any:
    """On when absent, off with `=false`, which normalize() spells --no-NAME for click. The key is in fastargs.ON."""
    names = (f"{name}/--no-{name[2:]}", *short)
    return typer.Option(True, *names, help=about, show_default=False, rich_help_panel=_GENERAL)


def text(metavar: str, about: str, *names: str, panel: str = _GENERAL) -> Any:
    """One value, as typed; the last one counts. None when absent."""
    return typer.Option(None, *names, metavar=metavar, help=about, show_default=False, rich_help_panel=panel)


def many(metavar: str, about: str, *names: str, panel: str = _GENERAL) -> Any:
    """Repeatable: all values, in order; an empty list when absent."""
    return typer.Option([], *names, metavar=f"{metavar}...", help=about, show_default=False, rich_help_panel=panel)


DETACH_KEYS = text("KEYS", "Leave it running when these are typed on its terminal (ctrl-p,ctrl-q)", "--detach-keys")


def positional(metavar: str) -> Any:
    """A required positional. A List[str] takes all remaining words."""
    return typer.Argument(..., metavar=metavar, show_default=False)


def optional(metavar: str) -> Any:
    return typer.Argument(None, metavar=metavar, show_default=False)


def command(
    app: typer.Typer, name: str, panel: str = "Commands", stop_at_positional: bool = False
) -> Callable[[_Body], _Body]:
    """Register a command. stop_at_positional: words after its first positional are the container's (run, exec)."""
    settings: Dict[str, Any] = {"allow_interspersed_args": False} if stop_at_positional else {}
    return app.command(name, cls=Command, rich_help_panel=panel, context_settings=settings)


class _Help:
    """Help in sections, with the short names of options in a column of their own."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        option.help = "Show this help"
        option.callback = _show_help
        return option

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Format as click does. Typer's own would use rich, if that is loaded."""
        for part in ("usage", "help_text", "options", "epilog"):
            getattr(self, f"format_{part}")(ctx, formatter)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        _write_prose(formatter, self.help or "")  # type: ignore[attr-defined]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_prose(formatter, self.epilog or "")  # type: ignore[attr-defined]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows: _Rows = {}
        for param in self.get_params(ctx):  # type: ignore[attr-defined]
            if param.param_type_name == "option":
                names, about = param.get_help_record(ctx)
                names = names.partition(" / ")[0]
                panel = getattr(param, "rich_help_panel", None) or _GENERAL
                rows.setdefault(panel, []).append((f"    {names}" if names.startswith("--") else names, about))
        _write(formatter, rows)


def _show_help(ctx: Any, _: Any, asked: bool) -> None:
    """Do what click does, but name stdout in an error: of a long help, a part is written before streams.flush()."""
    if asked and not ctx.resilient_parsing:
        from mydocker.cli import streams

        streams.flush(f"{ctx.get_help()}\n")
        raise typer.Exit()


def _write(formatter: Any, sections: _Rows) -> None:
    """Write the sections, with the same width for all first columns."""
    width = max(len(names) for rows in sections.values() for names, _ in rows) + 2
    for title, rows in sections.items():
        with formatter.section(title):
            indent = " " * formatter.current_indent
            for names, about in rows:
                first, *more = _wrapped(about, formatter.width - len(indent) - width) or [""]
                formatter.write(f"{indent}{names.ljust(width)}{first}".rstrip() + "\n")
                for line in more:
                    formatter.write(f"{indent}{' ' * width}{line}\n")


def _write_prose(formatter: Any, text: str) -> None:
    """Write paragraphs in click's notation: one that begins with \\b keeps its lines."""
    for paragraph in inspect.cleandoc(text).split("\n\n") if text else []:
        formatter.write_paragraph()
        first, *kept = paragraph.split("\n")
        for line in kept if first == "\b" else _wrapped(paragraph, formatter.width - 2):
            formatter.write(f"  {line}".rstrip() + "\n")


def _wrapped(text: str, width: int) -> List[str]:
    """Wrap at spaces only. Click's own also breaks at hyphens, and within long words."""
    return textwrap.wrap(text, max(width, _MIN_WIDTH), break_long_words=False, break_on_hyphens=False)


class Command(_Help, typer.core.TyperCommand):
    pass


class Group(_Help, typer.core.TyperGroup):
    """A group whose help lists its commands, and those of its groups, by panel; each once, by its first name. A group
    within mydocker has one panel."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows: _Rows = {panel: [] for panel in _COMMAND_PANELS}
        listed: List[Any] = []
        shown: Any = [(name, inner) for name, inner in self.commands.items() if not inner.hidden]
        for name, inner in shown:
            for inner_name, command in getattr(inner, "commands", {"": inner}).items():
                if command not in listed:
                    listed.append(command)
                    about = command.get_short_help_str(limit=80)
                    panel = inner.rich_help_panel if ctx.parent is None else _COMMAND_PANELS[-1]
                    rows[panel].append((f"{name} {inner_name}".rstrip(), about))
        _write(formatter, {panel: lines for panel, lines in rows.items() if lines})
        super().format_options(ctx, formatter)
