#!/bin/sh
# Fills the root of an image: Python, what `make install` installs, in /opt/venv, and the compiled kernels.
# Runs as root in a Debian 12 with the repository in /opt/humansplathmr. The Dockerfile runs it; a chroot would do, too.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends ca-certificates make python3 python3-venv
cd /opt/humansplathmr
# Numba compiles anew where a source's time is not the one it saw. Layers of images keep whole seconds.
find pipeline -type f -exec touch --date=2000-01-01 {} +
make install PYTHON=python3 VENV=/opt/venv TORCH_INDEX="${TORCH_INDEX:-}"
# Numba reads its cache only where it could write, and the user of the image is not root.
find pipeline -name __pycache__ -exec chmod -R a+rwX {} +
rm -rf /var/lib/apt/lists/* /root/.cache
