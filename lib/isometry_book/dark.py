"""A figure's drawing for a dark page: light and dark change places, hues stay.

One map for every colour, so that curves, bands, words and pictures of one drawing still
belong together. What is dark on a white page becomes as light on a dark one; the
colours of methods become lighter ones of the same hue.
"""

import io
import re
from base64 import b64decode, b64encode

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.image import imread, imsave

from isometry_book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

PAGE, WORDS = 0.21, 0.95  # lightness of a dark page and of what is written on it
LIGHTEST, FALL = 0.9, 0.35  # of hues: black would have the first, white lose the second
HUE = 0.04  # chroma from which a colour is more than a grey
TINT = 0.87  # lightness from which it is a tint of the page
# The book's style sheet has three of these for its own drawings.
KNOWN = {
    "#ffffff": "#121212",  # the page
    BLUE: "#56b4e9",
    SKY: "#a9dcff",
    GREEN: "#3fc99b",
    ORANGE: "#f0b73f",
    VERMILION: "#ff8f4d",
    PURPLE: "#e0a3c6",
    GREY: "#d0d6dc",
}
KNOWN = {light.lower(): dark for light, dark in KNOWN.items()}
COLOUR = re.compile(r"(?<=[:\"\s])#[0-9a-fA-F]{6}\b")
PNG = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")

# Source: Ottosson, "A perceptual color space for image processing" (2020).
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def dark_rgb(rgb: np.ndarray) -> np.ndarray:
    """Return colours for a dark page.

    Args:
        rgb: ``(..., 3)``, each in [0, 1], as on a white page.

    Example:
        >>> bool(dark_rgb(np.ones(3)).max() < 0.15)
        True
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T
    light, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
    turned = WORDS - (WORDS - PAGE) * light
    hues = (chroma > HUE) & (light < TINT)
    lab[..., 0] = np.where(hues, LIGHTEST - FALL * light, turned)
    cones = (lab @ np.linalg.inv(_TO_LAB).T) ** 3
    linear = (cones @ np.linalg.inv(_TO_CONES).T).clip(0, 1)
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curved).clip(0, 1)


def dark_colour(colour: str) -> str:
    """Return a colour's place on a dark page.

    Args:
        colour: As ``#rrggbb``.

    Example:
        >>> dark_colour("#0072B2"), dark_colour("#ffffff")
        ('#56b4e9', '#121212')
    """
    known = KNOWN.get(colour.lower())
    return known or to_hex(tuple(dark_rgb(np.array(to_rgb(colour)))))


def dark_svg(svg: str) -> str:
    """Return a drawing of matplotlib's for a dark page.

    Args:
        svg: As on a white page; its pictures in PNG change with it.
    """
    turned = COLOUR.sub(lambda found: dark_colour(found[0]), svg)
    turned = PNG.sub(lambda found: _dark_png(found[1]), turned)
    # What has no colour of its own is black.
    return turned.replace("<svg ", f'<svg fill="{dark_colour("#000000")}" ', 1)


def _dark_png(code: str) -> str:
    """Return a picture in base64 as an address of its dark form."""
    pixels = imread(io.BytesIO(b64decode(code)))
    flat = np.round(pixels.reshape(-1, pixels.shape[-1]), 3)
    found, place = np.unique(flat, axis=0, return_inverse=True)
    turned = np.array([to_rgb(dark_colour(to_hex(one[:3]))) for one in found])
    found = np.concatenate([turned, found[:, 3:]], axis=1)
    file = io.BytesIO()
    imsave(file, found[place.ravel()].reshape(pixels.shape), format="png")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
