"""Pictures for people: the motion over the video, the avatar turning, the avatar dancing, and stills."""
