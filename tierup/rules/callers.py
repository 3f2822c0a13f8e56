"""Decides what is wrong with callers, classes and names at the gateway: secrets that lack, names that are not there."""

from collections.abc import Iterable, Iterator, Sequence

from tierup.findings.model import Code, Finding, did_you_mean, warning
from tierup.plan.model import Plan
from tierup.stack.parse import API_KEY_PREFIX, ServiceType
from tierup.stack.sections import ClassMatch, size_bytes

# Parsing 15 MB took 1.9 s and 300 MB at worst (Nginx 1.22, njs 0.7.9, two cores); other streams wait meanwhile.
LARGE_BODY_BYTES = 4 * 1024**2


def secrets(plan: Plan) -> Iterator[Finding]:
    """Keys and certificates whose secret is not set, and secrets that nothing uses."""
    for key in plan.gateway.keys:
        yield from _lacks(plan, f"gateway.keys.{key.name}", API_KEY_PREFIX + key.name)
    if plan.gateway.tls:
        for name in ("tls-certificate", "tls-key"):
            yield from _lacks(plan, "gateway.tls", name)
    declared = {API_KEY_PREFIX + key.name for key in plan.gateway.keys}
    for name in sorted(plan.secrets):
        if name.startswith(API_KEY_PREFIX) and name not in declared:
            caller = name.removeprefix(API_KEY_PREFIX)
            problem = "no caller of this name is declared: the key opens nothing"
            fix = f"declare it as gateway.keys.{caller}, or `pulumi config rm tierup:secret-{name}`"
            yield warning(Code.UNUSED_KEY, f"secret-{name}", problem, fix)


def _lacks(plan: Plan, path: str, name: str) -> Iterator[Finding]:
    if name not in plan.secrets:
        problem = f"the secret {name} is not set"
        yield Finding(Code.NO_SECRET, path, problem, f"`pulumi config set --secret tierup:secret-{name}`")


def names(plan: Plan) -> Iterator[Finding]:
    """Classes and models that keys, matches and aliases name."""
    models, classes = plan.model_names, list(plan.classes)
    asked = [*models, *plan.gateway.aliases]
    for name, item in plan.classes.items():
        if item.match is not None and item.match.models is not None:
            yield from _unknown(f"workload.classes.{name}.match.models", item.match.models, asked, "model")
    for key in plan.gateway.keys:
        yield from _unknown(f"gateway.keys.{key.name}.classes", key.classes, classes, "class")
    for name, alias in plan.gateway.aliases.items():
        at = f"gateway.aliases.{name}"
        if alias.weights is not None:
            yield from _unknown(f"{at}.weights", alias.weights, models, "model")
        if alias.classes is not None:
            yield from _unknown(f"{at}.classes", alias.classes, classes, "class")
            yield from _unknown(f"{at}.classes", alias.classes.values(), models, "model")


def _unknown(path: str, said: Iterable[str], there: Sequence[str], kind: str) -> Iterator[Finding]:
    for name in said:
        if name not in there:
            fix = did_you_mean(name, there) or "use one that is there"
            yield Finding(Code.UNKNOWN_NAME, path, f"there is no such {kind}", fix, name, ", ".join(there))


def aliases(plan: Plan) -> Iterator[Finding]:
    """Names that stand for several models."""
    for name, alias in plan.gateway.aliases.items():
        path, ways = f"gateway.aliases.{name}", (alias.weights, alias.classes)
        if plan.model(name) is not None:
            yield Finding(
                Code.ALIAS, path, "a model has this name already", "give the alias another one", name
            )
        if sum(way is not None for way in ways) != 1:
            got = "neither" if ways == (None, None) else "both"
            fix = "split by weight, or name a model for each class"
            yield Finding(Code.ALIAS, path, "takes weights or classes", fix, got, "exactly one of them")


def classes(plan: Plan) -> Iterator[Finding]:
    """Classes that no request can be of, or that look like another one."""
    before: list[ClassMatch] = []
    sizes: list[int] = []
    for rule in plan.gateway.classes:
        item = plan.classes[rule.name]
        alike = item.match is None and item.answer_tokens in sizes
        if alike or rule.match in before or ClassMatch() in before:
            problem = "the gateway cannot tell it from another class"
            fix = "say what it is known by: match.maxTokensFrom, match.stream, match.paths or match.models"
            yield Finding(Code.CLASS_UNREACHABLE, f"workload.classes.{rule.name}", problem, fix)
        before.append(rule.match)
        if item.match is None:
            sizes.append(item.answer_tokens)


def exposure(plan: Plan) -> Iterator[Finding]:
    """What a load balancer gives away."""
    if plan.gateway.service_type is not ServiceType.LOAD_BALANCER:
        return
    if not plan.gateway.keys:
        problem = "whoever reaches the load balancer may use every GPU behind it"
        fix = "declare callers, each with a secret key"
        yield warning(Code.OPEN_TO_ALL, "gateway.keys", problem, fix, "none")
    if not plan.gateway.tls:
        problem = "prompts, answers and keys cross the network in clear"
        fix = "set it and the secrets tls-certificate and tls-key, or end TLS before the load balancer"
        yield warning(Code.CLEAR_TEXT, "gateway.tls", problem, fix, "false")


def bodies(plan: Plan) -> Iterator[Finding]:
    """Bodies whose parsing stops other streams."""
    text = plan.gateway.max_body_size
    if size_bytes(text) > LARGE_BODY_BYTES:
        problem = (
            "while one of this size is parsed, the streams of its worker stand still, for a second or more"
        )
        yield warning(Code.LARGE_BODIES, "gateway.maxBodySize", problem, "use 4m or less", text)
