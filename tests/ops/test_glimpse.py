from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.glimpse import cell_centres, glimpse


def numbered(height, width, batch=1, channels=1):
    count = batch * channels * height * width
    return torch.arange(count, dtype=torch.float64).view(batch, channels, height, width)


def test_a_glimpse_by_hand():
    image = numbered(4, 6)  # cells of 2 x 3 pixels; the middle of the last one is row 3, column 4
    assert glimpse(image, torch.tensor([3]), (2, 2), 3, background=-1.0).tolist() == [
        [[[15, 16, 17], [21, 22, 23], [-1, -1, -1]]]
    ]
    # Of even length: row 1 and column 1 come to row and column 1 of 2.
    assert glimpse(image, torch.tensor([0]), (2, 2), 2).tolist() == [[[[0, 1], [6, 7]]]]


@pytest.mark.parametrize(
    ("height", "width", "grid", "size"), [(12, 16, (3, 4), 5), (13, 9, (5, 2), 8), (7, 7, (7, 7), 15)]
)
def test_glimpses_are_cut_from_the_padded_image(height, width, grid, size):
    """An independent way: pad, then slice, one at a time."""
    image = torch.randn(3, 2, height, width, generator=torch.Generator().manual_seed(0))
    cells = grid[0] * grid[1]
    choice = torch.randint(cells, (3, 6), generator=torch.Generator().manual_seed(1))
    wide = F.pad(image, (size,) * 4, value=0.5)
    seen = glimpse(image, choice, grid, size, background=0.5)
    assert seen.shape == (3, 6, 2, size, size)
    for b in range(3):
        for q in range(6):
            r, c = divmod(int(choice[b, q]), grid[1])
            top = int((r + 0.5) * height / grid[0]) - size // 2 + size
            left = int((c + 0.5) * width / grid[1]) - size // 2 + size
            assert torch.equal(seen[b, q], wide[b, :, top : top + size, left : left + size])


def test_windows_as_large_as_cells_tile_the_image():
    image = numbered(12, 8, batch=2, channels=3)
    every = torch.arange(6).expand(2, 6)
    tiles = glimpse(image, every, (3, 2), 4)
    assert torch.equal(tiles, image.unflatten(2, (3, 4)).unflatten(4, (2, 4)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2))
    assert torch.equal(
        tiles.unflatten(1, (3, 2)).movedim(3, 1).permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3), image
    )


def test_cells_are_counted_as_attention_counts_places():
    """The feature of a place, and the glimpse of it, are of the same pixels."""
    image = torch.rand(1, 1, 6, 9, generator=torch.Generator().manual_seed(0))
    values = F.avg_pool2d(image, 3).flatten(2).mT  # (1, L, 1)
    for place in range(6):
        seen = glimpse(image, torch.tensor([place]), (2, 3), 3)
        assert seen.mean() == pytest.approx(float(values[0, place, 0]))


def test_one_glimpse_of_each_is_a_row_of_several():
    image = torch.randn(4, 2, 10, 10)
    choice = torch.tensor([0, 24, 7, 13])
    assert torch.equal(glimpse(image, choice, (5, 5), 4), glimpse(image, choice[:, None], (5, 5), 4)[:, 0])


def test_centres():
    rows, columns = cell_centres(torch.arange(6), (2, 3), (4, 3))
    assert rows.tolist() == [1, 1, 1, 3, 3, 3] and columns.tolist() == [0, 1, 2, 0, 1, 2]
    # Whole numbers are exact where a float32 could not count.
    far = cell_centres(torch.tensor([2**25]), (1, 2**25 + 1), (1, 2**25 + 1))[1]
    assert far.item() == 2**25


def test_gradients():
    image = torch.randn(2, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    choice = torch.tensor([[0, 5], [3, 3]])
    assert torch.autograd.gradcheck(lambda x: glimpse(x, choice, (2, 3), 3, background=2.0), image)
    glimpse(image, choice, (2, 3), 3).sum().backward()
    assert image.grad[1].max() == 2  # looked at twice
    assert image.grad[0, 0, :, 3].max() == 0  # not looked at


def test_nothing_to_look_at():
    assert glimpse(torch.zeros(0, 3, 8, 8), torch.zeros(0, 2, dtype=torch.int64), (2, 2), 4).shape == (0, 2, 3, 4, 4)
    assert glimpse(torch.zeros(2, 3, 8, 8), torch.zeros(2, 0, dtype=torch.int64), (2, 2), 4).shape == (2, 0, 3, 4, 4)


IMAGE, CHOICE = torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("image", "choice", "grid", "size", "message"),
    [
        (IMAGE[0], CHOICE, (2, 2), 4, r"shape \(1, 8, 8\) with choices of torch.int64 and shape \(2, 3\); give"),
        (IMAGE, CHOICE[:1], (2, 2), 4, r"shape \(1, 3\); give images \(B, C, H, W\) and int64 choices"),
        (IMAGE, CHOICE.float(), (2, 2), 4, "choices of torch.float32"),
        (IMAGE, CHOICE, (2, 2), 0, "a glimpse of 0 pixels a side has no pixels; give 1 or more"),
        (IMAGE, CHOICE, (9, 2), 4, "a grid of 9x2 cells over an image of 8x8; give 1 cell or more, each of 1 pixel"),
        (IMAGE, CHOICE, (2, 0), 4, "a grid of 2x0 cells over an image of 8x8"),
        (IMAGE, CHOICE + 4, (2, 2), 4, "choices from 4 to 4 on a grid of 2x2; cells are counted from 0 to 3"),
        (IMAGE, CHOICE - 1, (2, 2), 4, "choices from -1 to -1"),
    ],
)
def test_errors(image, choice, grid, size, message):
    with pytest.raises(ConfigError, match=message):
        glimpse(image, choice, grid, size)
