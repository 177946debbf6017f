"""A recipe trained again from other seeds: what of its outcome is the recipe, and what was luck."""
