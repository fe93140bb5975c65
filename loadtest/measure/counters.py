"""A gateway's counters of batches and forward passes: its `/metrics` in, sums over models out.

Called by `loadtest.measure.service_load` and `loadtest.measure.process_sampler`.
"""

from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

opener = build_opener(ProxyHandler({}))  # a direct connection, whatever proxies are configured
METRICS = {
    "counted_pixels": "fcnserve_valid_pixels_total",
    "padded_pixels": "fcnserve_padded_pixels_total",
    "batches": "fcnserve_batch_images_count",
    "batched_images": "fcnserve_batch_images_sum",
    "passes": "fcnserve_group_images_count",
    "passed_images": "fcnserve_group_images_sum",
}


def read_counters(url: str) -> dict[str, float]:
    """Read a gateway's counters, by the names of METRICS; leaves out those it does not expose.

    Raises URLError or TimeoutError.
    """
    with opener.open(f"{url}/metrics", timeout=10) as answer:
        return sum_counters(answer.read().decode())


def sum_counters(text: str) -> dict[str, float]:
    """Sum each counter over its labels."""
    names = {sample: name for name, sample in METRICS.items()}
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if name := names.get(sample.name):
                found[name] = found.get(name, 0.0) + sample.value
    return found
