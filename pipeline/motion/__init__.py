"""Motions that no video was needed for: moves by formula, motion files, and readers of other tools' results.

What is estimated from a video belongs to the estimators.
"""
