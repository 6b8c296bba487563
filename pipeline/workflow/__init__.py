"""What the Snakefile asks before jobs run, and says after them: clips, their settings, fingerprints, the terminal.

Nothing in here is run by a stage.
"""
