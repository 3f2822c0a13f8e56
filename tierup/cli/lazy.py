"""A group of commands that imports a command's module only when that command runs.

`tierup --help` and shell completion read names and summaries from a table, so they start in a fraction of a second.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_install_completion_arguments

# Plain text: drawing frames would import Rich, and lines of frames are hard to cut and to search.
_PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class LazyGroup(TyperGroup):
    """The commands of a package, each in a module of its own.

    A module `plan` defines the function `plan` and `EXAMPLES`, the end of its help. A group within the group is a
    package that defines `app`, another `LazyGroup`.

        LazyGroup("tierup.cli", {"plan": "Check a stack file."}, help="...", epilog="...")
    """

    def __init__(
        self,
        package: str,
        summaries: Mapping[str, str],
        *,
        help: str,  # noqa: A002 - as in Typer
        epilog: str,
        completion: bool = False,
    ) -> None:
        """`summaries` has one line of help for each command, in the order in which they are listed.

        `completion` adds the options that install and show the shell's completion.
        """
        listed = {name: TyperCommand(name, short_help=text, **_PLAIN) for name, text in summaries.items()}
        super().__init__(
            name=package.rpartition(".")[2],
            commands=dict(listed),
            no_args_is_help=True,
            params=list(get_install_completion_arguments()) if completion else None,
            help=help,
            epilog=epilog,
            **_PLAIN,
        )
        self._package = package

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command's name, the command, imported now, and the arguments after its name."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, self.load(name) if name is not None else listed, rest

    def load(self, name: str) -> Any:
        """One of the commands, with its options, or a group."""
        module = importlib.import_module(f"{self._package}.{name}")
        if hasattr(module, "app"):
            return module.app
        single = typer.Typer(add_completion=False, **_PLAIN)
        single.command(name, epilog=module.EXAMPLES)(getattr(module, name))
        return get_command(single)
