"""The current Nginx on a machine whose own libraries are older: started by its own loader, with its own module."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from tierup.local.toolchain import nginx as nginx_program
from tierup.local.toolchain.nginx import current_nginx

LOADER = '#!/bin/sh\necho "$@"\n'  # prints what it is told to start


def test_it_is_started_by_the_loader_of_its_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, archive, folder = tmp_path / "root", tmp_path / "nginx-root.tar", tmp_path / "unpacked"
    for name, text in {
        "usr/lib64/ld-linux-x86-64.so.2": LOADER,
        "usr/lib/x86_64-linux-gnu/libc.so.6": "",
        "usr/lib/nginx/modules/ngx_http_js_module.so": "",
        "usr/sbin/nginx": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    with tarfile.open(archive, "w") as tar:
        tar.add(root / "usr", "usr")
    monkeypatch.setattr(nginx_program, "tool", {"nginx-root.tar": archive}.__getitem__)
    nginx = current_nginx(folder)
    assert nginx.http2_directive
    assert nginx.module.is_file()
    started = subprocess.run([nginx.path, "-g", "daemon off;"], capture_output=True, text=True, check=True)
    libraries, program = folder / "usr/lib/x86_64-linux-gnu", folder / "usr/sbin/nginx"
    assert started.stdout == f"--library-path {libraries} {program} -g daemon off;\n"
