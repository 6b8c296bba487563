"""The benchmark: studio clips and simulated estimators, sequences of datasets, rows of ablations, and their tables."""
