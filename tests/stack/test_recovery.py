"""Processes are killed and containers restarted; the stack recovers and serves."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.stack.compose import Stack, docker
from tests.support.polling import wait_until

RESTART_S = 60.0
CUT_S, CLIENTS = 6.0, 8
# inside the container, where a signal counts as a crash: `docker kill` counts as a stop, after
# which no restart policy applies
KILL = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    command = (folder / "cmdline").read_bytes().split(b"\\0")
    if {words!r} in command and int(folder.name) != os.getpid():
        os.kill(int(folder.name), signal.SIGKILL)
        print("killed")
"""
JAVA = b"org.pytorch.serve.ModelServer"


def restarts(stack: Stack, service: str) -> int:
    return int(stack.inspect(service)["RestartCount"])


def wait_for_restart(stack: Stack, service: str, before: int) -> None:
    wait_until(lambda: restarts(stack, service) > before, RESTART_S, lambda: stack.logs(service))
    stack.wait_until_ready()


def test_a_worker_is_restarted_after_its_torchserve_is_killed_and_a_photo_waits_for_it(
    stack: Stack, cat: bytes
) -> None:
    before = restarts(stack, "worker")
    mask = stack.post_photo(cat).content
    assert "killed" in stack.run_python("worker", KILL.format(words=JAVA))
    answer = stack.post_photo(cat, timeout_ms=120_000)
    assert (answer.status_code, answer.content) == (httpx.codes.OK, mask), answer.text
    assert restarts(stack, "worker") == before + 1


def test_a_gateway_that_ends_is_restarted(stack: Stack, cat: bytes) -> None:
    before = restarts(stack, "gateway")
    stack.run_python("gateway", "import os, signal; os.kill(1, signal.SIGTERM)")
    wait_for_restart(stack, "gateway", before)
    assert stack.post_photo(cat).status_code == httpx.codes.OK


def test_a_worker_killed_by_docker_runs_again_after_up(stack: Stack, cat: bytes) -> None:
    stack.compose("kill", "worker")
    assert stack.inspect("worker")["State"]["Status"] == "exited"
    stack.up("worker")
    stack.wait_until_ready()
    assert stack.post_photo(cat).status_code == httpx.codes.OK


def test_the_gateway_serves_again_after_a_restart(stack: Stack, cat: bytes) -> None:
    stack.compose("restart", "gateway")
    stack.wait_until_ready()
    assert stack.post_photo(cat).status_code == httpx.codes.OK


def test_photos_are_answered_after_a_cut_between_the_containers(stack: Stack, cat: bytes) -> None:
    """The worker's network is cut under load: packets are lost, no connection is closed."""
    mask = stack.post_photo(cat).content
    reconnected = threading.Event()

    def send_until_reconnected() -> Counter[tuple[int, bool]]:
        outcomes: Counter[tuple[int, bool]] = Counter()
        while not reconnected.is_set():
            answer = stack.post_photo(cat, timeout_ms=120_000)
            outcomes[answer.status_code, answer.content == mask] += 1
        return outcomes

    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(send_until_reconnected) for _ in range(CLIENTS)]
        try:
            wait_until(lambda: images_in_flight(stack) > 0, RESTART_S)
            disconnect_worker(stack, CUT_S)
            stack.wait_until_ready()
            assert stack.post_photo(cat, timeout_ms=120_000).status_code == httpx.codes.OK
        finally:
            reconnected.set()
    answers = sum((client.result() for client in clients), Counter())
    assert set(answers) == {(httpx.codes.OK, True)}, answers


def images_in_flight(stack: Stack) -> float:
    """The gateway's gauge of images in flight."""
    lines = stack.client.get(f"{stack.gateway}/metrics").text.splitlines()
    (line,) = (line for line in lines if line.startswith("fcnserve_images_in_flight "))
    return float(line.split()[-1])


def disconnect_worker(stack: Stack, seconds: float) -> None:
    """Disconnect the worker from its network for a while, then reconnect it with its name."""
    network = f"{stack.project}_inside"
    container = stack.inspect("worker")["Id"]
    docker("network", "disconnect", network, container)
    time.sleep(seconds)  # the duration of the fault
    docker("network", "connect", "--alias", "worker", network, container)


def test_stop_ends_every_container_in_time_and_kills_none(stack: Stack) -> None:
    started = time.monotonic()
    stack.compose("stop")
    assert time.monotonic() - started < RESTART_S
    ended = {
        service: stack.inspect(service)["State"] for service in ("gateway", "worker", "prometheus")
    }
    stack.up(*ended)
    stack.wait_until_ready()
    assert {name: state["ExitCode"] for name, state in ended.items()} == dict.fromkeys(ended, 0)
    assert not any(state["OOMKilled"] for state in ended.values())
