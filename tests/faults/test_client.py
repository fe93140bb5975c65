"""The Python client segments a folder of photos while the service is killed and restarted."""

import io
import threading
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fcnserve_client import Client
from tests.faults.clients import photos_with_answers
from tests.faults.scenario import StartService
from tests.faults.service import RECOVERY_S, Service

PARALLEL = 8
KILLS = 3


def test_every_photo_has_its_result_once_though_the_service_is_killed(
    start: StartService,
    bodies: Sequence[bytes],
    tmp_path: Path,
    pytestconfig: pytest.Config,
    figures: list[str],
) -> None:
    """None is lost, none comes twice, each has its own labels, in the order of the photos."""
    service = start(workers=2)
    count = pytestconfig.getoption("--client-photos")
    expected = [labels_of(photo.answer) for photo in photos_with_answers(service, bodies)]
    paths = write_photos(tmp_path / "photos", bodies, count)
    kill_before = {count * (number + 1) // (KILLS + 1) for number in range(KILLS)}
    found: list[Path] = []
    with Client(service.url, timeout=2 * RECOVERY_S, max_retries=200) as client:
        for number, (path, seg) in enumerate(client.segment_many(paths, parallel=PARALLEL)):
            assert np.array_equal(seg.labels, expected[number % len(bodies)])
            found.append(path)
            if number in kill_before:
                threading.Thread(target=kill, args=(service,)).start()
    assert found == paths
    service.wait_until_complete()
    starts = {name: subservice.starts for name, subservice in service.subservices.items()}
    assert starts == {"gateway": 1 + KILLS, "worker": 1 + KILLS}
    figures.append(f"client: {count} photos, each once; starts of the service: {starts}")


def write_photos(folder: Path, bodies: Sequence[bytes], count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number:05}.jpg" for number in range(count)]
    for path, body in zip(paths, islice(cycle(bodies), count), strict=True):
        path.write_bytes(body)
    return paths


def kill(service: Service) -> None:
    """Kill the gateway and TorchServe, each with all that it has in work."""
    for name in ("service.cli.main gateway", "org.pytorch.serve.ModelServer"):
        for pid in service.pids(name):
            service.kill(pid)


def labels_of(mask: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(mask)) as image:
        return np.asarray(image)
