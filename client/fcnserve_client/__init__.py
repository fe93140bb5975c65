"""Python client of fcnserve: a photo in, its `Segmentation` out.

```python
from fcnserve_client import Client

with Client("http://127.0.0.1:8000") as client:
    seg = client.segment("cat.jpg")
```

The HTTP library is imported with `Client` and `AsyncClient` only: programs that use the result type
alone start sooner.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fcnserve_client.errors import FcnserveError
from fcnserve_client.http.core import Rendered
from fcnserve_client.model import Model, UnknownClassError
from fcnserve_client.photos import Photo
from fcnserve_client.polygons import Polygon
from fcnserve_client.problems import ProblemError
from fcnserve_client.segmentation import ClassArea, MissingPartError, Segmentation

if TYPE_CHECKING:
    from fcnserve_client.http.async_client import AsyncClient
    from fcnserve_client.http.client import Client

__all__ = [
    "AsyncClient",
    "ClassArea",
    "Client",
    "FcnserveError",
    "MissingPartError",
    "Model",
    "Photo",
    "Polygon",
    "ProblemError",
    "Rendered",
    "Segmentation",
    "UnknownClassError",
]

_LATER = {"AsyncClient": "http.async_client", "Client": "http.client"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
