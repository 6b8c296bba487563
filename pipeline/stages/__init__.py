"""The commands `python -m pipeline STAGE`: thin, one module a stage; they meet only through files.

What a stage does lies in the rooms below; no stage imports another.
"""
