"""The digests that images are kept to: `FCNSERVE_PIN_MODEL` in, whether a model's card fits out.

While a model is exchanged replica by replica, some answer with the new digest and others with the
old one. `service.settings` checks the texts; made by `service.app` for
`service.backend.registry`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.backend.model_card import ModelCard


@dataclass(frozen=True, slots=True)
class Pins:
    """A digest by model name; under "", of any model."""

    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Pins":
        """Read `digest` or `name@digest`."""
        parts = [text.rpartition("@") for text in texts]
        return cls({name: digest for name, _, digest in parts})

    def allow(self, card: ModelCard) -> bool:
        digest = self.digests.get(card.name) or self.digests.get("")
        return digest is None or digest == card.digest
