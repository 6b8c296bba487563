"""The terms of the objective, each with its gradient: pictures, silhouette, depth, CAMEL, priors.

How they are weighed and summed: fit/objective.py.
"""
