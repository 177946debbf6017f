"""Weight sharing (Han et al. 2016, Deep Compression): each layer's weights take a few values only.

Nothing gets faster by it: a device calculates with the same tensors as before. But few values compress well, for a
short download (formats/pack.py). In a quantized graph the shared values are whole steps, so that channels with
different scales share them.
"""

from collections.abc import Callable
from functools import partial

import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pipeline.compress.trainable_graph import GraphLayer, TrainableGraph
from pipeline.processes.samples import Samples

BINS = 4096  # floating-point weights are told apart no finer than this while the shared values are looked for
LEAST = 16  # weights for each shared value: smaller layers would gain nothing


def share_weights(network: TrainableGraph, bits: int, samples: Samples) -> TrainableGraph:
    """Let each layer's weights take at most 2**bits values, which re-training then changes together, in place.

    Depthwise layers keep their weights: they are the most sensitive and hold about 2 % of a network's weights. Biases
    are moved so that on `samples`, taken as one batch, each output channel keeps its mean.
    """
    batch = torch.from_numpy(next(iter(samples.batches(len(samples)))))
    means = _means(network, batch)
    for layer in _layers(network).values():
        if not layer.is_depthwise and layer.weight.numel() >= LEAST << bits:
            _share(layer, 1 << bits)
    _correct_biases(network, batch, means)
    return network


def _layers(network: TrainableGraph) -> dict[str, GraphLayer]:
    return {name: layer for name, layer in network.layers.items() if isinstance(layer, GraphLayer)}


def _means(network: TrainableGraph, batch: Tensor) -> dict[str, Tensor]:
    """Mean output of each layer by channel (O,)."""
    means: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        means[name] = _by_channel(output)

    _run(network, batch, keep)
    return means


def _correct_biases(network: TrainableGraph, batch: Tensor, means: dict[str, Tensor]) -> None:
    """Give each layer with a bias the mean output that it had, given what the layers before it answer by now."""

    def correct(name: str, layer: GraphLayer, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if layer.bias is None:
            return output
        missing = means[name] - _by_channel(output)
        layer.bias.add_(missing)
        return output + (missing.reshape(1, -1, 1, 1) if layer.kind == "Conv" else missing)

    _run(network, batch, correct)


def _run(network: TrainableGraph, batch: Tensor, hook: Callable[..., Tensor | None]) -> None:
    """One forward pass, in which `hook` sees each layer's output, and may answer with another."""
    hooks = [layer.register_forward_hook(partial(hook, name)) for name, layer in _layers(network).items()]
    with torch.no_grad():
        network(batch)
    for handle in hooks:
        handle.remove()


def _by_channel(output: Tensor) -> Tensor:
    """Means (O,) of an output (N, O, H, W) or (..., O)."""
    return output.mean((0, 2, 3)) if output.dim() == 4 else output.flatten(0, -2).mean(0)


def _share(layer: GraphLayer, count: int) -> None:
    with torch.no_grad():
        steps = torch.ones(1) if layer.step is None else layer.step
        whole = layer.weight if layer.step is None else layer.rounded
        # Re-training's rates are for weights of their usual size, so the shared values are kept in real numbers.
        unit = steps.square().mean().sqrt()
        codebook, indices = _codebook(whole, steps.expand_as(whole) / unit, count)
    parametrize.register_parametrization(layer, "weight", SharedWeights(codebook * unit, indices, steps / unit))


class SharedWeights(nn.Module):
    """Weights as `scales * codebook[indices]`; the codebook (K,) is the parameter that is trained."""

    indices: Tensor
    scales: Tensor

    def __init__(self, start: Tensor, indices: Tensor, scales: Tensor) -> None:
        super().__init__()
        self._start = start
        self.register_buffer("indices", indices)
        self.register_buffer("scales", scales)

    def forward(self, codebook: Tensor) -> Tensor:
        """The weights (O, C, ...)."""
        return codebook[self.indices] * self.scales

    def right_inverse(self, _: Tensor) -> Tensor:
        """The codebook that `forward` starts from."""
        return self._start


def _codebook(values: Tensor, scales: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """At most `count` values (K,) that `values` are rounded to, and the index of each; errors weigh as `scales`."""
    flat, weights = values.flatten().double(), scales.flatten().double().square()
    low, high = float(flat.min()), float(flat.max())
    width = (high - low) / (BINS - 1) or 1.0
    bins = ((flat - low) / width).round().long()
    mass = torch.bincount(bins, weights, BINS)
    centres = torch.bincount(bins, weights * flat, BINS) / mass.clamp(min=1e-30)
    used = mass.nonzero().flatten()
    points = centres[used].reshape(-1, 1).numpy()
    clusters = min(count, len(points))
    start = points[torch.linspace(0, len(points) - 1, clusters).round().long().numpy()]
    found = KMeans(clusters, init=start, n_init=1).fit(points, sample_weight=mass[used].numpy())
    label = torch.zeros(BINS, dtype=torch.long)
    label[used] = torch.from_numpy(found.labels_).long()
    codebook = torch.from_numpy(found.cluster_centers_).flatten().to(values.dtype)
    return codebook, label[bins].reshape(values.shape)
