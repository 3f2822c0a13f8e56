"""Check whether a reload has reached every worker of a gateway's Nginx."""

import contextlib
import os
import time
from pathlib import Path

from tierup.local.dev.gateway_processes import LocalGateway


def workers_are_new(gateway: LocalGateway) -> bool:
    """Whether every worker that takes requests was started with the last accepted configuration."""
    taken = (gateway.shared / "nginx.conf").stat().st_mtime
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            ours = any(int(fields[2]) == started.pid for started in gateway.started)
            title = (process / "cmdline").read_text().rstrip("\0 ")
            began = booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")
            if ours and title == "nginx: worker process" and began < taken:
                return False
    return True
