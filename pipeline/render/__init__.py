"""Pictures for people: the motion over the video, the avatar turning, the avatar dancing, and stills.

No figure comes from here (evaluation/), and no file for other tools (exports/).
"""
