"""Masks of the photographs that scikit-image bundles, from hand-drawn outlines and disparities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.classes import VOC_CLASSES, VOID
from vocsmooth.sources.photographs import bundled_folder

Pixels = NDArray[np.uint8]

Outline = Sequence[tuple[int, int]]

_BAND = 6  # how far an outline drawn by hand may be off, in pixels of the source

_ASTRONAUT = (
    (20, 512), (25, 460), (19, 400), (25, 350), (37, 305), (45, 270), (60, 245), (90, 225),
    (112, 210), (115, 185), (126, 165), (140, 152), (170, 148), (185, 150), (182, 133), (177, 125),
    (160, 112), (154, 95), (153, 73), (160, 52), (180, 40), (195, 26), (215, 17), (235, 15),
    (265, 22), (285, 40), (298, 65), (301, 88), (296, 110), (285, 125), (272, 134), (265, 140),
    (258, 165), (256, 175), (270, 182), (290, 207), (303, 233), (325, 247), (340, 260), (350, 290),
    (358, 320), (362, 348), (340, 354), (315, 370), (295, 395), (283, 425), (277, 460), (277, 512),
)  # fmt: skip

_CAMERAMAN = (
    (0, 256), (12, 243), (25, 228), (45, 194), (75, 146), (105, 130), (130, 125), (150, 107),
    (160, 105), (166, 87), (180, 71), (200, 66), (225, 68), (250, 83), (266, 102), (271, 115),
    (268, 126), (258, 135), (251, 143), (254, 165), (247, 178), (241, 189), (240, 200), (244, 215),
    (248, 244), (262, 236), (263, 214), (272, 208), (286, 208), (287, 246), (277, 246), (287, 262),
    (288, 284), (268, 300), (245, 312), (228, 307), (206, 295), (190, 318), (170, 345), (141, 380),
    (149, 420), (151, 512), (139, 512), (128, 486), (113, 466), (99, 447), (95, 480), (90, 512),
    (0, 512),
)  # fmt: skip

_CAMERAMAN_GLOVE = (
    (306, 184), (318, 180), (322, 169), (329, 172), (331, 195), (320, 213), (306, 229), (297, 232),
    (298, 208), (290, 206), (296, 190),
)  # fmt: skip

_CAT = (
    (0, 135), (25, 130), (35, 100), (33, 60), (40, 0), (398, 0), (385, 30), (372, 58), (352, 78),
    (362, 105), (361, 140), (350, 172), (330, 200), (313, 226), (316, 245), (312, 265), (298, 275),
    (280, 281), (262, 290), (250, 300), (0, 300),
)  # fmt: skip

_CAT_UNCLEAR = (
    (313, 228), (330, 202), (372, 212), (390, 250), (385, 300), (250, 300), (280, 281), (312, 265),
)  # fmt: skip

_CUP_AND_SAUCER = (
    (77, 210), (82, 170), (98, 135), (125, 103), (155, 80), (178, 71), (190, 50), (205, 37),
    (235, 23), (283, 18), (330, 23), (365, 38), (388, 58), (398, 68), (410, 66), (424, 74),
    (419, 105), (435, 118), (453, 140), (467, 165), (475, 188), (479, 210), (480, 233), (476, 260),
    (465, 300), (445, 326), (415, 352), (375, 373), (330, 384), (285, 388), (235, 382), (185, 365),
    (140, 338), (105, 300), (85, 260),
)  # fmt: skip

_BEYOND_TABLE = ((0, 0), (156, 0), (100, 40), (50, 75), (0, 107))

_WHEEL_ON_FLOOR = (
    (545, 395), (560, 415), (582, 433), (612, 448), (642, 451), (664, 441), (672, 425), (600, 400),
)  # fmt: skip

_STAND = ((327, 372), (341, 372), (337, 412), (339, 432), (326, 433), (330, 412))


def make_mask(source: str, image: Pixels) -> Pixels:
    """Return the class mask of a bundled photograph.

    Parameters
    ----------
    source : str
        Its file name in `vocsmooth.sources.photographs.bundled_folder`; a key of `_MASKS`.
    image : ndarray, (H, W, 3) uint8
        The whole photograph.

    Returns
    -------
    ndarray, (H, W) uint8
        VOC classes, 255 void, without a rim around objects.
    """
    return _MASKS[source](image)


def _class(name: str) -> np.uint8:
    """Return the index of a class."""
    return np.uint8(VOC_CLASSES.index(name))


def _fill(shape: tuple[int, ...], outline: Outline) -> Pixels:
    """Return 1 inside an outline, else 0."""
    filled = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(filled, [np.array(outline, np.int32)], 1)
    return filled


def _snap(image: Pixels, outline: Outline) -> Pixels:
    """Fill an outline after moving it to the strongest edge nearby: watershed within `_BAND`."""
    filled = cv2.copyMakeBorder(_fill(image.shape, outline), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    padded = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # its frame gets no basin
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BAND + 1, 2 * _BAND + 1))
    markers = np.zeros(filled.shape, np.int32)
    markers[cv2.erode(filled, window) > 0] = 1
    markers[cv2.dilate(filled, window) == 0] = 2
    flooded = cv2.watershed(cv2.GaussianBlur(padded, (0, 0), 1), markers)[1:-1, 1:-1]
    return np.asarray(cv2.medianBlur((flooded == 1).astype(np.uint8), 5), np.uint8)


def _mask_astronaut(image: Pixels) -> Pixels:
    """Mark the person; the helmet in her hands is background."""
    return _snap(image, _ASTRONAUT) * _class("person")


def _mask_cameraman(image: Pixels) -> Pixels:
    """Mark the person up to the tripod, and the glove behind it."""
    person = _snap(image, _CAMERAMAN) | _fill(image.shape, _CAMERAMAN_GLOVE)
    return person * _class("person")


def _mask_cat(image: Pixels) -> Pixels:
    """Mark the cat; what is out of focus behind its chin is void."""
    cat = _snap(image, _CAT) * _class("cat")
    unclear = (_fill(image.shape, _CAT_UNCLEAR) > 0) & (cat == 0)
    return np.where(unclear, np.uint8(VOID), cat)


def _mask_coffee(image: Pixels) -> Pixels:
    """Mark the table; cup, saucer and what lies beyond the table are background."""
    covered = _snap(image, _CUP_AND_SAUCER) | _snap(image, _BEYOND_TABLE)
    return (1 - covered) * _class("diningtable")


def _mask_nothing(image: Pixels) -> Pixels:
    """Mark nothing: the picture shows none of VOC's classes."""
    return np.zeros(image.shape[:2], np.uint8)


def _mask_motorbike_left(_: Pixels) -> Pixels:
    """Mark the motorbike of the left image by its disparity."""
    return _tidy(_motorbike(_read_disparity())) * _class("motorbike")


def _mask_motorbike_right(_: Pixels) -> Pixels:
    """Mark the motorbike of the right image: the left one's pixels moved by their disparity."""
    disparity = _read_disparity()
    left = _motorbike(disparity)
    rows, columns = np.nonzero(left & np.isfinite(disparity))
    targets = np.rint(columns - disparity[rows, columns]).astype(int)
    right = np.zeros_like(left)
    right[rows[targets >= 0], targets[targets >= 0]] = 1
    return _tidy(right) * _class("motorbike")


def _read_disparity() -> NDArray[np.float32]:
    """Read the (500, 741) disparities of the left image; infinite where unknown."""
    with np.load(bundled_folder() / "motorcycle_disp.npz") as file:
        disparity: NDArray[np.float32] = file["arr_0"]
    return disparity


def _motorbike(disparity: NDArray[np.float32]) -> Pixels:
    """Return 1 where the scene is in front of wall and bench and above the floor."""
    floor = 10.5 + 0.1787 * (np.arange(len(disparity))[:, None] - 230)  # fitted at both sides
    near = np.isfinite(disparity) & (disparity > np.maximum(floor + 1.7, 34))
    near[450:] = False
    contact = _fill(disparity.shape, _WHEEL_ON_FLOOR) | _fill(disparity.shape, _STAND)
    return np.asarray(near | (contact > 0), np.uint8)


def _tidy(mask: Pixels) -> Pixels:
    """Close cracks, remove specks and fill holes, including those of the wheels."""
    for step, size in ((cv2.MORPH_CLOSE, 9), (cv2.MORPH_OPEN, 5)):
        window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        mask = np.asarray(cv2.morphologyEx(mask, step, window), np.uint8)
    filled: Pixels = 1 - _drop_small(1 - _drop_small(mask, 150), 2500)
    return filled


def _drop_small(mask: Pixels, least: int) -> Pixels:
    """Remove connected parts of fewer than `least` pixels."""
    _, numbers, figures, _ = cv2.connectedComponentsWithStats(mask)
    large = figures[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    return np.asarray(large[numbers], np.uint8)


_MASKS: dict[str, Callable[[Pixels], Pixels]] = {
    "astronaut.png": _mask_astronaut,
    "camera.png": _mask_cameraman,
    "chelsea.png": _mask_cat,
    "coffee.png": _mask_coffee,
    "coins.png": _mask_nothing,
    "motorcycle_left.png": _mask_motorbike_left,
    "motorcycle_right.png": _mask_motorbike_right,
    "rocket.jpg": _mask_nothing,
}
