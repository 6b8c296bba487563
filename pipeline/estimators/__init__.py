"""Estimators: one backend a file, chosen by name in the config."""
