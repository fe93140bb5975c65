"""The data sets of the paper's published networks: class names, and the mean that is subtracted.

Source: shelhamer/fcn.berkeleyvision.org, `*_layers.py` and `data/*/classes*.txt`. Called by
`model_store.tools.convert.caffe.read`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from handlers.model_config import Normalisation
from model_store.tools.convert.caffe.net_parameter import Layer
from model_store.tools.convert.published_fcn import CAFFE
from model_store.tools.dataset import voc

Bgr = tuple[float, float, float]

NYUD = (
    "wall,floor,cabinet,bed,chair,sofa,table,door,window,bookshelf,picture,counter,blinds,desk,"
    "shelves,curtain,dresser,pillow,mirror,floor mat,clothes,ceiling,books,refridgerator,"
    "television,paper,towel,shower curtain,box,whiteboard,person,night stand,toilet,sink,lamp,"
    "bathtub,bag,otherstructure,otherfurniture,otherprop"
)
CONTEXT = (
    "bag,bed,bench,book,building,cabinet,ceiling,clothes,computer,cup,door,fence,floor,flower,food,"
    "grass,ground,keyboard,light,mountain,mouse,curtain,platform,sign,plate,road,rock,shelves,"
    "sidewalk,sky,snow,bedcloth,track,tree,truck,wall,water,window,wood"
)
SIFT_FLOW = (
    "awning,balcony,bird,boat,bridge,building,bus,car,cow,crosswalk,desert,door,fence,field,grass,"
    "moon,mountain,person,plant,pole,river,road,rock,sand,sea,sidewalk,sign,sky,staircase,"
    "streetlight,sun,tree,window"
)
SIFT_FLOW_GEOMETRY = "sky,horizontal,vertical"


def subtracting(mean: Bgr) -> Normalisation:
    """Normalise as a data layer that subtracts `mean`, in its order of channels."""
    blue, green, red = mean
    return Normalisation(mean=(red, green, blue), std=(1, 1, 1))


@dataclass(frozen=True, slots=True)
class DataSet:
    """What networks for a data set were trained with."""

    module: str  # of the Python data layer
    classes: tuple[str, ...]
    normalisation: Normalisation


SIFT_FLOW_MEAN = subtracting((114.578, 115.294, 108.353))
VOC = DataSet("voc_layers", tuple(voc.class_names(21)), CAFFE)
DATA_SETS = (
    VOC,
    DataSet("pascalcontext_layers", (*VOC.classes, *CONTEXT.split(",")), CAFFE),
    DataSet("nyud_layers", tuple(NYUD.split(",")), subtracting((116.190, 97.203, 92.318))),
    DataSet("siftflow_layers", tuple(SIFT_FLOW.split(",")), SIFT_FLOW_MEAN),
    DataSet("siftflow_layers", tuple(SIFT_FLOW_GEOMETRY.split(",")), SIFT_FLOW_MEAN),
)

NUMBER = r"\s*(\d{1,3}(?:\.\d{1,20})?)\s*"
# of a data layer's parameters, a Python dict as text, which is not evaluated
MEAN = re.compile(rf"'mean'\s*:\s*\({NUMBER},{NUMBER},{NUMBER}\)")


def class_names(classes: int) -> tuple[str, ...]:
    """Name the classes of the data set that has so many; empty where none has."""
    return next((each.classes for each in DATA_SETS if len(each.classes) == classes), ())


def normalisation_of(layers: Iterable[Layer], classes: int) -> Normalisation:
    """Find the mean: as a data layer in the file has it, else its data set's, else that of the data
    set with so many classes, else ImageNet's.
    """
    settings = [(layer.module, layer.settings) for layer in layers if layer.module]
    for _, parameters in settings:
        if found := MEAN.search(parameters):
            blue, green, red = map(float, found.groups())
            return subtracting((blue, green, red))
    modules = {module for module, _ in settings}
    named = [each for each in DATA_SETS if each.module in modules]
    alike = [each for each in DATA_SETS if len(each.classes) == classes]
    return (named or alike or [VOC])[0].normalisation
