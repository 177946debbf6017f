"""VGG, detectors and segmentation on dense convolutions."""

from pipeline.predict.networks.net import Net, Tensor


def yolo_v3_tiny() -> Net:
    """pjreddie/darknet cfg/yolov3-tiny.cfg, COCO, 416 x 416."""
    net = Net((416, 416))
    x = net.image
    for out in (16, 32, 64, 128):
        x = net.pool(net.conv(x, out, 3, act="LeakyRelu"), 2, 2)
    route = net.conv(x, 256, 3, act="LeakyRelu")
    x = net.conv(net.pool(route, 2, 2), 512, 3, act="LeakyRelu")
    x = net.conv(net.pool(x, 2, 1), 1024, 3, act="LeakyRelu")
    x = net.conv(x, 256, act="LeakyRelu")
    net.conv(net.conv(x, 512, 3, act="LeakyRelu"), 255, act=None)
    up = net.concat(net.resize(net.conv(x, 128, act="LeakyRelu"), 2), route)
    net.conv(net.conv(up, 256, 3, act="LeakyRelu"), 255, act=None)
    return net


def yolo_v4(size: int) -> Net:
    """AlexeyAB/darknet cfg/yolov4.cfg, COCO."""
    net = Net((size, size))

    def mish(x: Tensor, out: int, k: int = 1, s: int = 1) -> Tensor:
        return net.conv(x, out, k, s, act="Mish")

    def leaky(x: Tensor, out: int, k: int = 1, s: int = 1) -> Tensor:
        return net.conv(x, out, k, s, act="LeakyRelu")

    def five(x: Tensor, width: int) -> Tensor:
        for _ in range(2):
            x = leaky(leaky(x, width), width * 2, 3)
        return leaky(x, width)

    x = mish(net.image, 32, 3)
    stages = []
    for out, units in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        x = mish(x, out, 3, 2)
        half = out if out == 64 else out // 2
        side, y = mish(x, half), mish(x, half)
        for _ in range(units):
            y = net.add(y, mish(mish(y, 32 if out == 64 else half), half, 3))
        x = mish(net.concat(mish(y, half), side), out)
        stages.append(x)
    x = leaky(leaky(leaky(x, 512), 1024, 3), 512)
    x = net.concat(*(net.pool(x, k, 1) for k in (13, 9, 5)), x)
    x = leaky(leaky(leaky(x, 512), 1024, 3), 512)
    middle = five(net.concat(leaky(stages[3], 256), net.resize(leaky(x, 256), 2)), 256)
    small = five(net.concat(leaky(stages[2], 128), net.resize(leaky(middle, 128), 2)), 128)
    net.conv(leaky(small, 256, 3), 255, act=None)
    middle = five(net.concat(leaky(small, 256, 3, 2), middle), 256)
    net.conv(leaky(middle, 512, 3), 255, act=None)
    large = five(net.concat(leaky(middle, 512, 3, 2), x), 512)
    net.conv(leaky(large, 1024, 3), 255, act=None)
    return net


def ssd_resnet34() -> Net:
    """MLPerf inference ssd-resnet34, 1200 x 1200: ResNet-34 up to its third stage, which keeps stride 8."""
    net = Net((1200, 1200))
    x = net.pool(net.conv(net.image, 64, 7, 2))
    for width, units, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 1)):
        for unit in range(units):
            s = stride if unit == 0 else 1
            short = x if x.channels == width else net.conv(x, width, 1, s, act=None)
            x = net.add(net.conv(net.conv(x, width, 3, s), width, 3, act=None), short, "Relu")
    maps = [x]
    for squeeze, out, s in ((256, 512, 2), (256, 512, 2), (128, 256, 2), (128, 256, 2), (128, 256, 1)):
        maps.append(net.conv(net.conv(maps[-1], squeeze), out, 3, s, pad="same" if s == 2 else "valid"))
    for x, boxes, s in zip(maps, (4, 6, 6, 6, 4, 4), (3, 3, 2, 2, 1, 1), strict=True):
        net.conv(x, boxes * 4, 3, s, act=None)
        net.conv(x, boxes * 81, 3, s, act=None)
    return net


def unet_camvid() -> Net:
    """Open Model Zoo unet-camvid-onnx-0001 (Ronneberger et al. with batch normalisation), 368 x 480."""
    net = Net((368, 480))
    x = net.image
    skips = []
    for width in (64, 128, 256, 512):
        x = net.conv(net.conv(x, width, 3), width, 3)
        skips.append(x)
        x = net.pool(x, 2, 2)
    x = net.conv(net.conv(x, 1024, 3), 1024, 3)
    for skip in reversed(skips):
        x = net.concat(skip, net.up_conv(x, skip.channels))
        x = net.conv(net.conv(x, skip.channels, 3), skip.channels, 3)
    net.conv(x, 12, act=None)
    return net


def vgg16() -> Net:
    """Simonyan and Zisserman 2014, configuration D."""
    net = Net((224, 224))
    x = net.image
    for width, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            x = net.conv(x, width, 3)
        x = net.pool(x, 2, 2)
    x = net.dense(x, 4096, 512 * 49, "Relu")
    net.dense(net.dense(x, 4096, act="Relu"), 1000)
    return net
