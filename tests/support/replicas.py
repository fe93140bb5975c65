"""Replicas without a TorchServe, for tests of the dispatcher and of what it chooses by."""

from service.backend.client import TorchServeClient
from service.backend.replicas.replica import ModelReplica
from service.backend.replicas.replica_set import ModelReplicas
from service.inference_address import InferenceAddress
from service.multiprocess.group import ProcessGroup


def model_replicas(*names: str) -> ModelReplicas:
    """Replicas of these names that are alive; nothing may be sent by their clients."""
    replicas = ModelReplicas()
    client = TorchServeClient(InferenceAddress("127.0.0.1", 1), 1)
    group = ProcessGroup(["any"])
    replicas.all = [ModelReplica(name, "any", client, group, replicas.changed) for name in names]
    for replica in replicas.all:
        replica.show(is_alive=True)
    return replicas
