#!/bin/sh
# Compile gsplat's kernels now, some minutes, where a GPU is at hand; else the first fit does.
set -eu
export CUDA_HOME="${CONDA_PREFIX}"
python -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || exit 0
python -c 'from gsplat.cuda._backend import _C; assert _C is not None'
