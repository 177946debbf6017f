"""How sure a candidate is too much or too little of its answers, which a device has to know before it adds them up.

Temperature scaling (Guo et al. 2017) on the validation split: scores divided by the temperature are probabilities that
hold what they promise. Compression changes it, so it is the candidate's own.
"""

import numpy as np
import onnxruntime
from onnx import ModelProto

from pipeline.data.batches import Regions
from runners.edge.tracking.reading import calibrated_temperature

SAMPLES = 1000  # at most: one number needs no more
BATCH = 32


def temperature(graph: ModelProto, regions: Regions) -> float:
    """The temperature of the graph's scores for these labelled regions; 1 where they are no numbers."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    scores = np.concatenate([session.run(None, {name: batch})[0] for batch in regions.batches(BATCH)])
    if not np.isfinite(scores).all():
        return 1.0
    return round(calibrated_temperature(scores.astype(np.float64), regions.labels), 4)
