"""Writes a first stack file from four answers, which are asked or given as options."""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tierup.catalog import load_catalog
from tierup.cli.exits import UsageError, examples
from tierup.cli.project import project_folder
from tierup.findings.model import did_you_mean
from tierup.io.stack.read import stack_path
from tierup.io.stack.starter import Answers, offered_models, starter

EXAMPLES = examples(
    "tierup init", "tierup init --name team --server entry-2x-rtx-4090 --model qwen2.5-7b --users 20"
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_USERS = re.compile(r"[1-9][0-9]{0,4}|100000")


def init(
    name: Annotated[str | None, typer.Option(help="Name of the new stack", show_default="asked")] = None,
    server: Annotated[
        str | None, typer.Option(help="A server of `tierup catalog list servers`", show_default="asked")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model of `tierup catalog list models`", show_default="asked")
    ] = None,
    users: Annotated[
        str | None, typer.Option(help="People who use it at the same time", show_default="asked")
    ] = None,
) -> None:
    """Write a commented stack file that plans without a finding, with as many servers as the users need.

    What no option gives is asked, one line for each answer. A file that exists is never overwritten.
    """
    project = project_folder()
    form = _Form(project)
    given = {"name": name, "server": server, "model": model, "users": users}
    form.take({key: value for key, value in given.items() if value is not None})
    for key in given:
        form.ask(key)
    answers = Answers(form.name, form.server, form.model, int(form.users))
    text, path = starter(answers), stack_path(project, form.name)
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:  # since it was asked for
        raise UsageError(f"--name: {form.problem('name', form.name)}") from None
    typer.echo(f"{path.relative_to(project)} written; next: tierup plan --stack {form.name}")


@dataclass
class _Form:
    """The answers so far; each is checked as it comes."""

    project: Path
    name: str = ""
    server: str = ""
    model: str = ""
    users: str = ""

    def take(self, given: dict[str, str]) -> None:
        """The answers of options; raises `UsageError` with every problem of them."""
        problems = []
        for key, value in given.items():
            problem = self.problem(key, value)
            if problem:
                problems.append(f"--{key}: {problem}")
            else:
                setattr(self, key, value)
        if problems:
            raise UsageError("\n  ".join(problems))

    def ask(self, key: str) -> None:
        """Ask until the answer is valid, unless there is one; an empty line takes the proposal."""
        while not getattr(self, key):
            question, proposal = self._question(key)
            print(f"{question} [{proposal}]: ", end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline()
            if not line:
                print(file=sys.stderr)
                raise UsageError(
                    f"there is no answer for --{key} - give it as an option, or answer the question"
                )
            answer = line.strip() or proposal
            problem = self.problem(key, answer)
            if problem:
                print(f"  {problem}", file=sys.stderr)
            else:
                setattr(self, key, answer)

    def _question(self, key: str) -> tuple[str, str]:
        catalog = load_catalog()
        if key == "name":
            return "name of the stack", next(n for n in _names() if not self.problem("name", n))
        if key == "server":
            return f"server, one of {', '.join(catalog.servers)}", next(iter(catalog.servers))
        if key == "model":
            models = offered_models(self.server)
            return f"model, one of {', '.join(models)}", "qwen2.5-7b" if "qwen2.5-7b" in models else models[0]
        return "users at the same time", "20"

    def problem(self, key: str, answer: str) -> str:
        """What is wrong with an answer; an empty text if nothing is."""
        checks: dict[str, Callable[[str], str]] = {
            "name": self._name_problem,
            "server": lambda text: _not_one_of(text, load_catalog().servers),
            "model": self._model_problem,
            "users": lambda text: "" if _USERS.fullmatch(text) else f"a number from 1 to 100000 (got {text})",
        }
        return checks[key](answer)

    def _name_problem(self, text: str) -> str:
        if not _NAME.fullmatch(text):
            return f"1 to 40 lower-case letters, digits and inner hyphens (got {text})"
        path = stack_path(self.project, text)
        if not (path.exists() or path.is_symlink()):
            return ""
        return f"{path.relative_to(self.project)} exists and is not overwritten - choose another name"

    def _model_problem(self, text: str) -> str:
        known = load_catalog().models
        if text not in known or not self.server:
            return _not_one_of(text, known)
        offered = offered_models(self.server)
        if text in offered:
            return ""
        return (
            f"{text} needs a decision that no answer here makes, such as a licence, a commit or a precision (offered: "
            f"{', '.join(offered)}) - start from one of these, change models[0].id and run `tierup plan`"
        )


def _names() -> Iterable[str]:
    yield "team"
    yield from (f"team-{number}" for number in range(2, 1000))


def _not_one_of(text: str, allowed: Iterable[str]) -> str:
    names = tuple(allowed)
    if text in names:
        return ""
    return f"{did_you_mean(text, names) or 'there is no such one'} (got {text}; allowed {', '.join(names)})"
