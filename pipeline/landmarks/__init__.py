"""Detectors of landmarks on a person, one file each: where joints are seen in a picture.

Which person, and what body fits them, is asked elsewhere. To add one: docs/extend.md.
"""
