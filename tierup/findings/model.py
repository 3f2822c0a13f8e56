"""A finding: one problem with a stable code, a path, a message and a fix; it never shows a secret."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from tierup.findings.secrets import redacted

MOST_OF_A_KIND = 50  # findings that are listed one by one
_MOST_OF_A_TEXT = 2000  # characters; the longest list of allowed names has about 500
T = TypeVar("T")


class Severity(StrEnum):
    """An error stops the preview; warnings and notes are only shown."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Code(StrEnum):
    """Every problem that tierup can report. A code never changes its meaning and is never reused.

    Retired: TIER044, reported before TensorRT-LLM was supported. Groups: `tierup.findings.explanations.GROUPS`.
    """

    YAML_SYNTAX = "TIER001"
    DUPLICATE_KEY = "TIER002"
    UNKNOWN_KEY = "TIER003"
    MISSING = "TIER004"
    WRONG_TYPE = "TIER005"
    OUT_OF_RANGE = "TIER006"
    NOT_ALLOWED = "TIER007"
    SECRET_IN_CLEAR = "TIER008"
    EMPTY_FILE = "TIER009"
    BAD_FORMAT = "TIER010"
    NOT_FOUND = "TIER011"
    NOT_ACCEPTABLE = "TIER012"
    STALE_ACCEPTANCE = "TIER013"
    NO_CUSTOM_METRICS = "TIER014"
    MORE_PROBLEMS = "TIER015"
    MISSING_KIND = "TIER016"
    UNKNOWN_SERVER = "TIER020"
    UNKNOWN_MODEL = "TIER021"
    UNKNOWN_PRECISION = "TIER022"
    NO_REVISION = "TIER023"
    DUPLICATE_NAME = "TIER024"
    MODEL_SOURCE = "TIER025"
    OWN_ENTRY = "TIER026"
    TP_HEADS = "TIER030"
    TP_EXCEEDS_NODE = "TIER031"
    TP_GROUPS = "TIER032"
    GPUS_EXCEEDED = "TIER033"
    CONTEXT_DOES_NOT_FIT = "TIER034"
    FP8_WEIGHT_ONLY = "TIER035"
    WEIGHTS_DO_NOT_FIT = "TIER036"
    TP_WITHOUT_P2P = "TIER037"
    CONTEXT_TOO_LONG = "TIER038"
    GPUS_FRAGMENTED = "TIER039"
    GGUF_IMAGE = "TIER040"
    ENGINE_TOO_NEW = "TIER041"
    FLOATING_IMAGE = "TIER042"
    GATED_MODEL = "TIER043"
    CONTEXT_TOO_SHORT = "TIER045"
    LONG_DRAIN = "TIER046"
    KV_FP8_BACKEND = "TIER047"
    MODEL_SHARES = "TIER048"
    GPU_LACKS = "TIER049"
    CPU_EXCEEDED = "TIER050"
    MEMORY_EXCEEDED = "TIER051"
    ONE_FAILURE_DOMAIN = "TIER052"
    ROLLOUT_RECREATE = "TIER053"
    DISK_EXCEEDED = "TIER054"
    IDLE_GPUS = "TIER055"
    SLOW_FETCH = "TIER056"
    BUSY_NETWORK = "TIER057"
    ROLLOUT_DIP = "TIER058"
    UNUSED_MEMORY = "TIER059"
    NODE_NAMES = "TIER060"
    PROVIDER_NOT_BUILT = "TIER061"
    STANDBY = "TIER062"
    STANDBY_SHORT = "TIER063"
    RAID_LEVEL = "TIER064"
    SHARING = "TIER065"
    AUTOSCALER_RANGE = "TIER070"
    LONGFORM_CAP = "TIER071"
    CACHE_KIND = "TIER072"
    OPEN_LOAD_BALANCER = "TIER073"
    MONITORING_NOT_BUILT = "TIER074"
    OVER_BUDGET = "TIER075"
    SHARES = "TIER076"
    QUEUE_WAIT = "TIER077"
    SOURCE_RANGES = "TIER078"
    SLO_BUCKET = "TIER079"
    CLUSTER_UNREACHABLE = "TIER080"
    FOREIGN_OBJECT = "TIER081"
    NODE_MISSING = "TIER082"
    NODE_MISMATCH = "TIER083"
    NODE_TAKEN = "TIER084"
    NO_STORAGE_CLASS = "TIER085"
    EXCHANGE_BLOCKED = "TIER086"
    CLUSTER_TOO_OLD = "TIER087"
    ONE_WRITER = "TIER088"
    SECOND_SCALER = "TIER089"
    SLOW_FIRST_TOKEN = "TIER090"
    SLOW_TOKENS = "TIER091"
    LITTLE_HEADROOM = "TIER092"
    ABOVE_CLAIM = "TIER093"
    KV_SLOTS = "TIER094"
    LONGFORM_DEMAND = "TIER095"
    BURST_REFUSED = "TIER096"
    AUTOSCALER_TARGET = "TIER097"
    SCALE_DOWN_WINDOW = "TIER098"
    COLD_START = "TIER099"
    ENGINE_LOADS_NOT = "TIER100"
    ENGINE_NOT_PROVEN = "TIER101"
    ENGINE_IN_ORDER = "TIER102"
    ENGINE_NOT_SCALED = "TIER103"
    ENGINE_NAME = "TIER104"
    NO_SECRET = "TIER105"
    UNUSED_KEY = "TIER106"
    OPEN_TO_ALL = "TIER107"
    CLEAR_TEXT = "TIER108"
    CLASS_UNREACHABLE = "TIER109"
    READ_TIMEOUT = "TIER110"
    OPEN_ORIGINS = "TIER111"
    EXPOSURE = "TIER112"
    PROXY_UNKNOWN = "TIER113"
    PROXY_BLOCKED = "TIER114"
    UNKNOWN_NAME = "TIER115"
    ALIAS = "TIER116"
    LARGE_BODIES = "TIER117"
    STALE_PRICE = "TIER118"
    OVER_MONTHLY_BUDGET = "TIER119"
    UNKNOWN_QUOTE = "TIER120"
    BAD_QUOTE = "TIER121"
    OVER_INCREASE = "TIER122"
    TENURE = "TIER123"
    SERVER_PRICE = "TIER124"
    OWN_COPIES = "TIER130"
    TOLERATION = "TIER131"
    NO_CLASS = "TIER132"
    TOKEN_IN_CLEAR = "TIER135"
    ENGINE_TAKES_NOT = "TIER140"
    NO_PARSER = "TIER141"
    CHAT_TEMPLATE = "TIER142"
    UNKNOWN_OPTION = "TIER143"
    OWNED_OPTION = "TIER144"
    OPTION_VALUE = "TIER145"
    ADAPTER = "TIER146"
    BUDGET_NOT_METERED = "TIER147"
    SPECULATIVE = "TIER148"
    NO_PREFIX_CACHE = "TIER149"
    WEIGHTS = "TIER150"
    NO_IMAGE_VOLUMES = "TIER151"
    NO_CLAIM = "TIER152"
    NOTHING_TO_BALANCE = "TIER153"


# A limit of the stack's budget is exceeded. If there are no other errors, the exit code is a special one.
BUDGET_CODES = frozenset({Code.OVER_BUDGET, Code.OVER_MONTHLY_BUDGET, Code.OVER_INCREASE})


# A secret is missing: a warning of a plan, which can be made without it, and an error of `pulumi up`.
SECRET_CODES = frozenset({Code.NO_SECRET, Code.GATED_MODEL})


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, shown as `path: what is wrong (got X; allowed Y) - fix`.

    `accepted` is the reason why the stack file accepts it; it is shown instead of the fix.
    """

    code: Code
    path: str
    problem: str
    fix: str
    got: str | None = None
    allowed: str | None = None
    severity: Severity = Severity.ERROR
    accepted: str | None = None

    def __post_init__(self) -> None:
        # Paths and values come from files of strangers: no message may move a terminal's cursor, start a line that a CI
        # system takes for a command of its own, or fill a log.
        for name in ("path", "problem", "fix", "got", "allowed", "accepted"):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, on_one_line(redacted(text)))  # an escape would hide a secret

    @property
    def what(self) -> str:
        """What is wrong, with the given and the allowed values."""
        values = "; ".join(
            f"{word} {value}"
            for word, value in (("got", self.got), ("allowed", self.allowed))
            if value is not None
        )
        return redacted(f"{self.problem}{f' ({values})' if values else ''}")

    @property
    def fix_or_reason(self) -> str:
        """The fix, or the reason why the finding is accepted."""
        return redacted(self.fix if self.accepted is None else f"accepted: {self.accepted}")

    def __str__(self) -> str:
        return redacted(f"{self.code} {self.path}: {self.what} - {self.fix_or_reason}")


class TierError(Exception):
    """A problem that a user can solve: its message is all that is shown, and the command line catches this one only.

    TierError
     +- FindingsError            every problem of a stack file or of its cluster, each with its code
     |   +- ClusterError         the cluster cannot be read
     +- UsageError               the command cannot be carried out here: exit code 2
     +- FileError                a file that the user names cannot be used: exit code 2
     |   +- UnreadableFile       it cannot be read
     |   +- UnwritableFile       it cannot be written
     +- NoStarter                no number of servers gives a first stack file without findings
     +- CatalogError             the catalogue's files are not valid
     +- PlanError                the input is not a complete Pulumi plan
     +- ShapeError               a config.json is not one of a model that is sized
     +- RepositoryError          a file does not describe a model's repository
     +- OwnModelError            a model that is not in the catalogue cannot be served
     +- HubError                 the model hub does not give what is asked for
     +- NotAModel                a repository is not one of a model that can be served
     +- Incomparable             load tests of different stacks or loads
     +- PrometheusError          a Prometheus cannot be asked
     +- LoadTestError            a load test cannot run
     +- ToolchainError           a pinned tool cannot be installed or used
     |   +- ToolMissing          a tool is not installed
     |   +- EngineMissing        vLLM's CPU build is not installed
     |   +- BrowserMissing       there is no browser, and none can be unpacked
     +- LocalImageError          this machine cannot stand in for an image of a plan
     +- LocalClusterError        an operation on a local cluster failed
     |   +- PulumiFailed         a pulumi command ended with an error
     +- ApiError                 an error response of a local cluster's API server
     +- DevError                 a stack cannot run as local processes
    """


class FileError(TierError):
    """A file that the user names cannot be read or written."""


class FindingsError(TierError):
    """Mistakes of the user: the message lists every finding."""

    def __init__(self, findings: Iterable[Finding], subject: str = "the stack file") -> None:
        self.findings = tuple(findings)
        head = f"{on_one_line(subject)} has {counted(len(self.findings), 'problem')}:"
        listed = (f"  - {finding}" for finding in without_excess(self.findings))
        super().__init__("\n".join([head, *listed]))


def limited(items: Sequence[T], finding: Callable[[T], Finding], path: str) -> list[Finding]:
    """A finding for each of the first `MOST_OF_A_KIND` items, and one for all others, which are not looked at."""
    findings = [finding(item) for item in items[:MOST_OF_A_KIND]]
    if rest := len(items) - len(findings):
        problem = f"{counted(rest, 'more problem')} of this kind"
        findings.append(Finding(Code.MORE_PROBLEMS, path, problem, "fix those above first"))
    return findings


def without_excess(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The first `MOST_OF_A_KIND` findings of each code and severity, and one finding for the others of that kind."""
    listed: list[Finding] = []
    kinds: Counter[tuple[Code, Severity, bool]] = Counter()
    last: dict[tuple[Code, Severity, bool], Finding] = {}
    for finding in findings:
        kind = (finding.code, finding.severity, finding.accepted is None)
        kinds[kind] += 1
        if kinds[kind] <= MOST_OF_A_KIND:
            listed.append(finding)
        else:
            last[kind] = finding
    for kind, finding in last.items():
        section = re.split(r"[.\[]", finding.path, maxsplit=1)[0]
        problem = f"{counted(kinds[kind] - MOST_OF_A_KIND, 'more finding')} of the kind {finding.code}"
        fix, severity, accepted = "fix those above first", finding.severity, finding.accepted
        listed.append(
            Finding(Code.MORE_PROBLEMS, section, problem, fix, severity=severity, accepted=accepted)
        )
    return tuple(listed)


def counted(number: float, what: str) -> str:
    """`1 server`, `2 servers`, `1,200 servers`: a number with its noun, which forms its plural with an s."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def on_one_line(text: str) -> str:
    """The text with control characters and line ends as escapes, and without the middle of a very long one."""
    if len(text) > _MOST_OF_A_TEXT:
        text = f"{text[:80]}... ({len(text):,} characters) ...{text[-20:]}"
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if _is_control(character) else character
        for character in text
    )


def _is_control(character: str) -> bool:
    # Cc: control, Cf: direction of the text, Cs: half a character, Zl and Zp: ends of lines.
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def warning(code: Code, path: str, problem: str, fix: str, got: str | None = None) -> Finding:
    """A finding that is shown but does not stop a deployment."""
    return Finding(code, path, problem, fix, got, severity=Severity.WARNING)


def errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that stop a deployment."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)


def open_warnings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Warnings that the stack file does not accept."""
    return tuple(item for item in findings if item.severity is Severity.WARNING and item.accepted is None)


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """`did you mean 'x'?` if an allowed word is similar, else an empty text; case, '_' and '-' are ignored."""
    # Imported here because difflib takes 10 ms to load and most configurations have no mistake.
    from difflib import get_close_matches

    by_plain_name = {_plain(name): name for name in allowed}
    containing = [name for name in by_plain_name if len(_plain(word)) > 2 and _plain(word) in name]
    close = (
        containing
        if len(containing) == 1
        else get_close_matches(_plain(word), list(by_plain_name), n=1, cutoff=0.6)
    )
    return f"did you mean '{by_plain_name[close[0]]}'?" if close else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
