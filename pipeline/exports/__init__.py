"""Files that other tools open: the avatar as PLY, the motion as AMASS npz, BVH and GLB. One module a format.

Each has a function `export(fitted, folder)`, which writes its files of a `fitted.Fitted` into an empty folder. The
stage takes those that stand in `FORMATS` of pipeline/stages/export.py.

Frames:
    PLY: OpenCV axes as everywhere here (x right, y down, z forward), which is what splat viewers take a PLY for.
        Posed files lie in the camera frame of their video frame; the canonical one faces the viewer at the origin.
    BVH, GLB: y up, metres in GLB and centimetres in BVH, the person looks along +z in the first frame.
    AMASS: z up, metres, the person looks along -y in the first frame.

The last three show one world, that of the pose file (docs/world.md): the ground is at 0, and the motion starts above
the origin.
"""
