"""A better outline of the person in a frame: from the background plate, the detector's soft mask, and the picture.

Each pixel is asked two things. Where: how far inside or outside of the detector's outline it lies, with the errors that
this is known to have. What: whether its colour is the plate's, within the plate's noise, or that of the person beside
it. Both are log-odds and add up (the what counts less than its due, for neighbouring pixels err alike). Once there is
an avatar, its outline says where, too, and its colours what. Then the odds of a pixel's surroundings of like colour
count, too: a guided filter (He, Sun and Tang 2013, equations 14 to 16, for a colour guide) over the probabilities, as
in mean-field inference.

Where colour contradicts place strongly (something held, another person, a lost hand), where a patch is undecided (hair,
motion blur), and where it looks neither like the avatar there nor like the background (a ball before the body), nothing
is known of a pixel: no loss counts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.fit.plate import SHADE, Layer

f4 = np.float32
# Lengths are in px of a person of 400 px.
_TALL = 400.0
_DETECTOR = 2.0  # scale of the detector's logistic error, hands and hems that it loses counted in
_SUREST = 5.0  # log-odds of place far inside or outside of it
_COLOUR = 0.6  # what colour's log-odds count
_MOST_COLOUR = 5.0  # of these, whatever a pixel's colour is
_CORE = 4.0  # inside of the outline from which on a pixel shows the person for certain
_AROUND = 14.0  # over which the person's colours are like each other
_ANY = 0.5  # share of the person's colours that may be any
_PERSON_NOISE = 10.0  # of 255: no colour of the person is known better
_SHADED = 0.03  # how likely a shadow is
_ELSE = 0.15  # and that something stands before the background
# With the avatar: what place and colour count, its outline's error, and its colours around a pixel.
_AVATAR = 0.5  # share of its outline in what place says
_OUTLINE = 2.0  # as _DETECTOR
_DRAWN_COLOUR = 0.4  # as _COLOUR: place knows more now
_NEAR, _DRAWN_NOISE, _DRAWN_ANY = 4.0, 30.0, 0.4  # as _AROUND, _PERSON_NOISE, _ANY
_STRANGE, _MOSTLY = 0.02, 0.6  # a colour's density if neither explains it; share of such ones around of what is unknown
_FEW = 0.02  # share of a window that must show the person for certain
_FILTER, _FILTER_NOISE = 5.0, 0.02  # radius of the guided filter, and the contrast (of 1) that it takes for noise
_TOGETHER, _ROUNDS = 2.5, 2  # log-odds that the surroundings count, and how often they are asked
_EDGE, _EDGE_NOISE = 1.5, 0.01  # the same filter, for the soft edge
_FAR = 6.0  # from the outlines: from there on what colour says against place is something else
_CONTRARY = 1.0  # log-odds by colour, mean over the filter's window, that contradict
_UNDECIDED = 0.45  # of 4 p (1 - p), mean over the filter's window


@dataclass(frozen=True)
class Matte:
    """A frame's crop, told apart."""

    alpha: np.ndarray  # (h, w) uint8, 255 = person, soft edges
    sure: np.ndarray  # (h, w) uint8, 255 where alpha and colours are to be believed, 0 where nothing is known


@dataclass(frozen=True)
class Drawn:
    """A frame's crop as the avatar has it."""

    colour: np.ndarray  # (h, w, 3) float32 in [0, 1], over black
    alpha: np.ndarray  # (h, w) float32


def matte(
    image: np.ndarray,  # (h, w, 3) uint8
    mask: np.ndarray,  # (h, w) uint8
    plate: Layer,
    drawn: Drawn | None = None,
) -> Matte:
    """The person in a crop.

    Args:
        mask: the detector's, 255 = person. Empty: nobody is there, and nothing is changed.
        plate: the background of the crop.
        drawn: the avatar there, once there is one.
    """
    import cv2

    person = mask > 127
    rows = np.flatnonzero(person.any(1))
    if not len(rows):
        return Matte(mask, np.full_like(mask, 255))
    size = _size(rows)
    inside = _inside(person)
    place = np.clip(inside / (_DETECTOR * size), -_SUREST, _SUREST)
    pixels = image.astype(f4)
    behind, counts = _behind(pixels, plate), _COLOUR
    if drawn is None:
        core = (inside > _CORE * size).astype(f4)
        looks = _looks(pixels, pixels * core[..., None], core, _odd(_AROUND * size), _PERSON_NOISE)
        own, strange = _ANY * looks + (1 - _ANY), np.zeros_like(core)
    else:
        also, counts = _inside(drawn.alpha > 0.5), _DRAWN_COLOUR
        place = (1 - _AVATAR) * place + _AVATAR * np.clip(also / (_OUTLINE * size), -_SUREST, _SUREST)
        inside = 0.5 * (inside + also)
        looks = _looks(pixels, 255 * drawn.colour, drawn.alpha, _odd(_NEAR * size), _DRAWN_NOISE)
        own, strange = (1 - _DRAWN_ANY) * looks + _DRAWN_ANY, ((looks < _STRANGE) & (behind < _STRANGE)).astype(f4)
    told = np.clip(np.log(own / (_ELSE + (1 - _ELSE) * behind)), -_MOST_COLOUR, _MOST_COLOUR)
    odds = place + counts * told

    guide = Guide(pixels / 255, max(2, round(_FILTER * size)), _FILTER_NOISE)
    alone = odds
    for _ in range(_ROUNDS):
        odds = alone + _TOGETHER * (2 * guide(_share(odds)) - 1)
    share = _share(odds)

    window = (_odd(_FILTER * size),) * 2
    around = cv2.blur(told, window)
    contradicted = ((inside < -_FAR * size) & (around > _CONTRARY)) | ((inside > _FAR * size) & (around < -_CONTRARY))
    undecided = cv2.blur(4 * share * (1 - share), window) > _UNDECIDED
    foreign = (cv2.blur(strange, window) > _MOSTLY) & ((drawn.alpha if drawn else share) > 0.5)
    unknown = cv2.dilate((contradicted | undecided | foreign).astype(np.uint8), np.ones((3, 3), np.uint8))
    soft = Guide(pixels / 255, max(1, round(_EDGE * size)), _EDGE_NOISE)(share)
    alpha = np.clip(2 * soft - 0.5, 0, 1)
    return Matte(np.rint(255 * alpha).astype(np.uint8), 255 * (1 - unknown))


def _size(rows: np.ndarray) -> float:
    """Px of a length, given the rows in which the person is."""
    return max(0.25, (rows[-1] + 1 - rows[0]) / _TALL)


def _behind(pixels: np.ndarray, plate: Layer) -> np.ndarray:
    """(h, w) density of colours (h, w, 3) of 255 if the background is seen. A shadow leaves less light of it."""
    sigma = plate.sigma
    light = np.clip(_dot(pixels, plate.colour) / np.maximum(_dot(plate.colour, plate.colour), 1), SHADE, 1)
    return np.maximum(
        _density(_apart(pixels, plate.colour), sigma),
        _SHADED * _density(_apart(pixels, light[..., None] * plate.colour), sigma),
    )


def _looks(
    pixels: np.ndarray,  # (h, w, 3) of 255
    seen: np.ndarray,  # (h, w, 3) of 255, times `share`
    share: np.ndarray,  # (h, w) how much of a pixel is the person
    window: int,
    noise: float,
) -> np.ndarray:
    """(h, w) density of colours if they are the person's: a normal distribution of those around. 0 where there are few.

    Densities are over colours in [0, 1].
    """
    import cv2

    squares = _dot(seen, seen) / np.maximum(share, f4(1e-3))
    means = cv2.boxFilter(np.dstack([seen, squares, share]), -1, (window, window))
    count = np.maximum(means[..., 4], _FEW)
    mean = means[..., :3] / count[..., None]
    variance = np.maximum(means[..., 3] / count - _dot(mean, mean), 0) / 3
    return _density(_apart(pixels, mean), np.sqrt(variance + f4(noise**2))) * (means[..., 4] > _FEW)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # (h, w, 3) each -> (h, w)
    return np.einsum("ijk,ijk->ij", a, b)


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # (h, w, 3) each -> (h, w)
    """Squared distances."""
    difference = a - b
    return _dot(difference, difference)


def _density(squared: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Of colours, in [0, 1] a channel, at a squared distance; that and sigma of 255."""
    return np.exp(-0.5 * squared / sigma**2) * (f4(255 / np.sqrt(2 * np.pi)) / sigma) ** 3


def _inside(region: np.ndarray) -> np.ndarray:
    """(h, w) px from the outline of a region, positive inside; beyond the crop it goes on as at its border."""
    import cv2

    padded = np.pad(region.astype(np.uint8), 1, mode="edge")
    far = [cv2.distanceTransform(each, cv2.DIST_L2, 5)[1:-1, 1:-1] for each in (padded, 1 - padded)]
    return np.where(region, far[0] - 0.5, 0.5 - far[1]).astype(f4)


def _share(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))


def _odd(length: float) -> int:
    return 2 * max(1, round(length)) + 1


class Guide:
    """A guided filter by a colour image: a call smooths a map where the image is smooth, and keeps its edges."""

    def __init__(self, image: np.ndarray, radius: int, noise: float) -> None:
        """
        Args:
            image: (h, w, 3) float32 in [0, 1].
            radius: of the windows, px.
            noise: standard deviation of colours that is no edge.
        """
        import cv2

        self._image, self._window = image, (2 * radius + 1,) * 2
        self._mean = self._box(image)
        red, green, blue = (image[..., channel] for channel in range(3))
        products = (red * red, red * green, red * blue, green * green, green * blue, blue * blue)
        r, g, b = (self._mean[..., channel] for channel in range(3))
        means = (r * r, r * g, r * b, g * g, g * b, b * b)
        xx, xy, xz, yy, yz, zz = cv2.split(self._box(cv2.merge(products)) - cv2.merge(means))
        xx, yy, zz = xx + noise**2, yy + noise**2, zz + noise**2
        # The inverse of the symmetric matrix, by its cofactors.
        first = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
        rest = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
        scale = 1 / (xx * first[0] + xy * first[1] + xz * first[2])
        self._inverse = [cofactor * scale for cofactor in first + rest]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The map (h, w), smoothed."""
        import cv2

        values = values.astype(f4, copy=False)
        *sums, mean = cv2.split(self._box(cv2.merge([*cv2.split(self._image * values[..., None]), values])))
        r, g, b = cv2.split(self._mean)
        x, y, z = sums[0] - r * mean, sums[1] - g * mean, sums[2] - b * mean
        xx, xy, xz, yy, yz, zz = self._inverse
        slopes = xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z
        constant = mean - slopes[0] * r - slopes[1] * g - slopes[2] * b
        *slopes, constant = cv2.split(self._box(cv2.merge([*slopes, constant])))
        red, green, blue = cv2.split(self._image)
        return slopes[0] * red + slopes[1] * green + slopes[2] * blue + constant

    def _box(self, layers: np.ndarray) -> np.ndarray:
        import cv2

        return cv2.boxFilter(layers, -1, self._window, borderType=cv2.BORDER_REFLECT)
