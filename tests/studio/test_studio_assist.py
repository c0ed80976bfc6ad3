"""Box-cut, scribble-fill and the image pyramid."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.stats import multivariate_normal
from skimage.color import rgb2lab
from skimage.graph import MCP_Geometric

from foveate.errors import DataError
from foveate.studio import cut as box_cut
from foveate.studio.cut import cut
from foveate.studio.fill import (
    FLAT,
    LEAST,
    LIKELIHOOD,
    NEAR,
    RADIUS,
    SPREAD,
    VARIANCE,
    Scribble,
    _distances,
    contrast,
    fill,
    likelihoods,
)
from foveate.studio.folder import Folder
from foveate.studio.gaussian import energy
from foveate.studio.guided import guided
from foveate.studio.pyramid import Pyramid, levels, shown


def scene(height=60, width=80, seed=0, noise=12.0):
    """A disc of one colour with texture, on a ground of another."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:height, :width]
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 <= 15**2
    image = np.where(disc[..., None], (200, 60, 40), (40, 90, 160)) + rng.normal(0, noise, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8), disc


# Box-cut


def test_the_object_in_a_box_is_found():
    image, disc = scene()
    found = cut(image, (10, 18, 52, 64))
    assert (found & disc).sum() / (found | disc).sum() > 0.97
    assert not found[:10].any() and not found[:, 64:].any()
    assert np.array_equal(cut(image, (10, 18, 52, 64)), found), "no random number is drawn"


def test_a_large_picture_is_cut_at_a_reduced_size():
    image, disc = scene()
    large, true = np.kron(image, np.ones((8, 8, 1), np.uint8)), np.kron(disc, np.ones((8, 8), bool))
    found = cut(large, (80, 144, 416, 512))
    assert found.shape == true.shape and (found & true).sum() / (found | true).sum() > 0.95


def test_clicks_add_and_take_away():
    image, _ = scene()
    image[25:35, 35:45] = (40, 90, 160)  # a hole in the colour of the ground
    box = (10, 18, 52, 64)
    assert cut(image, box)[30, 40]
    without = cut(image, box, remove=[(40, 30)])
    assert not without[27:33, 37:43].any() and without[30, 30] and without[20, 40]
    image[44:50, 20:28] = (200, 60, 40)  # a part of the object's colour that lies apart
    assert cut(image, box, add=[(23, 46)])[46, 23]


def test_a_minimum_cut_has_the_least_energy_of_all_labels():
    """Against all 512 labels of 9 pixels."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        colors = rng.integers(0, 255, (3, 3, 3)).astype(float)
        begins, ends, weights = links = box_cut._links(colors)
        background, foreground = rng.normal(0, 20, (2, 9))
        fixed = np.full(9, -1, np.int8)
        fixed[0], fixed[8] = 0, 1

        def energy(labels, background=background, foreground=foreground, begins=begins, ends=ends, weights=weights):
            return np.where(labels, foreground, background).sum() + weights[labels[begins] != labels[ends]].sum()

        every = [np.array(bits, bool) for bits in itertools.product((False, True), repeat=9)]
        best = min(energy(one) for one in every if not one[0] and one[8])
        found = box_cut._minimum_cut(background, foreground, links, fixed)
        assert not found[0] and found[8]
        assert energy(found) == pytest.approx(best, abs=0.2)  # capacities are whole numbers of 1/256


def test_links_are_the_eight_neighbours_with_the_weights_of_the_paper():
    colors = np.zeros((3, 4, 3))
    colors[:, 2:] = 100
    begins, ends, weights = box_cut._links(colors)
    assert len(begins) == 3 * 3 + 2 * 4 + 2 * 2 * 3
    squares = np.array(
        [((colors.reshape(-1, 3)[a] - colors.reshape(-1, 3)[b]) ** 2).sum() for a, b in zip(begins, ends, strict=True)]
    )
    by_pair = dict(zip(zip(begins.tolist(), ends.tolist(), strict=True), weights, strict=True))
    assert by_pair[0, 1] == pytest.approx(50.0) and by_pair[0, 5] == pytest.approx(50 / 2**0.5)
    assert by_pair[1, 2] == pytest.approx(50 * np.exp(-30_000 / (2 * squares.mean())))


def test_pixels_that_a_click_fixed_keep_their_side():
    image, _ = scene()
    found = cut(image, (10, 18, 52, 64), add=[(20, 12)], remove=[(40, 30)])
    assert found[12, 20] and not found[30, 40]


# Scribble-fill


def fitted(plane, image, radius, variance):
    """The guided filter by its definition: ridge regression in each window, and the mean of the fits at each pixel."""
    size = plane.shape

    def windows(values):
        padded = np.pad(values, [(radius, radius)] * 2 + [(0, 0)], "edge")
        side = 2 * radius + 1
        return {
            (y, x): padded[y : y + side, x : x + side].reshape(side**2, -1)
            for y, x in itertools.product(*map(range, size))
        }

    colors, targets = windows(image), windows(plane[..., None])
    fits = np.empty((*size, 4))
    for place, color in colors.items():
        count = len(color)
        rows = np.block([[color, np.ones((count, 1))], [np.eye(3) * (variance * count) ** 0.5, np.zeros((3, 1))]])
        fits[place] = np.linalg.lstsq(rows, np.append(targets[place], [0, 0, 0]), rcond=None)[0]
    mean = np.stack([one.mean(0) for one in windows(fits).values()]).reshape(fits.shape)
    return (mean[..., :3] * image).sum(2) + mean[..., 3]


def test_the_guided_filter_fits_planes_in_windows():
    rng = np.random.default_rng(0)
    image, planes = rng.random((9, 11, 3)), rng.random((2, 9, 11))
    for radius, variance in ((1, 0.01), (3, 0.2)):
        for found, plane in zip(guided(planes, image, radius, variance), planes, strict=True):
            assert np.allclose(found, fitted(plane, image, radius, variance))
    weights = planes / planes.sum(0)
    assert np.allclose(sum(guided(weights, image, 2, 0.01)), 1.0), "shares stay shares"
    linear = image @ (0.2, 0.5, -0.3) + 0.1
    (found,) = guided(linear[None], image, 2, 1e-9)
    assert np.allclose(found, linear, atol=1e-4)
    (found,) = guided(planes[:1], np.full((9, 11, 3), 0.5), 1, 0.01)
    means = np.array([[planes[0, y - 1 : y + 2, x - 1 : x + 2].mean() for x in (3, 4, 5)] for y in (3, 4, 5)])
    assert found[4, 4] == pytest.approx(means.mean()), "on a flat image the mean of the means"


def test_each_pixel_takes_the_scribble_of_the_greatest_share():
    """Against Dijkstra's distances on the graph of 8 neighbours, where a step costs its length times the mean cost,
    SciPy's densities, and regressions in windows."""
    rng = np.random.default_rng(0)
    image = (rng.random((12, 15, 3)) * 255).astype(np.uint8)
    scribbles = [
        Scribble(3, [(1, 1)], 1),
        Scribble(8, [(13, 2), (13, 9)], 1),
        Scribble(5, [(2, 10)], 1),
        Scribble(3, [(7, 6), (7, 8)], 1),
    ]
    found = fill(image, scribbles, (0, 0, 12, 15))
    costs = contrast(image / 255.0) ** 2 + FLAT
    places = np.arange(180).reshape(12, 15)
    rows, columns, steps = [], [], []
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for y, x in itertools.product(range(12), range(15)):
            if y + down < 12 and 0 <= x + across < 15:
                rows.append(places[y, x])
                columns.append(places[y + down, x + across])
                steps.append((costs[y, x] + costs[y + down, x + across]) / 2 * np.hypot(down, across))
    graph = coo_array((steps, (rows, columns)), shape=(180, 180)).tocsr()
    seeds = {
        3: [[places[1, 1]], places[6:9, 7].tolist()],
        8: [places[2:10, 13].tolist()],
        5: [[places[10, 2]]],
    }
    distances = np.stack(
        [dijkstra(graph, directed=False, indices=np.concatenate(one)).min(0) for one in seeds.values()]
    )
    values = np.array([[*rgb2lab(image)[y, x] / 100, y / 15, x / 15] for y in range(12) for x in range(15)])

    def density(own):
        covariance = np.cov(values[own].T, bias=True) + np.diag(SPREAD) ** 2
        return multivariate_normal(values[own].mean(0), covariance).pdf(values)

    likely = np.stack([np.max([density(own) for own in one], 0) for one in seeds.values()])
    weights = np.maximum(likely / likely.sum(0), LEAST) ** LIKELIHOOD / (distances + NEAR) ** 2
    planes = (weights / weights.sum(0)).reshape(3, 12, 15)
    shares = np.stack([fitted(plane, image / 255.0, RADIUS, VARIANCE) for plane in planes])
    numbers = np.array(list(seeds))
    expected = numbers[shares.argmax(0)]
    for number, own in seeds.items():
        expected.reshape(-1)[np.concatenate(own)] = number
    assert np.array_equal(found, expected)
    assert not np.array_equal(found.reshape(-1), numbers[distances.argmin(0)]), "distances alone do not decide"


def test_distances_begin_at_the_whole_of_a_scribble():
    costs = np.random.default_rng(0).random((20, 30)) + 0.01
    seed = np.zeros((20, 30), bool)
    seed[:8, :9] = seed[12:, 20:25] = seed[15, 3] = True
    expected, _ = MCP_Geometric(costs).find_costs(np.argwhere(seed))
    assert np.allclose(_distances(costs, seed), expected)


def test_the_share_of_a_likelihood_by_hand():
    """On one grey, 100 pixels wide, only places differ: deviations are 0.15 of the width, so 15 pixels."""
    drawn = np.zeros((10, 100), np.int32)
    drawn[5, 20], drawn[5, 70] = 1, 2
    shares = likelihoods(np.full((10, 100, 3), 0.5), drawn, [np.array([1]), np.array([2])])
    assert shares.shape == (2, 10, 100) and np.allclose(shares.sum(0), 1.0)
    # at column 35: 1 and 7/3 deviations away: 1 / (1 + exp((1 - 49/9) / 2)) = 1 / (1 + exp(-20/9))
    assert shares[0, 5, 35] == pytest.approx(0.90223, abs=1e-5)
    assert shares[0, 5, 45] == pytest.approx(0.5) and shares[1, 5, 35] == pytest.approx(0.09777, abs=1e-5)


def test_the_energy_of_a_gaussian_by_hand():
    """Sample 0 and 2: mean 1, variance 1, and 3 added: (5 - 1)^2 / 4 / 2 + log(4) / 2."""
    found = energy(np.array([[1.0], [5.0]]), np.array([[0.0], [2.0]]), np.array([3.0]))
    assert found == pytest.approx([np.log(4) / 2, 2 + np.log(4) / 2])


def test_of_two_scribbles_about_as_near_the_one_of_the_pixels_color_wins():
    """A red patch on grey, between blue and red: the same strong edges lead to it, and blue is nearer by a step."""
    image = np.full((40, 90, 3), 130, np.uint8)
    image[:, :30], image[:, 60:] = (40, 130, 220), (220, 130, 40)
    image[15:25, 41:48] = (220, 130, 40)
    lines = [Scribble(1, [(15, 2), (15, 37)], 3), Scribble(2, [(75, 2), (75, 37)], 3)]
    found = fill(image, lines, (0, 0, 40, 90))
    assert (found[15:25, 41:48] == 2).all() and (found[:, :30] == 1).all() and (found[:, 60:] == 2).all()
    image[15:25, 41:48] = (40, 130, 220)
    found = fill(image[:, ::-1], [Scribble(2, [(14, 20)], 3), Scribble(1, [(74, 20)], 3)], (0, 0, 40, 90))
    assert (found[15:25, 42:49] == 1).all(), "also from the other side"


def test_a_color_reaches_over_a_distance_that_is_twice_as_long_but_not_over_one_of_three_times():
    """The last region is beyond one edge from the white scribble, beyond two from the dark one that it looks like."""
    assert np.isclose(LEAST ** (-LIKELIHOOD / 2), 2.5, atol=0.02)
    lines = [Scribble(1, [(45, 10)], 1), Scribble(2, [(70, 10)], 1), Scribble(3, [(5, 10)], 1)]
    for dark, number in ((0, 1), (80, 2)):  # (1 + c^2) / c^2 times as far, c the contrast of the last edge: 2 and 3.1
        image = np.full((20, 90, 3), 255, np.uint8)
        image[:, 30:60], image[:, 80:] = 0, dark
        found = fill(image, lines, (0, 0, 20, 90))
        assert (found[:, 80:] == number).all() and (found[:, 60:80] == 2).all() and (found[:, 30:60] == 1).all()


def test_a_mirrored_image_is_filled_alike():
    image, _ = scene()
    lines = [Scribble(2, [(35, 30), (45, 31)], 1), Scribble(1, [(5, 5), (70, 8)], 1), Scribble(7, [(9, 50)], 1)]
    mirrored = [Scribble(one.number, [(79 - x, y) for x, y in one.points], one.width) for one in lines]
    found = fill(image, lines, (0, 0, 60, 80))
    other = fill(np.ascontiguousarray(image[:, ::-1]), mirrored, (0, 0, 60, 80))
    assert (found == other[:, ::-1]).mean() > 0.995 and set(np.unique(found)) == {1, 2, 7}


def test_fill_follows_the_borders_of_the_image():
    image, disc = scene(noise=1.0)
    found = fill(
        image, [Scribble(2, [(35, 30), (45, 30)], 3), Scribble(1, [(5, 5), (75, 5), (75, 55)], 3)], (0, 0, 60, 80)
    )
    assert ((found == 2) == disc).mean() > 0.98


def test_scribbles_keep_their_own_pixels_at_any_size():
    image = np.zeros((700, 900, 3), np.uint8)
    image[:, 450:] = 255
    found = fill(image, [Scribble(1, [(100, 100), (800, 600)], 9), Scribble(2, [(800, 50)], 1)], (0, 0, 700, 900))
    assert found[600, 800] == 1 and found[100, 100] == 1 and found[50, 800] == 2
    assert (found[:300, 480:550] == 2).all() or (found[:100, 700:] == 2).all()


def test_only_the_box_is_filled():
    image, _ = scene()
    found = fill(image, [Scribble(1, [(22, 12)], 1), Scribble(2, [(60, 50)], 1)], (10, 20, 55, 70))
    assert found.shape == (45, 50) and set(np.unique(found)) == {1, 2}
    with pytest.raises(DataError, match="1 of the scribbles' numbers lies in the box; draw at least two there"):
        fill(image, [Scribble(1, [(22, 12)], 1), Scribble(2, [(79, 59)], 1)], (10, 20, 55, 70))


# Tiles of images


def test_tiles_put_together_are_the_image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 520, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = next(iter(Folder(tmp_path).pictures.values()))
    pyramid, rows = Pyramid(), []
    (full, half, quarter) = levels(300, 520)
    assert (full.rows, full.columns, half.height, half.width, quarter.level) == (2, 3, 150, 260, 2)
    for y in range(2):
        tiles = [np.asarray(Image.open(io.BytesIO(pyramid.tile(picture, 0, x, y)[0]))) for x in range(3)]
        rows.append(np.concatenate(tiles, 1))
    assert np.array_equal(np.concatenate(rows), pixels)
    content, media_type = pyramid.tile(picture, 1, 0, 0)
    small = np.asarray(Image.open(io.BytesIO(content)), int)
    mean = pixels[:300, :512].reshape(150, 2, 256, 2, 3).mean((1, 3))
    assert media_type == "image/jpeg" and np.abs(small - mean).mean() < 12
    with pytest.raises(IndexError):
        pyramid.tile(picture, 0, 3, 0)
    preview = Image.open(io.BytesIO(pyramid.preview(picture, 100)))
    assert preview.size == (100, 58)


def test_a_preview_of_a_turned_photograph_is_upright(tmp_path):
    pixels = np.zeros((400, 800, 3), np.uint8)
    pixels[:, :200] = 255  # on the left as stored, above once it is upright
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    picture = next(iter(Folder(tmp_path).pictures.values()))
    quick = np.asarray(Image.open(io.BytesIO(Pyramid().preview(picture, 100))))
    whole = Pyramid()
    whole.pixels(picture)
    slow = np.asarray(Image.open(io.BytesIO(whole.preview(picture, 100))))
    assert quick.shape == slow.shape == (100, 50, 3)
    assert quick[10, 25].min() > 240 and quick[90, 25].max() < 15
    assert np.abs(quick.astype(int) - slow).mean() < 3


def test_an_image_that_changed_is_decoded_again(tmp_path):
    Image.new("RGB", (10, 10), "red").save(tmp_path / "a.png")
    picture = next(iter(Folder(tmp_path).pictures.values()))
    pyramid = Pyramid()
    assert pyramid.pixels(picture)[0, 0].tolist() == [255, 0, 0]
    Image.new("RGB", (12, 10), "blue").save(tmp_path / "a.png")
    assert pyramid.pixels(picture)[0, 0].tolist() == [0, 0, 255]


def test_values_of_other_types_are_shown_between_their_percentiles():
    grey = np.arange(10_000, dtype=np.uint16).reshape(100, 100, 1)
    found = shown(grey)
    assert found.shape == (100, 100, 3) and found[0, 0].tolist() == [0, 0, 0] and found[-1, -1].tolist() == [255] * 3
    assert int(found[50, 0, 0]) == pytest.approx(127, abs=2)
    floats = np.full((4, 4, 5), np.nan, np.float32)
    assert shown(floats).shape == (4, 4, 3)
