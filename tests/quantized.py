"""Small quantized models as OpenVINO IRs, for tests that need to know every number in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layer:
    """One layer on quantized values: `activations` (N, C, H, W; 0 to 255) and `weights` (G, O, C, kh, kw)."""

    weights: NDArray[np.int32]
    stride: int = 1
    padding: int = 0
    zero_point: int = 0
    product: bool = False

    SCALE = 1 / 512  # of the weights; a power of two, so that floats hold the sums exactly

    def write(self, path: Path, shape: tuple[int, ...]) -> Path:
        """The IR of this layer alone, for inputs of `shape`; the answer is its path."""
        import openvino
        from openvino import opset13 as op

        low = np.float32(-self.zero_point)
        high = np.float32(255 - self.zero_point)
        data = op.parameter(list(shape), np.float32)
        quantized = op.fake_quantize(data, low, high, low, high, 256)
        groups = len(self.weights)
        weights: Any
        if self.product:
            weights = self._constant(self.weights[0, :, :, 0, 0])
            answer = op.matmul(quantized, weights, False, True)
        else:
            around, steps = [self.padding] * 2, [self.stride] * 2
            weights = self._constant(self.weights if groups > 1 else self.weights[0])
            convolution = op.group_convolution if groups > 1 else op.convolution
            answer = convolution(quantized, weights, steps, around, around, [1, 1])
        answer.set_friendly_name("layer")
        openvino.save_model(openvino.Model([answer], [data]), path, compress_to_fp16=False)
        return path

    def _constant(self, values: NDArray[np.int32]) -> Any:
        from openvino import opset13 as op

        scale = np.full([1] * values.ndim, self.SCALE, np.float32)
        return op.multiply(op.convert(op.constant(values.astype(np.int8)), np.float32), op.constant(scale))

    def inputs(self, activations: NDArray[np.int32]) -> NDArray[np.float32]:
        """What the layer's own input has to be for the kernel to see `activations`."""
        return (activations - self.zero_point).astype(np.float32)
