"""Files that nobody should have named: each command ends soon, with one message and its exit code, and no traceback."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from warm_python import ENDS, TIERUP, WarmPython, warm_python

from tierup.findings.model import MOST_OF_A_KIND
from tierup.io.files import MIB, MOST_OF_A_STACK_FILE, UnreadableFile, UnwritableFile, read_bytes, write_text

ROOT = Path(__file__).parents[2]
STANDARD = ROOT / "stacks/Pulumi.standard.yaml"
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{now}: &{now} [{','.join([f'*{before}'] * 9)}]\n"
    for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{now}: &{now} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
    for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500))


@dataclass(frozen=True)
class Tierup:
    """The command of a project, each time in a process of its own, which has to end by itself."""

    python: WarmPython
    project: Path = ROOT

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        return self.python.run(TIERUP, *arguments, cwd=self.project, stdin=stdin)

    def refused(self, *arguments: str, stdin: bytes | None = None) -> str:
        """The one message of a command that refuses its input."""
        result = self(*arguments, stdin=stdin)
        assert "Traceback" not in result.stderr
        assert result.returncode in (1, 2), (result.returncode, result.stderr)
        return result.stdout + result.stderr


@pytest.fixture
def tierup(warm: WarmPython) -> Tierup:
    return Tierup(warm)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB.encode(), "it has more than 20,000 values, with its aliases expanded"),
        (MERGES.encode(), "it has more than 20,000 values, with its aliases expanded"),
        (CHAIN.encode(), "it is nested more than 50 deep"),
        (b"a: &a [*a]\n", "a value contains itself"),
        (b"# a comment\n" * (3 * MIB), "has more than 1 MiB"),
        (b"config: " + b"[" * 5000 + b"]" * 5000, "it is nested more than 50 deep"),
        (b"config: " + b"{a: " * 5000 + b"}" * 5000, "it is nested more than 50 deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(1000)).encode(), "it is nested more than 50 deep"),
        (b"config:\n  " + b"- " * 5000 + b"1", "it is nested more than 50 deep"),
        (b"config: [" + b"a," * 500_000 + b"]", "it has more than 20,000 values"),
        (b"config:\n" + b"  - a\n" * 170_000, "it has more than 20,000 values"),
        (b"? a\n" * 250_000, "it has more than 20,000 values"),
        (b'config: {"tierup:workload": {"\\ud800": 1}}\n', "is not YAML: a value is not plain data"),
        (b"config:\n  tierup:nodes: {server: " + b"s" * 500_000 + b"}", "(500,000 characters)"),
        (b"\xff\xfe\x00c\x00o", "is not UTF-8 text (byte 0)"),
        (b"config: a\x00b\n", "is not YAML"),
        (b"config: !!python/object/apply:os.system [ls]\n", "is not YAML"),
        (b"config: !!binary aGVsbG8=\n", "is not YAML"),
        (b"config:\n  tierup:models: .nan\n", "has the wrong type (got"),
        (b"config:\n  tierup:workload: {users: .inf}\n", "has the wrong type (got Infinity"),
        (f"config:\n  tierup:workload: {{users: {'9' * 5000}}}\n".encode(), "is not YAML"),
    ],
    ids=[
        "alias bomb",
        "merge bomb",
        "alias chain",
        "contains itself",
        "36 MB of comments",
        "5000 brackets",
        "5000 braces",
        "1000 levels",
        "5000 dashes",
        "500,000 values in brackets",
        "170,000 entries",
        "250,000 keys",
        "half a character",
        "a very long name",
        "not UTF-8",
        "NUL",
        "a tag that runs a program",
        "a tag that is not data",
        "NaN as a section",
        "infinitely many users",
        "a number of 5000 digits",
    ],
)
def test_a_hostile_stack_file_gives_one_message(
    tierup: Tierup, tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "Pulumi.hostile.yaml"
    file.write_bytes(content)
    text = tierup.refused("plan", "--stack", str(file))
    assert message in text
    assert len(text) < 2000


def test_a_file_with_thousands_of_mistakes_lists_the_first_of_each_kind(
    tierup: Tierup, tmp_path: Path
) -> None:
    keys = "".join(f"    key{n}: 1\n" for n in range(5000))
    file = tmp_path / "Pulumi.keys.yaml"
    file.write_text(STANDARD.read_text().replace("  tierup:workload:\n", f"  tierup:workload:\n{keys}"))
    text = tierup.refused("plan", "--stack", str(file))
    assert text.count("TIER003") == MOST_OF_A_KIND
    assert "TIER015 workload: 4,950 more problems of this kind - fix those above first" in text

    models = "".join("    - {id: qwen2.5-7b}\n" for _ in range(2000))
    file.write_text(STANDARD.read_text().replace("  tierup:models:\n", f"  tierup:models:\n{models}"))
    assert "TIER006 models: has too many entries (got 2,0" in tierup.refused("plan", "--stack", str(file))


def minimal(rest: str) -> str:
    """A stack file that plans, with more sections."""
    return (
        "config:\n  tierup:workload: {users: 4}\n  tierup:models: [{id: qwen2.5-7b}]\n"
        f"  tierup:nodes: {{server: standard-2x-a100-80g-pcie}}\n  tierup:{rest}\n"
    )


def test_of_thousands_of_findings_of_a_rule_the_first_are_listed(tierup: Tierup, tmp_path: Path) -> None:
    """These files are well formed, so that rules report them one by one."""
    file = tmp_path / "Pulumi.many.yaml"
    many = ",".join(f"a{n}: {{weights: {{none: 1}}}}" for n in range(2000))
    file.write_text(minimal(f"gateway: {{aliases: {{{many}}}}}"))
    text = tierup.refused("plan", "--stack", str(file))
    assert text.count("TIER115") == MOST_OF_A_KIND + 1
    assert "TIER015 gateway: 1,950 more findings of the kind TIER115 - fix those above first" in text

    ranges = ",".join(["0.0.0.0/0"] * 2000)
    file.write_text(minimal(f"gateway: {{serviceType: LoadBalancer, sourceRanges: [{ranges}]}}"))
    result = tierup("plan", "--stack", str(file), "--json")
    assert result.returncode == 0, "a warning stays one"
    more = [item for item in json.loads(result.stdout)["findings"] if item["code"] == "TIER015"]
    assert [(item["severity"], item["path"]) for item in more] == [("warning", "gateway")]


def test_a_key_cannot_write_to_the_terminal_or_command_a_ci_system(tierup: Tierup, tmp_path: Path) -> None:
    """CI systems take a line that begins with `::` or `##[` for a command, and terminals obey escapes."""
    file = tmp_path / "Pulumi.key.yaml"
    file.write_text(minimal('budget: {"\\e[2J\\n::stop-commands::x\\u202e\\u2028": 1}'))
    for kind in ("text", "markdown", "sarif", "json"):
        text = tierup.refused("plan", "--stack", str(file), "--format", kind)
        assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
        assert not set("\x1b\u202e\u2028") & set(text)
    assert r"budget.\x1b[2J\n::stop-commands::x\u202e\u2028: there is no such key" in tierup.refused(
        "plan", "--stack", str(file)
    )


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tierup: Tierup, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.windows.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + STANDARD.read_bytes().replace(b"\n", b"\r\n"))
    assert tierup("plan", "--stack", str(file)).returncode == 0


def no_file(folder: Path) -> Path:
    return folder / "Pulumi.none.yaml"


def a_folder(folder: Path) -> Path:
    (folder / "Pulumi.folder.yaml").mkdir()
    return folder / "Pulumi.folder.yaml"


def a_pipe_that_nobody_writes_to(folder: Path) -> Path:
    os.mkfifo(folder / "Pulumi.pipe.yaml")
    return folder / "Pulumi.pipe.yaml"


def links_in_a_circle(folder: Path) -> Path:
    (folder / "Pulumi.one.yaml").symlink_to(folder / "Pulumi.two.yaml")
    (folder / "Pulumi.two.yaml").symlink_to(folder / "Pulumi.one.yaml")
    return folder / "Pulumi.one.yaml"


def a_device_without_end(folder: Path) -> Path:
    (folder / "Pulumi.zero.yaml").symlink_to("/dev/zero")
    return folder / "Pulumi.zero.yaml"


MISNAMED = (no_file, a_folder, a_pipe_that_nobody_writes_to, links_in_a_circle, a_device_without_end)


@pytest.mark.parametrize("make", MISNAMED, ids=lambda make: make.__name__.replace("_", " "))
def test_what_is_no_readable_file_is_named(
    tierup: Tierup, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    file = make(tmp_path)
    assert file.name in tierup.refused("plan", "--stack", str(file))
    for arguments in (
        ("size", "--config", str(file), "--gpu", "a100-80g-pcie"),
        ("tune", "--stack", "entry", "--from", str(file)),
    ):
        assert str(file) in tierup.refused(*arguments)
    # A device without end is read to the bound of a plan, which takes a while: the bound itself is tested below.
    if make is not a_device_without_end:
        assert str(file) in tierup.refused("policy", "--plan", str(file))


def test_reading_stops_at_the_bound(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="has more than 2 MiB"):
        read_bytes(Path("/dev/zero"), 2 * MIB)
    file = tmp_path / "file"
    file.write_bytes(b"x" * MOST_OF_A_STACK_FILE)
    assert len(read_bytes(file, MOST_OF_A_STACK_FILE)) == MOST_OF_A_STACK_FILE
    file.write_bytes(b"x" * (MOST_OF_A_STACK_FILE + 1))
    with pytest.raises(UnreadableFile, match="has more than 1 MiB"):
        read_bytes(file, MOST_OF_A_STACK_FILE)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """As in `tierup policy --plan <(pulumi preview --json)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    keep = os.open(pipe, os.O_RDWR)  # as a shell holds it, so that the reader finds a writer

    def write() -> None:
        pipe.write_bytes(b"y" * 300_000)
        os.close(keep)

    threading.Thread(target=write).start()
    assert len(read_bytes(pipe, MIB)) == 300_000


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":\n' * 200_000,
        b"[" * 1_000_000,
        b'{"deployment": {"resources": [{"urn": "' + b"x" * 1_000_000 + b'"}]}}',
        b'{"steps": ' + b'{"a": ' * 100_000,
        b"\x00" * 1000,
        b'{"changeSummary": {"same": NaN}}',
    ],
    ids=["lines that begin an object", "brackets", "a long urn", "braces", "NUL", "NaN"],
)
def test_a_hostile_plan_gives_one_message(tierup: Tierup, content: bytes) -> None:
    text = tierup.refused("policy", "--plan", "-", stdin=content)
    assert "standard input" in text
    assert len(text) < 2000


def of_inputs(inputs: str) -> bytes:
    """A state with one resource."""
    urn = "urn:pulumi:s::p::kubernetes:core/v1:Pod::x"
    resource = f'{{"urn": "{urn}", "type": "kubernetes:core/v1:Pod", "inputs": {inputs}}}'
    return f'{{"deployment": {{"resources": [{resource}]}}}}'.encode()


@pytest.mark.parametrize("command", ["policy", "cost"])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ('{"spec": ' + "[" * 150 + "]" * 150 + "}", "nested more than 100 deep"),
        ('{"spec": ' + "[" * 900 + "]" * 900 + "}", "standard input"),
        ("[1]", "the inputs of urn:pulumi:s::p::kubernetes:core/v1:Pod::x are not a mapping"),
    ],
    ids=["150 levels", "900 levels", "a list"],
)
def test_a_resource_of_a_wrong_form_is_no_plan(
    tierup: Tierup, command: str, inputs: str, message: str
) -> None:
    assert message in tierup.refused(command, "--plan", "-", stdin=of_inputs(inputs))


def test_of_thousands_of_violations_the_first_of_a_policy_are_listed(tierup: Tierup) -> None:
    pod = (
        '{"urn": "urn:pulumi:s::p::kubernetes:core/v1:Pod::x%d\\n::error::", "type": "kubernetes:core/v1:Pod"'
    )
    pods = ",".join(pod % n + ', "inputs": {"spec": {"containers": [{"image": "a"}]}}}' for n in range(300))
    text = tierup.refused(
        "policy", "--plan", "-", stdin=f'{{"deployment": {{"resources": [{pods}]}}}}'.encode()
    )
    assert text.count(": spec.containers[0].image: a floating tag") == MOST_OF_A_KIND
    assert "mandatory pinned-images: 250 more violations - fix those above first, or see --json" in text
    assert not [line for line in text.splitlines() if line.startswith("::")]
    assert text.endswith("mandatory, 0 advisory)\n")


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "{}", "[]", '{"hidden_size": NaN}', f'{{"hidden_size": {"9" * 5000}}}', "\x00", "hello"],
)
def test_a_hostile_model_configuration_gives_one_message(
    tierup: Tierup, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "config.json"
    file.write_text(content)
    text = tierup.refused("size", "--config", str(file), "--gpu", "a100-80g-pcie")
    assert str(file) in text
    assert len(text) < 1000


def test_a_reader_that_has_enough_ends_the_command_quietly() -> None:
    for arguments in (["plan", "--stack", "standard"], ["compare"], ["render", "--stack", "standard"]):
        command = [sys.executable, "-c", "from tierup.cli import main; main()", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(ENDS) == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""
        process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT PROVEN, there is no /dev/full here")
def test_a_full_disk_is_one_message(tierup: Tierup, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", "from tierup.cli import main; main()", "plan", "--stack", "standard"]
        result = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=ENDS, check=False
        )
    assert result.returncode == 2
    assert result.stderr == "error: the output cannot be written: No space left on device\n"
    assert "/dev/full cannot be written" in tierup.refused(
        "render", "--stack", "standard", "--out", "/dev/full"
    )


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
def test_a_closed_output_does_not_change_the_exit_code(streams: str) -> None:
    for arguments, code in (("plan --stack standard", 0), ("plan --stack none", 1), ("plan --bad", 2)):
        command = f"'{sys.executable}' -c 'from tierup.cli import main; main()' {arguments} {streams}"
        result = subprocess.run(
            ["sh", "-c", command], cwd=ROOT, capture_output=True, timeout=ENDS, check=False
        )
        assert result.returncode == code
        assert b"Traceback" not in result.stderr


def test_a_file_is_replaced_in_one_step_or_left(tierup: Tierup, tmp_path: Path) -> None:
    file, link = tmp_path / "out.yaml", tmp_path / "link"
    write_text(file, "one")
    file.chmod(0o640)
    link.symlink_to(file)
    write_text(link, "two")
    assert (file.read_text(), link.is_symlink(), file.stat().st_mode & 0o777) == ("two", True, 0o640)
    for target in (tmp_path, tmp_path / "none" / "out.yaml", file / "out.yaml"):
        with pytest.raises(UnwritableFile, match="cannot be written"):
            write_text(target, "three")
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "\ud800")
    assert file.read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out.yaml"]
    assert f"{tmp_path} cannot be written: Is a directory" in tierup.refused(
        "render", "--stack", "standard", "--out", str(tmp_path)
    )


PROVISIONERS = "from tierup.catalog.provisioners import load_provisioners; load_provisioners()"


@pytest.fixture(scope="module")
def copy() -> Iterator[Tierup]:
    """A copy of the project, whose own modules read its own catalogue at each command."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        project = Path(folder)
        for name in ("tierup", "templates", "monitoring", "stacks"):
            shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Pulumi.yaml", project)
        python = ends.enter_context(
            warm_python(("jinja2", "pydantic", "rich.console", "typer", "yaml"), project)
        )
        yield Tierup(python, project)


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "tierup/catalog").glob("*.yaml")))
@pytest.mark.parametrize(
    "mistake", [b"a: [\n", b"- 1\n", b"\xff\xfe", b""], ids=["syntax", "list", "not UTF-8", "empty"]
)
def test_a_mistake_in_the_catalogue_names_its_file(copy: Tierup, file: str, mistake: bytes) -> None:
    """As made by somebody who adds a card or raises a version."""
    path = copy.project / "tierup/catalog" / file
    whole = path.read_bytes()
    path.write_bytes(mistake)
    try:
        if file == "provisioners.yaml":  # no command without a cluster reads it
            result = copy.python.run(PROVISIONERS, cwd=copy.project)
            assert f"CatalogError: the catalogue is not valid:\n- {file}:" in result.stderr
        else:
            command = ["compare"] if file == "claims.yaml" else ["plan", "--stack", "entry"]
            assert f"{file}:" in copy.refused(*command)
    finally:
        path.write_bytes(whole)
