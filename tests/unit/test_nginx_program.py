"""The current Nginx on a machine whose own libraries are older: started with its own loader, libraries and module."""

import tarfile
from pathlib import Path

import pytest

from tierup.local.toolchain import nginx as nginx_program
from tierup.local.toolchain.nginx import current_nginx

LIBRARIES = "usr/lib/x86_64-linux-gnu"
HEADER = b"\x7fELF...\0/lib64/ld-linux-x86-64.so.2\0..."  # a program names its loader in its header


@pytest.fixture(autouse=True)
def _archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, archive = tmp_path / "root", tmp_path / "nginx-root.tar"
    for name, content in {
        f"{LIBRARIES}/ld-linux-x86-64.so.2": b"",
        "usr/lib/nginx/modules/ngx_http_js_module.so": b"",
        "usr/sbin/nginx": HEADER,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    with tarfile.open(archive, "w") as tar:
        tar.add(root / "usr", "usr")
    monkeypatch.setattr(nginx_program, "tool", {"nginx-root.tar": archive}.__getitem__)


def test_it_is_started_by_the_loader_of_its_release() -> None:
    with current_nginx() as nginx:
        assert nginx.current
        assert nginx.module.is_file()
        program = Path(nginx.command[-1])
        folder = program.parents[2]
        assert nginx.command[1] == f"LD_LIBRARY_PATH={folder / LIBRARIES}"
        text = program.read_bytes()
        assert len(text) == len(HEADER)
        loader = Path(text[8 : text.index(b"\0", 8)].decode())
        assert loader.resolve() == (folder / LIBRARIES / "ld-linux-x86-64.so.2").resolve()
    assert not folder.exists()


def test_a_folder_with_a_long_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="too long for a program's header"), current_nginx():
        pass
