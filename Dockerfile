# The workflow with all that its default configuration needs, on a CPU: docs/containers.md says how to run it.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
# Where torch comes from. Empty: from the package index, with CUDA's gigabytes.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY . /opt/humansplathmr
RUN TORCH_INDEX="${TORCH_INDEX}" sh /opt/humansplathmr/envs/container.sh
# Whoever runs it has no entry in /etc/passwd: no home, where Snakemake and matplotlib keep files, and no name.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp USER=user LANG=C.UTF-8
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["snakemake", "--snakefile", "/opt/humansplathmr/Snakefile"]
