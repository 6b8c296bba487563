"""What is there to run with: packages, weights, GPUs, source files; and what mends it where something is missing.

Asked before any work, by the doctor and by the Snakefile. No estimating, no fitting.
"""
