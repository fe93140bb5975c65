"""What a gateway counts of batches and passes: its `/metrics` in, sums over all models out."""

from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

opener = build_opener(ProxyHandler({}))  # straight there, whatever proxies there are
METRICS = {
    "counted_pixels": "fcnserve_valid_pixels_total",
    "padded_pixels": "fcnserve_padded_pixels_total",
    "batches": "fcnserve_batch_images_count",
    "batched_images": "fcnserve_batch_images_sum",
    "passes": "fcnserve_group_images_count",
    "passed_images": "fcnserve_group_images_sum",
}


def read_counters(url: str) -> dict[str, float]:
    """Read a gateway's counts, by the names of METRICS; without those that it does not tell.

    Raises URLError or TimeoutError.
    """
    with opener.open(f"{url}/metrics", timeout=10) as answer:
        return sums(answer.read().decode())


def sums(text: str) -> dict[str, float]:
    """Add up each count over its labels."""
    names = {sample: name for name, sample in METRICS.items()}
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if name := names.get(sample.name):
                found[name] = found.get(name, 0.0) + sample.value
    return found
