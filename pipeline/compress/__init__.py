"""Compression: a recipe is a list of steps (steps/), and what several steps work with lies beside them."""
