"""TorchServe's side of the worker: its batches in, bodies and headers out."""

import inspect
import io
import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from handlers import entry
from handlers.entry import FcnHandler
from handlers.log import log_to_stderr
from handlers.shared.wire import MODEL_HEADER, OPTIONS_HEADER, REPORT_HEADER
from tests.support.worker import plain, write_model


class FakeContext:
    """The part of `ts.context.Context` that the worker uses; headers are case-sensitive, too."""

    def __init__(self, folder: Path, *options: str | None) -> None:
        self.system_properties = {"model_dir": str(folder), "gpu_id": None}
        self.manifest = {"model": {"modelName": "fcn8s-lite0"}}
        self.requests: list[dict[str, str]] = [
            {} if header is None else {OPTIONS_HEADER: header} for header in options
        ]
        self.responses: list[dict[str, str]] = [{} for _ in options]

    def get_request_header(self, idx: int, key: str) -> str | None:
        return self.requests[idx].get(key)

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.responses[idx][key] = value


@pytest.fixture(autouse=True)
def own_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a worker's start does to the logger."""
    logger = logging.getLogger("handlers")
    monkeypatch.setattr(logger, "handlers", [])
    propagate = logger.propagate
    yield
    logger.propagate = propagate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), precision={"cpu": "fp32"})


@pytest.fixture(scope="module")
def handler(folder: Path) -> FcnHandler:
    handler = FcnHandler()
    handler.initialize(FakeContext(folder))
    return handler


def bodies(*photos: bytes) -> Sequence[dict[str, bytearray]]:
    return [{"body": bytearray(photo)} for photo in photos]


def test_the_module_has_the_one_class_that_torchserves_loader_requires() -> None:
    # as ts.utils.util.list_classes_from_module looks for it
    found = inspect.getmembers(
        entry, lambda it: inspect.isclass(it) and it.__module__ == entry.__name__
    )
    assert [cls for _, cls in found] == [FcnHandler]


def test_every_item_gets_its_body_media_type_and_headers(handler: FcnHandler, folder: Path) -> None:
    context = FakeContext(folder, "{}", '{"output":"describe"}', "{}", None, "nonsense")
    photo = plain((20, 30), 0)
    data = [*bodies(photo, b"", b"no image", photo, photo)]
    answers = handler.handle(data, context)
    assert [response["content-type"] for response in context.responses] == [
        "image/png",
        "application/json",
        "application/problem+json",
        "image/png",
        "application/problem+json",
    ]
    card = json.loads(answers[1])
    for response in context.responses:
        assert response[MODEL_HEADER] == f"fcn8s-lite0@{card['digest']}"
        assert json.loads(response[REPORT_HEADER]).keys() == {
            *("stages_ms", "batch_images", "group", "class_pixels")
        }
    with Image.open(io.BytesIO(answers[0])) as mask:
        assert mask.size == (30, 20)
    assert answers[3] == answers[0]
    assert [json.loads(answers[index])["code"] for index in (2, 4)] == [
        "broken_image",
        "worker_failed",
    ]


def test_header_values_are_one_ascii_line(handler: FcnHandler, folder: Path) -> None:
    context = FakeContext(folder, "{}", "{\n", '{"output":"ä\r\nX-Evil: 1"}')
    handler.handle([*bodies(plain((9, 9), 0), b"\xff\xd8\r\n", b"x")], context)
    for response in context.responses:
        for name, value in response.items():
            assert re.fullmatch(r"[ -~]+", name + value)


def test_an_item_without_a_body_is_an_empty_one(handler: FcnHandler, folder: Path) -> None:
    (answer,) = handler.handle([{}], FakeContext(folder, None))
    assert json.loads(answer)["code"] == "empty_body"


def test_a_model_that_cannot_be_loaded_is_logged_and_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model(tmp_path, weights=b"no weights")
    with pytest.raises(ValueError, match="no safetensors file"):
        FcnHandler().initialize(FakeContext(folder))
    assert "[error    ] cannot load fcn8s-lite0: WeightsError" in capsys.readouterr().err


def test_each_log_record_is_one_line_with_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()
    log_to_stderr()
    logger = logging.getLogger("handlers.stages.outcome")
    logger.warning("a\nb")
    logger.error("failed", exc_info=ZeroDivisionError("by zero"))
    warning, error = capsys.readouterr().err.splitlines()
    assert warning == "[warning  ] a | b [handlers.stages.outcome]"
    assert error == "[error    ] failed [handlers.stages.outcome] | ZeroDivisionError: by zero"
    assert not logging.getLogger("handlers").propagate
