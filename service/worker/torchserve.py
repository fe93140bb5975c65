"""TorchServe as a subprocess: settings in, a running Java process (with Python workers) out.

The Java program is started directly: TorchServe's own launcher keeps its pid in a fixed file and
outlives a dead server. Two copies on one machine need separate ports, temporary folders and worker
sockets, so each gets a new folder with a short name (a socket's path ends at 107 bytes) and free
ports for what only TorchServe itself uses. Called by `service.worker.run`.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.inference_address import InferenceAddress
from service.logs.relay import stderr_for
from service.ports import local_name
from service.settings import Settings
from service.subprocesses import Streams, Subprocess, running
from service.temporary_folders import temporary_folder
from service.worker.command import command, environment
from service.worker.configuration import configuration_of, properties_text
from service.worker.gpus import worker_gpus
from service.worker.worker_count import worker_count, worker_threads

# TorchServe closes its channels and leaves its workers two seconds
STOP_GRACE_S = 8.0
# forward passes take all processors; the gateway, which forwards and refuses photos, needs little
# CPU time, but without delay
NICE = 5


@dataclass(frozen=True, slots=True)
class TorchServe:
    """TorchServe while it runs."""

    process: Subprocess
    models: Sequence[str]
    load_reports: Path
    flight_records: Path  # of its workers, in a folder per model
    address: InferenceAddress  # from this machine
    workers: int  # per model

    def exit_code(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self.process.exit_code()

    def load_failures(self) -> dict[str, str]:
        """Return by model why it failed to load, for models that have never loaded: TorchServe
        would try again without end. See handlers/entry.py.
        """
        reports = {path.name: path.read_text() for path in sorted(self.load_reports.iterdir())}
        return {model: reason for model, reason in reports.items() if reason}


@contextmanager
def torchserve(settings: Settings, models: Sequence[str]) -> Iterator[TorchServe]:
    """Run TorchServe with these packed models; on exit, it and its workers have ended.

    Raises JavaMissingError, TorchServeMissingError and OSError.
    """
    # a short path, whatever TMPDIR is: it holds sockets
    with temporary_folder("fcns-", Path("/tmp")) as folder:  # noqa: S108 - locked, of this user
        configuration = folder.path / "config.properties"
        gpus = worker_gpus()
        workers = worker_count(settings, gpus)
        threads = worker_threads(settings, workers, gpus)
        configuration.write_text(properties_text(configuration_of(settings, models, workers, gpus)))
        load_reports, flight_records = folder.path / "loads", folder.path / "flights"
        load_reports.mkdir()
        flight_records.mkdir()
        with (
            stderr_for(settings, "torchserve.java") as stderr,
            running(
                command(settings, configuration),
                environment(settings, workers, threads, load_reports, flight_records),
                folder.path,
                STOP_GRACE_S,
                # its log goes to stderr, and only its banner to stdout
                streams=Streams(subprocess.DEVNULL, stderr),
                nice=NICE,
                inherited=[folder.lock_fd],  # the folder is in use as long as TorchServe runs
            ) as process,
        ):
            host, port = local_name(settings.worker_host), settings.worker_port
            address = InferenceAddress(host, port, settings.worker_socket)
            yield TorchServe(process, models, load_reports, flight_records, address, workers)
