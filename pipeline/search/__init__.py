"""Search for the best candidate of a target: what is varied (space), how the field is narrowed (halving), one trial
(trial), many at once here (workers) and on other machines (remote, node), the whole (run) and what came of it
(summary). Method and costs: docs/search.md.
"""
