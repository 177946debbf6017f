"""INT8 post-training quantization with NNCF, on the exported graph."""

import nncf
import numpy as np
import onnx

from models import ModelSpec
from pipeline.config import Quantize
from pipeline.dataset import Dataset
from pipeline.export import INPUT
from runners.edge.regions import normalise


def apply(graph: onnx.ModelProto, spec: ModelSpec, dataset: Dataset, step: Quantize, seed: int) -> onnx.ModelProto:
    """Quantize weights and activations to 8 bits, calibrated on regions of the train split."""
    images, _ = dataset.load("train", spec.input_size)
    chosen = np.random.default_rng(seed).permutation(len(images))[: step.calibration_samples]
    inputs = [normalise(images[[index]], spec.mean, spec.std) for index in chosen]
    quantized: onnx.ModelProto = nncf.quantize(
        graph,
        nncf.Dataset(inputs, lambda value: {INPUT: value}),
        preset=nncf.QuantizationPreset(step.preset),
        subset_size=len(inputs),
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix(step.overflow_fix)),
    )
    return quantized
