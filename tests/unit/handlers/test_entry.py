"""TorchServe's side of the worker: its batches in, bodies and headers out."""

import inspect
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from handlers import entry
from handlers.entry import FcnHandler
from handlers.job import JointRequest
from handlers.log import log_to_stderr
from handlers.shared.flight_records import DRAINING_FILE
from handlers.shared.sections import split_sections, with_lengths
from handlers.shared.wire import (
    ANSWER_SECTIONS,
    DRAINING_HEADER,
    IMAGES_MEDIA_TYPE,
    MODEL_HEADER,
    REPORT_HEADER,
    Report,
)
from tests.support.worker import plain, write_model


class FakeContext:
    """The part of `ts.context.Context` that the worker uses; headers are case-sensitive, too."""

    def __init__(self, folder: Path, *media_types: str | None) -> None:
        self.system_properties = {"model_dir": str(folder), "gpu_id": None}
        self.manifest = {"model": {"modelName": "fcn8s-lite0"}}
        self.requests: list[dict[str, str]] = [
            {} if media_type is None else {"Content-Type": media_type} for media_type in media_types
        ]
        self.responses: list[dict[str, str]] = [{} for _ in media_types]

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


def joint(*images: tuple[bytes, bytes]) -> dict[str, bytearray]:
    """One request, with the options and the body of each image."""
    sections = [section for image in images for section in image]
    return {"body": bytearray(b"".join(with_lengths(sections)))}


def answers_in(body: bytes) -> list[tuple[str, Report, bytes]]:
    return [
        (bytes(media_type).decode(), Report.from_json(bytes(report)), bytes(answer))
        for media_type, report, answer in split_sections(body, ANSWER_SECTIONS)
    ]


def test_the_module_has_the_one_class_that_torchserves_loader_requires() -> None:
    # as ts.utils.util.list_classes_from_module looks for it
    found = inspect.getmembers(
        entry, lambda it: inspect.isclass(it) and it.__module__ == entry.__name__
    )
    assert [cls for _, cls in found] == [FcnHandler]


def test_the_images_of_all_requests_are_one_batch_and_each_request_gets_its_own_answers(
    handler: FcnHandler, folder: Path
) -> None:
    photo = plain((20, 30), 0)
    context = FakeContext(folder, IMAGES_MEDIA_TYPE, None, IMAGES_MEDIA_TYPE)
    data = [
        joint((b"{}", photo), (b'{"output":"describe"}', b""), (b"{}", b"no image")),
        {"body": bytearray(photo)},
        joint((b"nonsense", photo), (b"{}", photo)),
    ]
    first, plain_answer, last = handler.handle(data, context)
    media_types, reports, masks = zip(*answers_in(first), *answers_in(last), strict=True)
    assert media_types == (
        "image/png",
        "application/json",
        "application/problem+json",
        "application/problem+json",
        "image/png",
    )
    card = json.loads(masks[1])
    for response in context.responses:
        assert response[MODEL_HEADER] == f"fcn8s-lite0@{card['digest']}"
    assert context.responses[0]["content-type"] == IMAGES_MEDIA_TYPE
    assert reports[0].batch_images == 5  # all but the card
    assert [report.batch_images for report in reports[1:]] == [None] * 4
    with Image.open(io.BytesIO(masks[0])) as mask:
        assert mask.size == (30, 20)
    assert masks[0] == plain_answer == masks[4]
    problems = [json.loads(masks[index])["code"] for index in (2, 3)]
    assert problems == ["broken_image", "worker_failed"]


@pytest.mark.parametrize("media_type", [None, "image/jpeg", "application/octet-stream"])
def test_a_photo_without_a_gateway_is_answered_with_its_mask(
    handler: FcnHandler, folder: Path, media_type: str | None
) -> None:
    context = FakeContext(folder, media_type)
    (mask,) = handler.handle([{"body": bytearray(plain((20, 30), 0))}], context)
    (response,) = context.responses
    assert response["content-type"] == "image/png"
    assert Report.from_json(response[REPORT_HEADER]).batch_images == 1
    with Image.open(io.BytesIO(mask)) as image:
        assert image.size == (30, 20)


@pytest.mark.parametrize("item", [{}, {"body": bytearray(b"\xff\xd8")}], ids=["none", "photo"])
def test_a_request_that_no_gateway_writes_is_a_problem_beside_other_requests(
    handler: FcnHandler, folder: Path, item: dict[str, bytearray]
) -> None:
    context = FakeContext(folder, IMAGES_MEDIA_TYPE, IMAGES_MEDIA_TYPE)
    problem, good = handler.handle([item, joint((b"{}", plain((9, 9), 0)))], context)
    assert context.responses[0]["content-type"] == "application/problem+json"
    assert json.loads(problem)["code"] == "worker_failed"
    assert [media_type for media_type, _, _ in answers_in(good)] == ["image/png"]


def test_header_values_are_one_ascii_line(handler: FcnHandler, folder: Path) -> None:
    context = FakeContext(folder, None, IMAGES_MEDIA_TYPE, "ä\r\nX-Evil: 1")
    evil = '{"output":"ä\r\nX-Evil: 1"}'.encode()
    bodies = [plain((9, 9), 0), joint((evil, b"x"))["body"], b"\xff\xd8\r\n"]
    handler.handle([{"body": bytearray(body)} for body in bodies], context)
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


def test_answers_say_when_the_supervisor_is_about_to_stop(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(entry.FLIGHT_RECORDS, str(tmp_path))
    assert not entry.is_draining()
    (tmp_path / DRAINING_FILE).touch()
    assert entry.is_draining()
    handler, context = FcnHandler(), FakeContext(folder, IMAGES_MEDIA_TYPE)
    handler._model, handler._is_draining = "name@digest", entry.is_draining()
    handler._answer(0, JointRequest((), is_plain=False), [], context)
    assert DRAINING_HEADER in context.responses[0]
