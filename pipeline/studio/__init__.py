"""Synthetic clips with ground truth: a clothed person, rendered by ray casting a mesh (never by Gaussians).

Errors of estimators are simulated in accuracy/.
"""
