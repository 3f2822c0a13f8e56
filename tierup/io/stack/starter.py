"""A first stack file from four answers: commented, and with as many servers as its users need."""

from dataclasses import dataclass
from functools import cache

from tierup.catalog import load_catalog
from tierup.findings.model import Finding, TierError, errors, open_warnings
from tierup.io.stack.read import parse_stack
from tierup.rules.preflight import examine
from tierup.stack.parse import parse
from tierup.templates import TEMPLATES

MOST_SERVERS = 16


class NoStarter(TierError):
    """No number of these servers gives a plan without findings."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What `tierup init` asks: a stack's name, ids of the catalogue, and the number of users."""

    name: str
    server: str
    model: str
    users: int


def starter(answers: Answers) -> str:
    """The text of a stack file whose plan has no error and no open warning, with the fewest servers.

    Raises:
        NoStarter: with what is wrong with `MOST_SERVERS` of these servers.
    """
    found: tuple[Finding, ...] = ()
    for count in range(1, MOST_SERVERS + 1):
        text = _render(answers, count)
        found = _findings(text, answers.name)
        if not found:
            return text
    raise NoStarter(
        f"{answers.server} and {answers.model} do not serve {answers.users} users without a finding, with up to "
        f"{MOST_SERVERS} servers - name fewer users, or another server or model. What remains:\n"
        + "\n".join(f"  - {finding}" for finding in found)
    )


@cache
def offered_models(server: str) -> tuple[str, ...]:
    """Models that a server can serve without a further decision, such as a licence, a commit or a precision."""
    return tuple(
        model
        for model in load_catalog().models
        if not _findings(_render(Answers("offer", server, model, 1), 1), "offer")
    )


def _render(answers: Answers, count: int) -> str:
    catalog = load_catalog()
    server, model = catalog.servers[answers.server], catalog.models[answers.model]
    return TEMPLATES.get_template("stack.yaml.j2").render(
        name=answers.name,
        server_id=answers.server,
        server=server,
        model_id=answers.model,
        model=model,
        users=answers.users,
        count=count,
        capex=round(count * server.capex_usd.value),
    )


def _findings(text: str, name: str) -> tuple[Finding, ...]:
    """Errors and open warnings of a stack file."""
    found = examine(parse(parse_stack(text, name, f"Pulumi.{name}.yaml")), load_catalog()).findings
    return (*errors(found), *open_warnings(found))
