"""TorchServe's configuration: where it listens."""

from service.settings import Settings
from service.worker.configuration import configuration_of


def test_the_inference_api_has_a_port_or_a_socket() -> None:
    settings = Settings(worker_host="10.0.0.1", worker_port=8080)
    assert configuration_of(settings, [], 1, 0)["inference_address"] == "http://10.0.0.1:8080"
    settings = settings.model_copy(update={"worker_socket": "/run/ts.sock"})
    assert configuration_of(settings, [], 1, 0)["inference_address"] == "unix:/run/ts.sock"
