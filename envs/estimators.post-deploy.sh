#!/bin/sh
# The estimators' own code, without the needs that it declares: detectron2, gradio, xformers, a second OpenCV, and more
# that inference does not use. UNIDEPTH and HMR2 may name a folder or another address, where GitHub cannot be reached.
set -eu
UNIDEPTH=${UNIDEPTH:-git+https://github.com/lpiccinelli-eth/UniDepth@8d8cfe4c7ee15297099983607febf0d4f32eb3d6}
HMR2=${HMR2:-git+https://github.com/shubham-goel/4D-Humans@6ec79656a23c33237c724742ca2a0ec00b398b53}
SAM2_BUILD_CUDA=0 python -m pip install --no-deps --no-build-isolation sam2==1.1.0
python -m pip install --no-deps --no-build-isolation "$UNIDEPTH" "$HMR2"
python -m pip install --no-deps rtmlib==0.0.16
# OpenCV without a window system, in the place of the one that mediapipe brings.
if [ -n "${CONDA_PREFIX:-}" ] && [ -z "${PIP_TARGET:-}" ]; then
  python -m pip install --no-deps --force-reinstall opencv-contrib-python-headless==4.11.0.86
fi
