"""Checks callers, classes and aliases at the gateway: missing secrets, unknown names, open origins, budgets."""

from collections.abc import Iterable, Iterator, Sequence

from tierup.findings.model import Code, Finding, did_you_mean, warning
from tierup.plan.apis import open_paths
from tierup.plan.model import Plan
from tierup.rules.secrets import of_gateway
from tierup.stack.parse import API_KEY_PREFIX, set_secret
from tierup.stack.sections import ClassMatch, size_bytes

# Parsing 15 MB took up to 1.9 s and 300 MB of memory (Nginx 1.22, njs 0.7.9, two cores); other streams wait.
LARGE_BODY_BYTES = 4 * 1024**2


def secrets(plan: Plan) -> Iterator[Finding]:
    """Every caller and certificate needs its secret, and every key must belong to a caller."""
    for path, name in of_gateway(plan):
        if name not in plan.secrets:
            problem = f"the secret {name} is not set"
            yield Finding(Code.NO_SECRET, path, problem, f"run `{set_secret(name, plan.stack)}`")
    declared = {API_KEY_PREFIX + key.name for key in plan.gateway.keys}
    for name in sorted(plan.secrets):
        if name.startswith(API_KEY_PREFIX) and name not in declared:
            caller = name.removeprefix(API_KEY_PREFIX)
            problem = "no caller of this name is declared: the key is not used"
            remove = f"pulumi config rm tierup:secret-{name} --stack {plan.stack}"
            fix = f"declare it as gateway.keys.{caller}, or `{remove}`"
            yield warning(Code.UNUSED_KEY, f"secret-{name}", problem, fix)


def names(plan: Plan) -> Iterator[Finding]:
    """Keys, match rules and aliases must name existing classes and models."""
    models, classes = list(plan.served), list(plan.classes)
    requestable = [*models, *plan.gateway.aliases]
    for name, item in plan.classes.items():
        if item.match is not None and item.match.models is not None:
            yield from _unknown(
                f"workload.classes.{name}.match.models", item.match.models, requestable, "model"
            )
    for key in plan.gateway.keys:
        yield from _unknown(f"gateway.keys.{key.name}.classes", key.classes, classes, "class")
    for name, alias in plan.gateway.aliases.items():
        at = f"gateway.aliases.{name}"
        if alias.weights is not None:
            yield from _unknown(f"{at}.weights", alias.weights, models, "model")
        if alias.classes is not None:
            yield from _unknown(f"{at}.classes", alias.classes, classes, "class")
            yield from _unknown(f"{at}.classes", alias.classes.values(), models, "model")


def _unknown(path: str, names: Iterable[str], existing: Sequence[str], kind: str) -> Iterator[Finding]:
    for name in names:
        if name not in existing:
            fix = did_you_mean(name, existing) or "use an existing name"
            yield Finding(Code.UNKNOWN_NAME, path, f"there is no such {kind}", fix, name, ", ".join(existing))


def aliases(plan: Plan) -> Iterator[Finding]:
    """An alias must have a free name, and either weights or classes."""
    for name, alias in plan.gateway.aliases.items():
        path, ways = f"gateway.aliases.{name}", (alias.weights, alias.classes)
        if plan.model(name) is not None:
            yield Finding(
                Code.ALIAS, path, "a model already has this name", "give the alias another one", name
            )
        if sum(way is not None for way in ways) != 1:
            got = "neither" if ways == (None, None) else "both"
            fix = "split by weight, or name a model for each class"
            yield Finding(Code.ALIAS, path, "needs weights or classes", fix, got, "exactly one of them")


def classes(plan: Plan) -> Iterator[Finding]:
    """The gateway must be able to tell each class from the others."""
    earlier: list[ClassMatch] = []
    sizes: list[int] = []
    served = open_paths(plan.models)
    for rule in plan.gateway.classes:
        item = plan.classes[rule.name]
        paths = rule.match.paths
        if paths is not None and not set(paths) & set(served):
            problem, fix = "no model of this stack serves these paths", "name paths that are served"
            at = f"workload.classes.{rule.name}.match.paths"
            yield Finding(Code.CLASS_UNREACHABLE, at, problem, fix, ", ".join(paths), ", ".join(served))
        same_size = item.match is None and item.answer_tokens in sizes
        if same_size or rule.match in earlier or ClassMatch() in earlier:
            problem = "the gateway cannot tell it from another class"
            fix = "set what identifies it: match.maxTokensFrom, match.stream, match.paths or match.models"
            yield Finding(Code.CLASS_UNREACHABLE, f"workload.classes.{rule.name}", problem, fix)
        earlier.append(rule.match)
        if item.match is None:
            sizes.append(item.answer_tokens)


def origins(plan: Plan) -> Iterator[Finding]:
    """Without keys, only named web pages should be able to call."""
    if "*" in plan.gateway.allowed_origins and not plan.gateway.keys:
        problem = "any web page that someone inside opens may use every GPU behind the gateway"
        fix = "name the origins, or declare callers, each with a secret key"
        yield warning(Code.OPEN_ORIGINS, "gateway.allowedOrigins", problem, fix, "*")


def token_budgets(plan: Plan) -> Iterator[Finding]:
    """Budgets of tokens need the gateway to count them."""
    for key in plan.gateway.keys if not plan.gateway.meter_tokens else ():
        budgets = {"tokensPerMinute": key.tokens_per_minute, "tokensPerDay": key.tokens_per_day}
        for name, tokens in budgets.items():
            if tokens is not None:
                problem, fix = "the gateway counts no tokens", "set gateway.meterTokens, or remove the budget"
                at = f"gateway.keys.{key.name}.{name}"
                yield Finding(Code.BUDGET_NOT_METERED, at, problem, fix, str(tokens))


def bodies(plan: Plan) -> Iterator[Finding]:
    """The parsing of a large body delays other streams."""
    text = plan.gateway.max_body_size
    if size_bytes(text) > LARGE_BODY_BYTES:
        problem = (
            "while a body of this size is parsed, other streams of its worker pause for a second or more"
        )
        yield warning(Code.LARGE_BODIES, "gateway.maxBodySize", problem, "use 4m or less", text)
