"""Parts that several families share: the network shell, convolution + batch norm, and the inverted residual."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


class Network(nn.Module):
    """An image classifier in two parts, named alike in every family.

    `features` lists the layers from input to output, so that the first ones can be frozen;
    `classifier` turns their output into logits and holds the head (the last Linear, or SqueezeNet's last convolution).
    Input (N, 3, S, S) float32, normalised; output (N, num_classes) logits.
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, num_classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def divisible(channels: float, by: int = 8) -> int:
    """`channels` rounded to a multiple of `by`, never more than 10 % below it (the MobileNets' rule)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded if rounded >= 0.9 * channels else rounded + by


@dataclass(frozen=True)
class Style:
    """What all convolutions of a network have in common."""

    activation: type[nn.Module] = nn.ReLU6
    eps: float = 1e-5  # of the batch norms
    pad_late: bool = False
    """Stride 2 pads one more column and row after the image than before it (TensorFlow's SAME at even sizes)."""


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int, style: Style, groups: int = 1, linear: bool = False
) -> nn.Sequential:
    """`conv`, `norm` and, unless `linear`, `activation`. (N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
    layers = nn.Sequential()
    padding = kernel // 2
    if style.pad_late and stride == 2:
        before, after, padding = (kernel - 2) // 2, (kernel - 1) // 2, 0
        layers.add_module("pad", nn.ZeroPad2d((before, after, before, after)))
    layers.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
    layers.add_module("norm", nn.BatchNorm2d(outputs, style.eps))
    if not linear:
        layers.add_module("activation", style.activation())
    return layers


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channels' means. https://arxiv.org/abs/1709.01507"""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        gated: Tensor = x * self.gate(x)
        return gated


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise, optional squeeze-excite, project (1x1, linear); added to the input where shapes agree.

    Sandler et al., MobileNetV2, https://arxiv.org/abs/1801.04381. `hidden` is the number of channels in between;
    equal to `inputs`, there is no expansion.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        kernel: int,
        stride: int,
        style: Style,
        squeeze_excite: bool = False,
    ) -> None:
        super().__init__()
        self.expand = conv_bn(inputs, hidden, 1, 1, style) if hidden != inputs else nn.Identity()
        self.depthwise = conv_bn(hidden, hidden, kernel, stride, style, groups=hidden)
        self.excite = SqueezeExcite(hidden, divisible(hidden / 4)) if squeeze_excite else nn.Identity()
        self.project = conv_bn(hidden, outputs, 1, 1, style, linear=True)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.project(self.excite(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


def pooled_linear(channels: int, num_classes: int, dropout: float = 0.2) -> nn.Sequential:
    """The usual head: (N, channels, H, W) -> mean over H and W -> dropout -> Linear (3) -> (N, num_classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes))


def initialise(network: nn.Module) -> None:
    """Random weights for networks with batch norm: He, fan out, for convolutions; N(0, 0.01) for Linear."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)
