"""The worker's and the gateway's reports are read."""

from loadtest.measure.service_load import count_reports, read_server_timing


def test_each_batch_and_each_pass_is_counted_once() -> None:
    group = {"images": 2, "valid_pixels": 100, "padded_pixels": 130}
    reports: list[dict[str, object]] = [
        {"batch_images": 3, "group": group},
        {"batch_images": None, "group": None},
        {"batch_images": None, "group": {"images": 1, "valid_pixels": 20, "padded_pixels": 30}},
    ]
    assert count_reports(reports) == {
        "counted_pixels": 120,
        "padded_pixels": 160,
        "batches": 1,
        "batched_images": 3,
        "passes": 2,
        "passed_images": 3,
    }


def test_server_timing_is_read() -> None:
    assert read_server_timing("read;dur=1.20, wait;dur=0.8") == {"read": 1.2, "wait": 0.8}
