"""Python client of fcnserve: a photo in, its `Segmentation` out.

from fcnserve_client import Client

with Client("http://127.0.0.1:8000") as client:
    seg = client.segment("cat.jpg")
"""

from fcnserve_client.model import Model, UnknownClassError
from fcnserve_client.photos import Photo
from fcnserve_client.polygons import Polygon
from fcnserve_client.segmentation import ClassArea, MissingPartError, Segmentation

__all__ = [
    "ClassArea",
    "MissingPartError",
    "Model",
    "Photo",
    "Polygon",
    "Segmentation",
    "UnknownClassError",
]
