"""The top of the command line: mydocker itself, its groups, and docker's other spellings of commands."""

from typing import Any

import typer

from mydocker import __version__
from mydocker.cli.declare import archive, attaching, container, image, network, registry, running, system, volume
from mydocker.cli.declare import build as building
from mydocker.cli.declare.common import Group

# `mydocker container ls` is `mydocker ps`.
_SPELLINGS = {
    "container": "run create start attach stop kill restart pause unpause update rename rm remove=rm ls=ps list=ps ps"
    " logs exec wait port top stats diff cp commit export",
    "system": "info",
    "image": "ls=images list=images rm=rmi remove=rmi history tag import build save load pull push",
}

_EXAMPLES = """\b
Try:
  mydocker run -ti sh                  a shell in a new container
  mydocker run -d --name clock top     a container in the background
  mydocker exec -ti clock sh           a shell in that container
  mydocker run --explain true          all steps of a container's start

'mydocker COMMAND --help' shows a command's options."""

app = typer.Typer(
    cls=Group,
    add_completion=False,
    epilog=_EXAMPLES,
    subcommand_metavar="COMMAND",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for part in (container, attaching, running, image, building, archive, registry, system):
    app.registered_commands += part.app.registered_commands
app.add_typer(container.group, name="container", cls=Group, subcommand_metavar="COMMAND", rich_help_panel="Containers")
app.add_typer(image.group, name="image", cls=Group, subcommand_metavar="COMMAND", rich_help_panel="Images")
app.add_typer(building.builder, name="builder", cls=Group, subcommand_metavar="COMMAND", rich_help_panel="Images")
app.add_typer(volume.app, name="volume", cls=Group, subcommand_metavar="COMMAND", rich_help_panel="Volumes")
app.add_typer(system.host, name="system", cls=Group, subcommand_metavar="COMMAND", rich_help_panel="System")
app.add_typer(network.app, name="network", cls=Group, subcommand_metavar="COMMAND", rich_help_panel="Networks")


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"mydocker version {__version__}")
        raise typer.Exit()


@app.callback()
def mydocker(
    version: bool = typer.Option(
        False, "-v", "--version", help="Show the version", callback=_show_version, is_eager=True
    ),
) -> None:
    """Run containers, and show each kernel step they take"""


def build() -> Any:
    """The whole command line as one click command."""
    root: Any = typer.main.get_command(app)
    for group, spellings in _SPELLINGS.items():
        pairs = [(spelling.partition("=")[0], spelling.rpartition("=")[2]) for spelling in spellings.split()]
        made = Group(name=group, help=f"Manage {group}s", hidden=True, subcommand_metavar="COMMAND")
        own = root.commands.setdefault(group, made).commands
        own.update({new: root.commands[old] for new, old in pairs})
    root.commands["builder"].commands["build"] = root.commands["build"]
    for group in ("volume", "network"):
        names = root.commands[group].commands
        names.update(remove=names["rm"])
        names.setdefault("list", names["ls"])
    return root
