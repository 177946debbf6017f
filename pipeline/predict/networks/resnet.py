"""ResNets, which differ in where they stride: He et al., torchvision, and slim `nets/resnet_v*.py`."""

from pipeline.predict.networks.net import Net

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet(depth: int, stride_in: str = "3x3", size: int = 224) -> Net:
    """Bottleneck ResNet v1. `stride_in`: "1x1" as in the paper and Caffe, "3x3" as in torchvision ("v1.5")."""
    net = Net((size, size))
    x = net.pool(net.conv(net.image, 64, 7, 2))
    for stage, units in enumerate(_BLOCKS[depth]):
        width = 64 << stage
        for unit in range(units):
            s = 2 if stage and not unit else 1
            short = x if unit else net.conv(x, width * 4, 1, s, act=None)
            y = net.conv(x, width, 1, s if stride_in == "1x1" else 1)
            y = net.conv(y, width, 3, s if stride_in == "3x3" else 1)
            x = net.add(net.conv(y, width * 4, act=None), short, "Relu")
    net.dense(net.global_pool(x), 1000)
    return net


def resnet_slim(depth: int, version: int, size: int) -> Net:
    """TensorFlow slim: the last unit of a stage strides, in its 3x3; v2 normalises before each unit."""
    net = Net((size, size))
    x = net.pool(net.conv(net.image, 64, 7, 2, act="Relu" if version == 1 else None))
    for stage, units in enumerate(_BLOCKS[depth]):
        width = 64 << stage
        for unit in range(units):
            s = 2 if stage < 3 and unit == units - 1 else 1
            entry = x if version == 1 else net.scale(x)
            narrow = x if s == 1 else net.pool(x, 1, s)
            short = narrow if unit else net.conv(entry, width * 4, act=None)
            y = net.conv(net.conv(net.conv(entry, width), width, 3, s), width * 4, act=None)
            x = net.add(y, short, "Relu" if version == 1 else None)
    if version == 2:
        x = net.scale(x)
    net.dense(net.global_pool(x), 1001)
    return net
