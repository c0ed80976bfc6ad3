"""Box-cut: the object in a box, by GrabCut.

Rother, Kolmogorov and Blake, "GrabCut: interactive foreground extraction using iterated graph cuts", SIGGRAPH 2004.
Colours of object and background are two mixtures of K Gaussians. Each round, pixels are assigned to components and the
components are fitted; then the labels a (1: object) minimise

    E(a) = sum_p -log p(z_p | a_p) + 50 sum_(p, q) [a_p != a_q] / |p - q| * exp(-b |z_p - z_q|^2)

over pixels p and their 8 neighbours q, with b = 1 / (2 <|z_p - z_q|^2>), by a minimum cut. Pixels outside of the box
are background, and so are those around a click that takes away; those around a click that adds are object. The maximum
flow is SciPy's, in whole numbers; no random number is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import label as connected
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from foveate.studio.gaussian import energy
from foveate.studio.layers import Box

COMPONENTS, ROUNDS, SMOOTHNESS = 5, 4, 50.0
MOST_PIXELS = 24_000  # of the box and its margin, in the rounds
MARGIN = 0.15  # of the box's longer side, around it: background that is seen
CLICK_RADIUS = 2  # pixels around a click that have its side, at the reduced size
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
_WHOLE = 256  # units of capacity of an energy of 1
_SURE = 1e6


def cut(
    pixels: np.ndarray, box: Box, add: Sequence[tuple[int, int]] = (), remove: Sequence[tuple[int, int]] = ()
) -> np.ndarray:
    """The object's pixels, (H, W) bool; only inside of the box.

    pixels: (H, W, 3) uint8. add, remove: clicks (x, y) on the object and on the background.
    """
    height, width = pixels.shape[:2]
    top, left, bottom, right = box
    margin = max(3, round(MARGIN * max(bottom - top, right - left)))
    y0, x0, y1, x1 = (
        max(0, top - margin),
        max(0, left - margin),
        min(height, bottom + margin),
        min(width, right + margin),
    )
    scale = min(1.0, (MOST_PIXELS / ((y1 - y0) * (x1 - x0))) ** 0.5)
    size = max(3, round((y1 - y0) * scale)), max(3, round((x1 - x0) * scale))
    image = Image.fromarray(pixels[y0:y1, x0:x1])
    if size != (y1 - y0, x1 - x0):
        image = image.resize((size[1], size[0]), Image.Resampling.BOX)
    colors = np.asarray(image, np.float64)
    down, across = size[0] / (y1 - y0), size[1] / (x1 - x0)
    fixed = np.full(size, -1, np.int8)  # 0 background, 1 object, -1 to be found
    rows, columns = (np.arange(size[0]) + 0.5) / down + y0, (np.arange(size[1]) + 0.5) / across + x0
    inside = ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))[None]
    fixed[~inside] = 0
    for clicks, side in ((add, 1), (remove, 0)):
        for x, y in clicks:
            near = ((np.arange(size[0]) - (y + 0.5 - y0) * down + 0.5) ** 2)[:, None]
            near = near + ((np.arange(size[1]) - (x + 0.5 - x0) * across + 0.5) ** 2)[None]
            fixed[(near <= CLICK_RADIUS**2) & inside] = side
    margins = _separate(colors, fixed)
    found = np.zeros((height, width), bool)
    found[y0:y1, x0:x1] = _enlarged(margins, (y1 - y0, x1 - x0))
    found[:top] = found[bottom:] = False
    found[:, :left] = found[:, right:] = False
    for clicks, side in ((add, True), (remove, False)):
        for x, y in clicks:
            if top <= y < bottom and left <= x < right:
                found[y, x] = side
    return _without_specks(found, add)


def _separate(colors: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """(h, w) bool object pixels, after the rounds."""
    flat = colors.reshape(-1, 3)
    labels = (fixed != 0).reshape(-1)
    links = _links(colors)
    for _ in range(ROUNDS):
        if labels.all() or not labels.any():
            break
        energies = [_energy(flat, flat[labels == side]) for side in (False, True)]
        after = _minimum_cut(energies[0], energies[1], links, fixed.reshape(-1))
        if (after == labels).all():
            break
        labels = after
    return labels.reshape(fixed.shape)


def _energy(colors: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """-log of the density (N,) of colours under a mixture fitted to a sample: the cheapest component counts."""
    assigned = _components(sample)
    energies = []
    for component in range(assigned.max() + 1):
        own = sample[assigned == component]
        if not len(own):
            continue
        energies.append(energy(colors, own, np.ones(3)) - np.log(len(own) / len(sample)))
    return np.min(energies, axis=0)


def _components(sample: np.ndarray) -> np.ndarray:
    """Assign colours to components: split the widest along its main axis, at the mean (Orchard and Bouman 1991)."""
    assigned = np.zeros(len(sample), np.intp)
    for new in range(1, min(COMPONENTS, len(sample))):
        widest, spread, axis = 0, 0.0, np.zeros(3)
        for component in range(new):
            own = sample[assigned == component]
            if len(own) > 1:
                values, vectors = np.linalg.eigh(np.cov(own.T, bias=True) * len(own))
                if values[-1] > spread:
                    widest, spread, axis = component, values[-1], vectors[:, -1]
        if spread <= 0:
            break
        own = assigned == widest
        along = sample @ axis
        assigned[own & (along > along[own].mean())] = new
    return assigned


def _links(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(from, to, weight) of each pair of neighbours, by the place of a pixel."""
    height, width = colors.shape[:2]
    places = np.arange(height * width).reshape(height, width)
    begins, ends, squares, lengths = [], [], [], []
    for down, across in _STEPS:
        first = (slice(0, height - down), slice(max(0, -across), width - max(0, across)))
        second = (slice(down, height), slice(max(0, across), width - max(0, -across)))
        begins.append(places[first].reshape(-1))
        ends.append(places[second].reshape(-1))
        squares.append(((colors[first] - colors[second]) ** 2).sum(2).reshape(-1))
        lengths.append(np.full(len(begins[-1]), np.hypot(down, across)))
    square, length = np.concatenate(squares), np.concatenate(lengths)
    sharpness = 1.0 / max(2.0 * square.mean(), 1e-9)
    return np.concatenate(begins), np.concatenate(ends), SMOOTHNESS / length * np.exp(-sharpness * square)


def _minimum_cut(
    background: np.ndarray, foreground: np.ndarray, links: tuple[np.ndarray, np.ndarray, np.ndarray], fixed: np.ndarray
) -> np.ndarray:
    """The labels (N,) bool of least energy; True for the object, which is the side of the source."""
    count = len(fixed)
    source, sink = count, count + 1
    # An object pixel cuts its link to the sink, of its energy as object, and a background pixel that from the source.
    excess = background - foreground
    from_source = np.where(fixed == 1, _SURE, np.where(fixed == 0, 0.0, np.maximum(excess, 0)))
    to_sink = np.where(fixed == 0, _SURE, np.where(fixed == 1, 0.0, np.maximum(-excess, 0)))
    begins, ends, weights = links
    places = np.arange(count)
    rows = np.concatenate([begins, ends, np.full(count, source), places])
    columns = np.concatenate([ends, begins, places, np.full(count, sink)])
    capacities = np.concatenate([weights, weights, from_source, to_sink])
    whole = np.rint(capacities * _WHOLE).astype(np.int32)
    kept = whole > 0
    graph = csr_array(coo_array((whole[kept], (rows[kept], columns[kept])), shape=(count + 2, count + 2)))
    flow = maximum_flow(graph, source, sink).flow
    rest = csr_array(graph - flow)
    rest.data = np.maximum(rest.data, 0)
    rest.eliminate_zeros()
    reached = breadth_first_order(rest, source, return_predecessors=False)
    labels = np.zeros(count + 2, bool)
    labels[reached] = True
    return labels[:count]


def _enlarged(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels at another size; borders are those of the interpolated labels at one half."""
    if labels.shape == size:
        return labels
    image = Image.fromarray(labels.astype(np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC)) > 0.5


def _without_specks(found: np.ndarray, add: Sequence[tuple[int, int]]) -> np.ndarray:
    """Without parts below a fiftieth of the largest, unless a click is on them."""
    parts, count = connected(found, np.ones((3, 3)))
    if count < 2:
        return found
    sizes = np.bincount(parts.reshape(-1))
    sizes[0] = 0
    kept = sizes * 50 >= sizes.max()
    for x, y in add:
        kept[parts[y, x]] = True
    kept[0] = False
    return kept[parts]
