"""Layers as their author named them."""

BIASED = "/WithoutBiases"  # what a layer's name gets when OpenVINO makes a layer of its own of the biases


def clean_name(name: str) -> str:
    """A layer's name without what OpenVINO's conversion adds."""
    return name.removesuffix(BIASED)
