"""MobileNets, and detectors and segmentation on depthwise convolutions."""

from pipeline.predict.networks.net import Net, Tensor

_MOBILENET_V1 = [
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)
]  # fmt: skip
_MOBILENET_V2 = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


def _mobilenet_v1_body(net: Net, width: float = 1.0) -> list[Tensor]:
    maps = [net.conv(net.image, int(32 * width), 3, 2)]
    for out, s in _MOBILENET_V1:
        maps.append(net.conv(net.depthwise(maps[-1], 3, s), int(out * width)))
    return maps


def mobilenet_v1(width: float, size: int) -> Net:
    """Howard et al. 2017."""
    net = Net((size, size))
    net.dense(net.global_pool(_mobilenet_v1_body(net, width)[-1]), 1001)
    return net


def _inverted(net: Net, x: Tensor, expand: int, out: int, s: int, k: int = 3, dilation: int = 1) -> Tensor:
    y = x if expand == 1 else net.conv(x, x.channels * expand)
    y = net.conv(net.depthwise(y, k, s, dilation=dilation), out, act=None)
    return net.add(y, x) if s == 1 and x.channels == out else y


def mobilenet_v2() -> Net:
    """Sandler et al. 2018, width 1.0."""
    net = Net((224, 224))
    x = net.conv(net.image, 32, 3, 2)
    for expand, out, repeats, s in _MOBILENET_V2:
        for unit in range(repeats):
            x = _inverted(net, x, expand, out, s if unit == 0 else 1)
    net.dense(net.global_pool(net.conv(x, 1280)), 1000)
    return net


def mobilenet_ssd() -> Net:
    """chuanqi305/MobileNet-SSD, VOC: extra layers and 1x1 heads."""
    net = Net((300, 300))
    body = _mobilenet_v1_body(net)
    maps = [body[11], body[13]]
    for squeeze, out in ((256, 512), (128, 256), (128, 256), (64, 128)):
        maps.append(net.conv(net.conv(maps[-1], squeeze), out, 3, 2))
    for index, x in enumerate(maps):
        boxes = 3 if index == 0 else 6
        net.conv(x, boxes * 4, act=None)
        net.conv(x, boxes * 21, act=None)
    return net


def ssdlite_mobilenet_v2() -> Net:
    """TensorFlow detection zoo, COCO: separable extra layers and heads."""
    net = Net((300, 300))
    x = net.conv(net.image, 32, 3, 2)
    maps = []
    for expand, out, repeats, s in _MOBILENET_V2:
        for unit in range(repeats):
            if out == 160 and unit == 0:  # the first map is the expansion before the last stride
                maps.append(net.conv(x, x.channels * expand))
                y = net.conv(net.depthwise(maps[0], 3, s), out, act=None)
                x = y
            else:
                x = _inverted(net, x, expand, out, s if unit == 0 else 1)
    maps.append(net.conv(x, 1280))
    for squeeze, out in ((256, 512), (128, 256), (128, 256), (64, 128)):
        maps.append(net.conv(net.depthwise(net.conv(maps[-1], squeeze), 3, 2), out))
    for index, x in enumerate(maps):
        boxes = 3 if index == 0 else 6
        net.conv(net.depthwise(x), boxes * 4, act=None)
        net.conv(net.depthwise(x), boxes * 91, act=None)
    return net


def deeplab_v3() -> Net:
    """TensorFlow deeplabv3_mnv2_pascal: MobileNetV2 whose last stages dilate instead of striding, 513 x 513."""
    net = Net((513, 513))
    x = net.conv(net.image, 32, 3, 2)
    stride, dilation = 2, 1
    for expand, out, repeats, s in _MOBILENET_V2:
        for unit in range(repeats):
            step = s if unit == 0 else 1
            rate = dilation
            if step == 2 and stride == 8:
                step, dilation = 1, dilation * 2
            elif step == 2:
                stride *= 2
            x = _inverted(net, x, expand, out, step, dilation=rate)
    pooled = net.conv(net.global_pool(x), 256)
    x = net.concat(net.resize(pooled, 65), net.conv(x, 256))
    x = net.conv(net.conv(x, 256), 21, act=None)
    net.resize(x, 8, "linear")
    return net


_EFFICIENTNET_B0 = [
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]  # fmt: skip


def efficientdet_d0() -> Net:
    """google/automl efficientdet-d0, COCO, 512 x 512: EfficientNet-B0, three BiFPN cells of 64, separable heads."""
    net = Net((512, 512))
    x = net.conv(net.image, 32, 3, 2, act="Swish")
    ends = {}
    for expand, k, stride, out, repeats in _EFFICIENTNET_B0:
        for unit in range(repeats):
            s = stride if unit == 0 else 1
            y = x if expand == 1 else net.conv(x, x.channels * expand, act="Swish")
            y = net.depthwise(y, k, s, act="Swish")
            gate = net.conv(net.global_pool(y), x.channels // 4, act="Swish")
            gate = net.conv(gate, y.channels, act="Sigmoid")
            y = net.conv(net.op("Mul", [y, gate], y.channels), out, act=None)
            x = net.add(y, x) if s == 1 and x.channels == out else y
        ends[out] = x
    p6 = net.pool(net.conv(ends[320], 64, act=None))
    sources = [ends[40], ends[112], ends[320], p6, net.pool(p6)]

    def node(*maps: Tensor) -> Tensor:
        total = maps[0]
        for other in maps[1:]:
            total = net.add(total, other)
        return net.conv(net.depthwise(net.act(total, "Swish"), act=None), 64, act=None)

    def lateral(x: Tensor) -> Tensor:
        return x if x.channels == 64 else net.conv(x, 64, act=None)

    levels = sources
    for _ in range(3):
        top_down = [lateral(levels[4])]
        for level in (3, 2, 1, 0):
            top_down.insert(0, node(lateral(levels[level]), net.resize(top_down[0], 2)))
        bottom_up = [top_down[0]]
        for level in (1, 2, 3):
            bottom_up.append(node(lateral(levels[level]), top_down[level], net.pool(bottom_up[-1])))
        bottom_up.append(node(top_down[4], net.pool(bottom_up[-1])))
        levels = bottom_up
    for x in levels:
        for out in (9 * 4, 9 * 90):
            y = x
            for _ in range(3):
                y = net.conv(net.depthwise(y, act=None), 64, act="Swish")
            net.conv(net.depthwise(y, act=None), out, act=None)
    return net
