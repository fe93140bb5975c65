"""Options and reports between gateway and worker: one line of printable ASCII."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.shared.errors import WorkerFailedError
from handlers.shared.wire import DESCRIBE, GroupFigures, Report, WorkerOptions

milliseconds = st.floats(0, 1e9)
verbs = st.text(st.characters(exclude_characters="\x7f", exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        pytest.param(WorkerOptions(), {}, id="defaults"),
        pytest.param(DESCRIBE, {"output": "describe"}, id="describe"),
        pytest.param(
            WorkerOptions(max_side=64, cost_s=0.25, suspect=True),
            {"max_side": 64, "cost_s": 0.25, "suspect": True},
            id="an-image-sent-again",
        ),
    ],
)
def test_options_are_written_without_defaults_and_read_back(
    options: WorkerOptions, line: dict[str, object]
) -> None:
    assert json.loads(options.to_json()) == line
    assert WorkerOptions.model_validate_json(options.to_json()) == options


@given(
    st.dictionaries(verbs, milliseconds, max_size=6),
    st.none() | st.integers(1, 256),
    st.none() | st.builds(GroupFigures, *(3 * [st.integers(0)])),
    st.dictionaries(st.integers(0, 255), st.integers(1)),
)
def test_a_report_is_one_ascii_line_that_reads_back(
    stages_ms: dict[str, float],
    batch_images: int | None,
    group: GroupFigures | None,
    class_pixels: dict[int, int],
) -> None:
    line = Report(stages_ms, batch_images, group, class_pixels).to_json()
    assert line.isascii()
    assert line.isprintable()
    assert line == json.dumps(json.loads(line), separators=(",", ":"))
    report = Report.from_json(line)
    assert report.stages_ms == pytest.approx(stages_ms, abs=1e-3)
    assert (report.batch_images, report.group) == (batch_images, group)
    assert report.class_pixels == class_pixels


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="missing"),
        pytest.param("[]", id="list"),
        pytest.param('{"stages_ms":{}}', id="field-missing"),
        pytest.param(
            '{"stages_ms":{},"batch_images":1,"group":{"images":1},"class_pixels":{}}',
            id="half-a-group",
        ),
    ],
)
def test_a_report_of_another_release_is_a_problem(line: str) -> None:
    with pytest.raises(WorkerFailedError, match="same release"):
        Report.from_json(line)
