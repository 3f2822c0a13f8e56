"""Whichever process is killed, and whenever: Nginx keeps serving, and the next process finishes the work."""

import contextlib
import os
import random
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from polling import until
from small_gateway import KEY, Site, SmallGateway
from small_nginx import nginx_command
from stream_load import Stream, StreamLoad

# What gateway-run.sh runs while it takes an offer, in its order; Nginx's own check is the second.
STEPS = ("cp", "nginx", "mv", "rm")


def shell_tool(name: str) -> str:
    """The path of the real command, which a test shadows with a harmful one."""
    path = shutil.which(name)
    assert path is not None
    return path


def harmful(folder: Path, step: str, when: str) -> list[str]:
    """Put a step into `folder` that kills the script once, before or after its work on an offer; the Nginx to use."""
    folder.mkdir()
    nginx = nginx_command()
    real = nginx[0] if step == "nginx" else shell_tool(step)
    ours = {"mv": "*/nginx.conf|*' nginx.conf'", "rm": "*next/nginx.conf"}.get(step, "*candidate.conf*")
    file = folder / step
    file.write_text(
        f"""#!/bin/sh
strike() {{ [ -e {folder}/armed ] && {shell_tool("rm")} {folder}/armed && kill -9 $PPID; }}
case "$*" in {ours}) ;; *) exec {real} "$@";; esac
[ {when} = after ] || {{ strike && exit; }}
{real} "$@"
status=$?
[ {when} = before ] || strike
exit $status
"""
    )
    file.chmod(0o755)
    return [str(file), *nginx[1:]] if step == "nginx" else nginx


def masters(gateway: SmallGateway) -> list[int]:
    """The Nginx masters that take requests under this gateway's configuration."""
    pids = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            if (
                title.startswith("nginx: master process")
                and f"-c {gateway.shared}/nginx.conf " in f"{title} "
            ):
                pids.append(process.pid)
    return pids


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("first", [True, False], ids=["first configuration", "reload"])
def test_gateway_run_is_killed_at_each_step_and_its_successor_continues(
    site: Site, step: str, when: str, first: bool
) -> None:
    one, two = site.engine(), site.engine()
    site.list_engines(one)
    command = harmful(site.folder / "harmful", step, when)
    armed = site.folder / "harmful" / "armed"
    gateway = site.gateway(command)
    environment = {**os.environ, "PATH": f"{site.folder / 'harmful'}:{os.environ['PATH']}"}
    if first:
        armed.touch()
    killed = gateway.start_nginx(environment)
    gateway.start_reloader()
    if not first:
        until(gateway.answers, "a gateway")
        across = Stream(gateway.port, KEY, tokens=30, gap=0.1)
        armed.touch()
        site.list_engines(one, two)
    until(lambda: killed.poll() is not None, "the kill")
    assert killed.returncode == -signal.SIGKILL
    assert not armed.exists()
    site.list_engines(one, two)
    gateway.start_nginx(environment)
    gateway.follows(one, two)
    until(gateway.answers, "the successor's Nginx")
    until(lambda: not gateway.offer_pending(), "the end of the offer")
    assert Stream(gateway.port, KEY).completes()
    if not first:
        assert across.completes(), "the stream of the Nginx that lost its script was cut"
    until(lambda: len(masters(gateway)) == 1, "one Nginx")


def test_the_reloader_is_killed_again_and_again_under_load(site: Site) -> None:
    engines = [site.engine() for _ in range(3)]
    site.list_engines(engines[0])
    gateway = site.gateway()
    gateway.start()
    chance = random.Random(5)
    with StreamLoad(gateway.port, KEY, clients=2) as load:
        for count in (2, 3, 2, 3, 1, 3, 2, 3):
            site.list_engines(*engines[:count])
            load.more(chance.randrange(1, 12))  # some tenths of a second of a busy gateway
            assert gateway.reloader is not None
            gateway.reloader.kill()
            assert gateway.reloader.wait() == -signal.SIGKILL
            gateway.start_reloader()
        gateway.follows(*engines)
        load.more(10)
        assert set(load.more(30)) == {engine.address for engine in engines}
    assert load.errors == []
    assert gateway.nginx is not None
    assert gateway.nginx.poll() is None


def test_the_offer_of_a_killed_reloader_is_accepted_and_then_replaced(site: Site) -> None:
    one, two, three = site.engine(), site.engine(), site.engine()
    site.list_engines(one)
    gateway = site.gateway()
    gateway.start()
    assert gateway.nginx is not None
    assert gateway.reloader is not None
    os.kill(gateway.nginx.pid, signal.SIGSTOP)
    site.list_engines(one, two)
    until(gateway.offer_pending, "an offer that nobody takes")
    gateway.reloader.kill()
    gateway.reloader.wait()
    site.list_engines(one, three)
    gateway.start_reloader()
    os.kill(gateway.nginx.pid, signal.SIGCONT)
    until(lambda: two.address in gateway.text, "the old offer")
    gateway.follows(one, three)
    assert Stream(gateway.port, KEY).completes()


def test_an_offer_is_pending_until_every_worker_uses_it(site: Site) -> None:
    """A worker that has not handled its master's signal still sends requests to the old engines."""
    one, two = site.engine(), site.engine()
    site.list_engines(one)
    gateway = site.gateway()
    gateway.start()
    (master,) = masters(gateway)
    worker = psutil.Process(master).children()[0]
    worker.suspend()
    site.list_engines(two)
    until(lambda: two.address in gateway.text, "the accepted configuration")
    time.sleep(1)  # two more polls of the script
    assert gateway.offer_pending()
    worker.resume()
    gateway.follows(two)
    assert {Stream(gateway.port, KEY).engine for _ in range(10)} == {two.address}


def test_an_incomplete_configuration_is_set_aside_at_the_start(site: Site) -> None:
    engine = site.engine()
    site.list_engines(engine)
    gateway = site.gateway()
    (gateway.shared / "nginx.conf").write_text("events {")
    gateway.start()
    assert Stream(gateway.port, KEY).completes()
    assert (gateway.shared / "refused.conf").read_text() == "events {"


def test_a_restart_serves_at_once_without_a_reloader(site: Site) -> None:
    engine = site.engine()
    site.list_engines(engine)
    gateway = site.gateway()
    gateway.start()
    gateway.end(30)
    assert not gateway.answers()
    gateway.start_nginx()
    until(gateway.answers, "a gateway")
    assert Stream(gateway.port, KEY).completes()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGQUIT])
def test_a_signal_lets_streams_end_and_takes_no_new_ones(site: Site, sign: signal.Signals) -> None:
    engine = site.engine()
    site.list_engines(engine)
    gateway = site.gateway()
    gateway.start()
    stream = Stream(gateway.port, KEY, tokens=20, gap=0.1)
    assert gateway.nginx is not None
    gateway.nginx.send_signal(sign)
    until(lambda: not gateway.answers(), "the end of new connections")
    assert gateway.nginx.poll() is None
    assert stream.completes()
    assert gateway.nginx.wait(60) == 0
    assert masters(gateway) == []


def test_a_signal_before_the_first_configuration_ends_the_script(site: Site) -> None:
    gateway = site.gateway()
    process = gateway.start_nginx()
    until((gateway.shared / "next").exists, "the script's start")
    process.terminate()
    assert process.wait(60) in (0, -signal.SIGTERM)  # the second: it came before the script could ask for it


def test_the_end_of_nginx_is_the_end_of_its_script(site: Site) -> None:
    site.list_engines(site.engine())
    gateway = site.gateway()
    gateway.start()
    # The port is taken, which Nginx's check does not mind and its start does.
    second = site.gateway()
    (second.shared / "nginx.conf").write_text(gateway.text)
    assert second.start_nginx().wait(60) == 1
    assert "Address already in use" in second.log_text("nginx")

    until(lambda: len(masters(gateway)) == 1, "one Nginx")
    os.kill(masters(gateway)[0], signal.SIGTERM)
    assert gateway.nginx is not None
    assert gateway.nginx.wait(60) == 0
