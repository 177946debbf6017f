"""`edgeproof init`: this repository becomes somebody's project."""
