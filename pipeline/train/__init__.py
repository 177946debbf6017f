"""Training: the FP32 parents, and every re-training after compression."""
