"""The networks behind the published measurements. Not needed to predict, only to write their layer lists anew.

`python -m pipeline.predict.networks` writes `pipeline/predict/published/published-layers.csv`, which the fit reads.
"""

from collections.abc import Callable
from functools import partial

from pipeline.formats.graph.onnx_graph import graph_of
from pipeline.predict.layers import Layer, layers_of
from pipeline.predict.networks import dense, inception, mobilenet, resnet
from pipeline.predict.networks.net import Net

ARCHITECTURES: dict[str, Callable[[], Net]] = {
    "googlenet": partial(inception.inception_v1, 5),
    "inception_v1_slim": partial(inception.inception_v1, 3),
    "inception_v2": inception.inception_v2,
    "inception_v3": inception.inception_v3,
    "inception_v4": inception.inception_v4,
    "inception_resnet_v2": inception.inception_resnet_v2,
    "resnet_50_caffe": partial(resnet.resnet, 50, "1x1"),
    "resnet_50_v1.5": partial(resnet.resnet, 50, "3x3"),
    "resnet_v1_50_slim": partial(resnet.resnet_slim, 50, 1, 224),
    "resnet_v1_101_slim": partial(resnet.resnet_slim, 101, 1, 224),
    "resnet_v1_152_slim": partial(resnet.resnet_slim, 152, 1, 224),
    "resnet_v2_50_slim": partial(resnet.resnet_slim, 50, 2, 299),
    "resnet_v2_101_slim": partial(resnet.resnet_slim, 101, 2, 299),
    "resnet_v2_152_slim": partial(resnet.resnet_slim, 152, 2, 299),
    "mobilenet_v1_0.25_128": partial(mobilenet.mobilenet_v1, 0.25, 128),
    "mobilenet_v1_1.0_224": partial(mobilenet.mobilenet_v1, 1.0, 224),
    "mobilenet_v2": mobilenet.mobilenet_v2,
    "mobilenet_ssd": mobilenet.mobilenet_ssd,
    "ssdlite_mobilenet_v2": mobilenet.ssdlite_mobilenet_v2,
    "deeplab_v3": mobilenet.deeplab_v3,
    "efficientdet_d0": mobilenet.efficientdet_d0,
    "yolo_v3_tiny": dense.yolo_v3_tiny,
    "yolo_v4_320": partial(dense.yolo_v4, 320),
    "yolo_v4_416": partial(dense.yolo_v4, 416),
    "yolo_v4_512": partial(dense.yolo_v4, 512),
    "yolo_v4_608": partial(dense.yolo_v4, 608),
    "ssd_resnet34_1200": dense.ssd_resnet34,
    "unet_camvid": dense.unet_camvid,
    "vgg_16": dense.vgg16,
}


def published_layers(name: str) -> list[Layer]:
    """The layer list of one published network, from its architecture."""
    return layers_of(graph_of(ARCHITECTURES[name]().model(), name))
