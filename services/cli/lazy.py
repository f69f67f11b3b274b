"""Commands that are imported when they are called, so that `exchange --help` stays fast."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class LazyCommand(NamedTuple):
    """Where a command is. attribute: a function, or a typer.Typer that is a group of commands."""

    name: str
    module: str
    attribute: str
    help: str


class LazyGroup(TyperGroup):
    """A group of lazy commands. A subclass names them in `lazy`."""

    lazy: ClassVar[Sequence[LazyCommand]] = ()

    def list_commands(self, ctx: Any) -> list[str]:
        return [command.name for command in self.lazy]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that knows its name and help text: enough to list it."""
        command = self._find(cmd_name)
        return None if command is None else TyperCommand(command.name, help=command.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, imported now."""
        command = self._find(args[0])
        if command is None:
            return super().resolve_command(ctx, args)
        return command.name, _load(command), args[1:]

    def _find(self, name: str) -> LazyCommand | None:
        return next((command for command in self.lazy if command.name == name), None)


def _load(command: LazyCommand) -> Any:
    target = getattr(import_module(command.module), command.attribute)
    if isinstance(target, typer.Typer):
        group = typer.main.get_group(target)
        group.name = command.name
        return group
    # As Markdown, paragraphs of a docstring are wrapped anew for the terminal instead of twice.
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    single.command(command.name)(target)
    return typer.main.get_command(single)
