"""What every module stands on: settings, errors, progress, threads, compiled kernels, constants.

Nothing in here knows of bodies, videos or stages.
"""
