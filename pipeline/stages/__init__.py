"""The commands `python -m pipeline STAGE`: thin, one module a stage; they meet only through files."""
