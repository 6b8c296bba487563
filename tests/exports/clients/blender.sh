#!/bin/sh
# bpy as if it were Blender: what stands before the script is Blender's own.
while [ "$1" != "--python" ]; do shift; done
shift
exec "$CLIENTS/bin/python" "$@"
