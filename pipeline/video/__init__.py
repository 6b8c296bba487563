"""Videos in and out: one decoder, one encoder, both through the ffmpeg that imageio-ffmpeg carries.

Who is in the pictures is not asked here.
"""
