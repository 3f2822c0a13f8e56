"""The progress of `pulumi up`, from lines as pulumi prints them."""

from tierup.local.cluster.progress import Progress

CREATED = " +  kubernetes:core/v1:Namespace namespace-a created (0.02s) \n"
FAILED = " +  kubernetes:apps/v1:Deployment deployment-a **creating failed** error: no gateway today\n"
ENDING = [
    "Diagnostics:",
    "  kubernetes:apps/v1:Deployment (a):",
    "    error: no",
    "",
    "Resources:",
    "    2 errored",
]


def waiting(seconds: int, why: str) -> str:
    return f" +  kubernetes:apps/v1:Deployment deployment-a creating ({seconds}s) {why}\n"


def printed(*lines: str) -> list[str]:
    lines_out: list[str] = []
    progress = Progress(lines_out.append)
    for line in lines:
        progress.read(line)
    return lines_out


def test_a_finished_resource_is_printed_once() -> None:
    begun = " +  kubernetes:core/v1:Namespace namespace-a creating (0s) \n"
    assert printed("Updating (entry):\n", begun, CREATED, "@ updating....\n") == [
        "  namespace-a created (0.02s) "
    ]


def test_a_failure_is_printed_when_it_happens() -> None:
    assert printed(FAILED) == ["  deployment-a **creating failed** error: no gateway today"]


def test_a_long_wait_is_printed_with_its_reason_and_again_when_that_changes() -> None:
    lines = [
        waiting(1, "early"),
        waiting(11, "0/1 ready"),
        waiting(12, "0/1 ready"),
        waiting(13, "1/2 ready"),
    ]
    assert printed(*lines) == [
        "  deployment-a waits (11 s): 0/1 ready",
        "  deployment-a waits (13 s): 1/2 ready",
    ]


def test_the_diagnostics_are_kept_and_only_their_count_is_printed() -> None:
    lines_out: list[str] = []
    progress = Progress(lines_out.append)
    for line in ENDING:
        progress.read(f"{line}\n")
    assert progress.summary == ENDING
    assert lines_out == ["2 errored"]
