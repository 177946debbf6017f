"""Search for the best candidate of a target: what is varied (space), how the field is narrowed (halving), one trial
(trial), many at once (workers), the whole (run) and what came of it (report). Method and costs: docs/search.md.
"""
