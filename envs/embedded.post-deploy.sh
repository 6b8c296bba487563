#!/bin/sh
# OpenCV without a window system, in the place of the one that mediapipe brings, whose import needs libGL.so.1.
set -eu
python -m pip install --no-deps --force-reinstall opencv-contrib-python-headless==4.11.0.86
