"""Who is in a picture and in a clip, which one is followed, and how two are told apart.

Masks and poses of the one who is followed belong to the estimators.
"""
