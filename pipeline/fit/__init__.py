"""The joint optimisation of avatar and motion, on one video. What measures its results belongs to evaluation.

Read unknowns, objective, schedule, growth, spread, then loop, which shows a step; stages/fit.py runs it.
"""
