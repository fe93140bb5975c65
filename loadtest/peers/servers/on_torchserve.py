"""TorchServe with its own launcher and Java settings, and a handler as its documentation shows.

The archive and `config.properties` are written into a folder that the caller removes. Ports, and
the temporary folder with the workers' sockets and the launcher's pid file, are this copy's own.
"""

import json
import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from zipfile import ZipFile

from loadtest.peers.servers.setup import Setup
from service.worker.java import find_java

MODEL = "segment"
HANDLER = Path(__file__).with_name("stock_handler.py")


def main() -> None:
    """Write the archive and the configuration, then replace this process by TorchServe."""
    setup, folder = Setup.read(), Path(os.environ["PEER_FOLDER"])
    pack(folder / f"{MODEL}.mar")
    configuration = folder / "config.properties"
    configuration.write_text(properties(setup, folder))
    java = find_java()
    if java is None:
        raise SystemExit("TorchServe needs a Java runtime, and none was found")
    environment = os.environ | {
        "PATH": f"{java.parent}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "LOG_LOCATION": str(folder),
        "METRICS_LOCATION": str(folder),
    }
    environment.pop("JAVA_HOME", None)
    command = [sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--ncs"]
    command += ["--ts-config", str(configuration), "--model-store", str(folder)]
    os.execve(command[0], command, environment)  # noqa: S606 - without a shell


def pack(archive: Path) -> None:
    """Write a model archive with the handler alone; weights are read from the model's folder."""
    manifest = {
        "runtime": "python",
        "model": {"modelName": MODEL, "handler": HANDLER.name, "modelVersion": "1.0"},
        "archiverVersion": "0.12.0",
    }
    with ZipFile(archive, "w") as mar:
        mar.write(HANDLER, HANDLER.name)
        mar.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))


def properties(setup: Setup, folder: Path) -> str:
    management, metrics, grpc_inference, grpc_management = free_ports(4)
    model = {
        "minWorkers": setup.processes,
        "maxWorkers": setup.processes,
        "batchSize": setup.batch,
        "maxBatchDelay": max(1, setup.wait_ms),
        "responseTimeout": 120,
        "marName": f"{MODEL}.mar",
        "defaultVersion": True,
    }
    lines = {
        "inference_address": f"http://127.0.0.1:{setup.port}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
        "async_logging": "true",
        "load_models": f"{MODEL}.mar",
        "models": json.dumps({MODEL: {"1.0": model}}),
        "vmargs": f"-Djava.io.tmpdir={folder}",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def free_ports(count: int) -> list[int]:
    """Find unused ports; `service.ports` does the same, but needs more packages."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


if __name__ == "__main__":
    main()
