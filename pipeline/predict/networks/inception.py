"""Inception networks: tensorflow/models slim `nets/inception_v*.py`, and the GoogLeNet of Caffe."""

from pipeline.predict.networks.net import Net, Tensor

_INCEPTION_V1 = [
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (),
    (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), (),
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
]  # fmt: skip


def inception_v1(k: int = 3) -> Net:
    """GoogLeNet; `k` is the size of the wide branch: 5 in the paper and in Caffe, 3 in TensorFlow slim."""
    net = Net((224, 224))
    x = net.pool(net.conv(net.image, 64, 7, 2))
    x = net.pool(net.conv(net.conv(x, 64), 192, 3))
    for widths in _INCEPTION_V1:
        if not widths:
            x = net.pool(x)
            continue
        a, b0, b1, c0, c1, d = widths
        pooled = net.conv(net.pool(x, 3, 1), d)
        x = net.concat(net.conv(x, a), net.conv(net.conv(x, b0), b1, 3), net.conv(net.conv(x, c0), c1, k), pooled)
    net.dense(net.global_pool(x), 1000)
    return net


def inception_v2() -> Net:
    """Ioffe and Szegedy 2015; slim `inception_v2`, whose first layer is separable."""
    net = Net((224, 224))
    x = net.conv(net.conv(net.image, 24, 7, 2, groups=3, act=None), 64)
    x = net.pool(net.conv(net.conv(net.pool(x), 64), 192, 3))

    def block(x: Tensor, a: int, b: tuple[int, int], c: tuple[int, int], d: int, kind: str) -> Tensor:
        double = net.conv(net.conv(net.conv(x, c[0]), c[1], 3), c[1], 3)
        pooled = net.conv(net.pool(x, 3, 1, kind=kind), d)
        return net.concat(net.conv(x, a), net.conv(net.conv(x, b[0]), b[1], 3), double, pooled)

    def shrink(x: Tensor, b: tuple[int, int], c: tuple[int, int]) -> Tensor:
        double = net.conv(net.conv(net.conv(x, c[0]), c[1], 3), c[1], 3, 2)
        return net.concat(net.conv(net.conv(x, b[0]), b[1], 3, 2), double, net.pool(x))

    x = block(x, 64, (64, 64), (64, 96), 32, "Average")
    x = block(x, 64, (64, 96), (64, 96), 64, "Average")
    x = shrink(x, (128, 160), (64, 96))
    x = block(x, 224, (64, 96), (96, 128), 128, "Average")
    x = block(x, 192, (96, 128), (96, 128), 128, "Average")
    x = block(x, 160, (128, 160), (128, 160), 96, "Average")
    x = block(x, 96, (128, 192), (160, 192), 96, "Average")
    x = shrink(x, (128, 192), (192, 256))
    x = block(x, 352, (192, 320), (160, 224), 128, "Average")
    x = block(x, 352, (192, 320), (192, 224), 128, "Max")
    net.dense(net.global_pool(x), 1000)
    return net


def inception_v3() -> Net:
    """Szegedy et al. 2015; slim `inception_v3` without its auxiliary head."""
    net = Net((299, 299))
    x = net.conv(net.conv(net.image, 32, 3, 2, pad="valid"), 32, 3, pad="valid")
    x = net.pool(net.conv(x, 64, 3), pad="valid")
    x = net.pool(net.conv(net.conv(x, 80), 192, 3, pad="valid"), pad="valid")
    for pool_width in (32, 64, 64):
        double = net.conv(net.conv(net.conv(x, 64), 96, 3), 96, 3)
        pooled = net.conv(net.pool(x, 3, 1, kind="Average"), pool_width)
        x = net.concat(net.conv(x, 64), net.conv(net.conv(x, 48), 64, 5), double, pooled)
    double = net.conv(net.conv(net.conv(x, 64), 96, 3), 96, 3, 2, pad="valid")
    x = net.concat(net.conv(x, 384, 3, 2, pad="valid"), double, net.pool(x, pad="valid"))
    for width in (128, 160, 160, 192):
        single = net.conv(net.conv(net.conv(x, width), width, (1, 7)), 192, (7, 1))
        double = net.conv(net.conv(net.conv(x, width), width, (7, 1)), width, (1, 7))
        double = net.conv(net.conv(double, width, (7, 1)), 192, (1, 7))
        x = net.concat(net.conv(x, 192), single, double, net.conv(net.pool(x, 3, 1, kind="Average"), 192))
    seven = net.conv(net.conv(net.conv(x, 192), 192, (1, 7)), 192, (7, 1))
    three = net.conv(net.conv(x, 192), 320, 3, 2, pad="valid")
    x = net.concat(three, net.conv(seven, 192, 3, 2, pad="valid"), net.pool(x, pad="valid"))
    for _ in range(2):
        b = net.conv(x, 384)
        c = net.conv(net.conv(x, 448), 384, 3)
        wide = [net.conv(y, 384, k) for y in (b, c) for k in ((1, 3), (3, 1))]
        x = net.concat(net.conv(x, 320), *wide, net.conv(net.pool(x, 3, 1, kind="Average"), 192))
    net.dense(net.global_pool(x), 1000)
    return net


def _v4_stem(net: Net) -> Tensor:
    x = net.conv(net.conv(net.image, 32, 3, 2, pad="valid"), 32, 3, pad="valid")
    x = net.conv(x, 64, 3)
    x = net.concat(net.pool(x, pad="valid"), net.conv(x, 96, 3, 2, pad="valid"))
    seven = net.conv(net.conv(net.conv(x, 64), 64, (1, 7)), 64, (7, 1))
    x = net.concat(net.conv(net.conv(x, 64), 96, 3, pad="valid"), net.conv(seven, 96, 3, pad="valid"))
    return net.concat(net.conv(x, 192, 3, 2, pad="valid"), net.pool(x, pad="valid"))


def inception_v4() -> Net:
    """Szegedy et al. 2016; slim `inception_v4`."""
    net = Net((299, 299))
    x = _v4_stem(net)
    for _ in range(4):
        double = net.conv(net.conv(net.conv(x, 64), 96, 3), 96, 3)
        pooled = net.conv(net.pool(x, 3, 1, kind="Average"), 96)
        x = net.concat(net.conv(x, 96), net.conv(net.conv(x, 64), 96, 3), double, pooled)
    double = net.conv(net.conv(net.conv(x, 192), 224, 3), 256, 3, 2, pad="valid")
    x = net.concat(net.conv(x, 384, 3, 2, pad="valid"), double, net.pool(x, pad="valid"))
    for _ in range(7):
        single = net.conv(net.conv(net.conv(x, 192), 224, (1, 7)), 256, (7, 1))
        double = net.conv(net.conv(net.conv(x, 192), 192, (7, 1)), 224, (1, 7))
        double = net.conv(net.conv(double, 224, (7, 1)), 256, (1, 7))
        x = net.concat(net.conv(x, 384), single, double, net.conv(net.pool(x, 3, 1, kind="Average"), 128))
    seven = net.conv(net.conv(net.conv(x, 256), 256, (1, 7)), 320, (7, 1))
    three = net.conv(net.conv(x, 192), 192, 3, 2, pad="valid")
    x = net.concat(three, net.conv(seven, 320, 3, 2, pad="valid"), net.pool(x, pad="valid"))
    for _ in range(3):
        b = net.conv(x, 384)
        c = net.conv(net.conv(net.conv(x, 384), 448, (3, 1)), 512, (1, 3))
        wide = [net.conv(y, 256, k) for y in (b, c) for k in ((1, 3), (3, 1))]
        x = net.concat(net.conv(x, 256), *wide, net.conv(net.pool(x, 3, 1, kind="Average"), 256))
    net.dense(net.global_pool(x), 1001)
    return net


def inception_resnet_v2() -> Net:
    """Szegedy et al. 2016; slim `inception_resnet_v2`."""
    net = Net((299, 299))
    x = net.conv(net.conv(net.image, 32, 3, 2, pad="valid"), 32, 3, pad="valid")
    x = net.pool(net.conv(x, 64, 3), pad="valid")
    x = net.pool(net.conv(net.conv(x, 80), 192, 3, pad="valid"), pad="valid")
    double = net.conv(net.conv(net.conv(x, 64), 96, 3), 96, 3)
    pooled = net.conv(net.pool(x, 3, 1, kind="Average"), 64)
    x = net.concat(net.conv(x, 96), net.conv(net.conv(x, 48), 64, 5), double, pooled)
    for _ in range(10):
        double = net.conv(net.conv(net.conv(x, 32), 48, 3), 64, 3)
        mixed = net.concat(net.conv(x, 32), net.conv(net.conv(x, 32), 32, 3), double)
        x = net.add(x, net.conv(mixed, 320, act=None), "Relu")
    double = net.conv(net.conv(net.conv(x, 256), 256, 3), 384, 3, 2, pad="valid")
    x = net.concat(net.conv(x, 384, 3, 2, pad="valid"), double, net.pool(x, pad="valid"))
    for _ in range(20):
        seven = net.conv(net.conv(net.conv(x, 128), 160, (1, 7)), 192, (7, 1))
        x = net.add(x, net.conv(net.concat(net.conv(x, 192), seven), 1088, act=None), "Relu")
    first = net.conv(net.conv(x, 256), 384, 3, 2, pad="valid")
    second = net.conv(net.conv(x, 256), 288, 3, 2, pad="valid")
    third = net.conv(net.conv(net.conv(x, 256), 288, 3), 320, 3, 2, pad="valid")
    x = net.concat(first, second, third, net.pool(x, pad="valid"))
    for _ in range(10):
        three = net.conv(net.conv(net.conv(x, 192), 224, (1, 3)), 256, (3, 1))
        x = net.add(x, net.conv(net.concat(net.conv(x, 192), three), 2080, act=None), "Relu")
    net.dense(net.global_pool(net.conv(x, 1536)), 1001)
    return net
