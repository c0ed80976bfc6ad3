"""The meaning of the values of masks that are drawn in alpha channels, palettes or colours."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from mask_scenes import (
    COLORED,
    PALETTE,
    RIVET,
    RUST,
    SIDE,
    STEEL,
    THREE,
    TWO,
    assert_reads,
    blurred,
    disc,
    draw,
    grey,
    read,
    scene,
    unscored,
)
from PIL import Image

from foveate.datasets.classes import ClassList
from foveate.datasets.masks import recognise_masks
from foveate.errors import DataError


class TestAlpha:
    def rgba(self, color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        return np.dstack([np.broadcast_to(color, (SIDE, SIDE, 3)), alpha]).astype(np.uint8)

    @pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (250, 50, 83)])
    @pytest.mark.parametrize("known", [None, TWO])
    def test_an_object_in_the_alpha_channel(
        self, tmp_path: Path, color: tuple[int, ...], known: ClassList | None
    ) -> None:
        files = draw(tmp_path, lambda i: self.rgba(np.array(color), disc(i) * 255))
        reader = recognise_masks(files, known)
        assert reader.remark.startswith("alpha channel, binary") and len(reader.classes) == 2
        assert_reads(reader, files, disc)

    def test_grey_with_alpha_in_8_and_16_bits(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: Image.fromarray(np.dstack([grey(disc(i) * 0), grey(disc(i) * 255)]), "LA"))
        assert_reads(recognise_masks(files, None), files, disc)
        wide = tmp_path / "wide.png"
        white = np.full((SIDE, SIDE), 65535)
        wide.write_bytes(imagecodecs.png_encode(np.dstack([white, disc(0) * 65535]).astype(np.uint16)))
        np.testing.assert_array_equal(read(recognise_masks([wide], None), wide), disc(0))

    def test_in_a_tiff(self, tmp_path: Path) -> None:
        files = [tmp_path / f"{i}.tif" for i in range(3)]
        for i, file in enumerate(files):
            values = self.rgba(np.zeros(3), disc(i) * 255)
            tifffile.imwrite(file, values, photometric="rgb", extrasamples=["unassalpha"])
        assert_reads(recognise_masks(files, None), files, disc)

    def test_masks_without_any_object_and_with_nothing_else(self, tmp_path: Path) -> None:
        full = {0: np.zeros((SIDE, SIDE)), 1: np.ones((SIDE, SIDE))}
        files = draw(tmp_path, lambda i: self.rgba(np.zeros(3), 255 * full.get(i, disc(i))))
        assert_reads(recognise_masks(files, TWO), files, lambda i: full.get(i, disc(i)))

    def test_smoothed(self, tmp_path: Path) -> None:
        def soft(i: int) -> np.ndarray:
            return np.asarray(blurred(1)(Image.fromarray(grey(disc(i) * 255))))

        files = draw(tmp_path, lambda i: self.rgba(np.zeros(3), soft(i)))
        reader = recognise_masks(files, None)
        assert "alpha channel" in reader.remark and "shades along the edges" in reader.remark
        assert_reads(reader, files, lambda i: soft(i) >= 128)

    def test_a_photograph_that_was_cut_out(self, tmp_path: Path) -> None:
        photo = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3))

        def cut(i: int) -> np.ndarray:
            large = (np.arange(SIDE)[:, None] + 3 * i < 40) & (np.arange(SIDE) > 4)
            return large.astype(np.int64)

        files = draw(tmp_path, lambda i: self.rgba(photo * cut(i)[:, :, None], cut(i) * 255))
        assert_reads(recognise_masks(files, TWO), files, cut)

    def test_a_mask_over_a_whole_photograph(self, tmp_path: Path) -> None:
        """The object may be small and of few colours: the photograph under the transparent pixels is no label."""
        photo = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3))
        photo[10:14, 10:14] = photo[0, 0]

        def small(i: int) -> np.ndarray:
            rows, columns = np.mgrid[:SIDE, :SIDE]
            return ((rows // 4 == 2 + i % 2) & (columns // 4 == 2)).astype(np.int64)

        files = draw(tmp_path, lambda i: self.rgba(photo, small(i) * 255))
        assert_reads(recognise_masks(files, TWO), files, small)

    @pytest.mark.parametrize("alpha", [0, 255])
    def test_a_constant_alpha_says_nothing(self, tmp_path: Path, alpha: int) -> None:
        files = draw(tmp_path, lambda i: self.rgba(PALETTE[scene(i)], np.full((SIDE, SIDE), alpha)))
        assert_reads(recognise_masks(files, COLORED), files, scene)

    def test_a_transparent_background_adds_nothing_to_colours(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: self.rgba(PALETTE[scene(i)], (scene(i) > 0) * 255))
        reader = recognise_masks(files, COLORED)
        assert reader.remark == "RGB colours"
        assert_reads(reader, files, scene)

    def test_colours_and_alpha_that_disagree_are_refused(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: self.rgba(PALETTE[scene(i)], np.roll(scene(i) > 0, 9) * 255))
        with pytest.raises(DataError, match=r"00\.png: colours and transparency both vary, so it is not clear which"):
            recognise_masks(files, COLORED)

    def test_a_mask_without_alpha_beside_them(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: self.rgba(np.zeros(3), disc(i) * 255))
        Image.new("L", (SIDE, SIDE)).save(files[3])
        with pytest.raises(DataError, match=r"03\.png: has no alpha channel, which holds the other masks"):
            recognise_masks(files, TWO)


class TestPalettes:
    def shuffled(self, i: int) -> Image.Image:
        """The scene under a palette whose order differs from file to file."""
        order = np.random.default_rng(i).permutation(3)
        image = Image.fromarray(grey(np.argsort(order)[scene(i)]), "P")
        image.putpalette(PALETTE[order].ravel().tolist())
        return image

    def test_colours_of_the_class_list_win_over_indices(self, tmp_path: Path) -> None:
        files = draw(tmp_path, self.shuffled)
        reader = recognise_masks(files, COLORED)
        assert (reader.kind, reader.remark) == ("rgb", "palette PNG, labels by colour")
        assert_reads(reader, files, scene)

    def test_without_a_class_list_they_are_classes_by_colour(self, tmp_path: Path) -> None:
        files = draw(tmp_path, self.shuffled)
        reader = recognise_masks(files, None)
        assert reader.classes.colors == (STEEL, RIVET, RUST)
        assert "labels by colour since the palettes differ" in reader.remark
        assert_reads(reader, files, lambda i: np.array([0, 2, 1])[scene(i)])

    def test_names_without_colours_leave_a_doubt(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"index 0 of its palette is #......, but in .*; if the colours are the labe"
        ):
            recognise_masks(draw(tmp_path, self.shuffled), THREE)

    def test_one_palette_in_another_order_than_the_list(self, tmp_path: Path) -> None:
        def one(i: int) -> Image.Image:
            image = Image.fromarray(grey(scene(i)), "P")
            image.putpalette(PALETTE.ravel().tolist())
            return image

        files = draw(tmp_path, one)
        reversed_list = ClassList(THREE.names[::-1], COLORED.colors[::-1])
        assert_reads(recognise_masks(files, reversed_list), files, lambda i: 2 - scene(i))
        for known in (None, THREE, COLORED):
            reader = recognise_masks(files, known)
            assert reader.kind == "palette"
            assert_reads(reader, files, scene)

    def test_a_palette_for_show(self, tmp_path: Path) -> None:
        def shown(i: int) -> Image.Image:
            image = Image.fromarray(grey(scene(i)), "P")
            image.putpalette([9, 9, 9, 7, 7, 7, 200, 1, 1])
            return image

        files = draw(tmp_path, shown)
        assert_reads(recognise_masks(files, COLORED), files, scene)

    def test_palettes_may_differ_in_the_colour_of_void(self, tmp_path: Path) -> None:
        def bordered(i: int) -> np.ndarray:
            return unscored(scene(i), scene(i) != np.roll(scene(i), 1, 0))

        def image(i: int) -> Image.Image:
            drawn = Image.fromarray(grey(bordered(i)), "P")
            drawn.putpalette([*PALETTE.ravel().tolist(), *[0] * 756, i, i, i])
            return drawn

        files = draw(tmp_path, image)
        for known in (None, THREE, COLORED):
            reader = recognise_masks(files, known)
            assert reader.kind == "palette"
            assert_reads(reader, files, bordered)

    def test_the_colour_of_void_need_not_be_listed(self, tmp_path: Path) -> None:
        def bordered(i: int) -> np.ndarray:
            return unscored(scene(i), scene(i) != np.roll(scene(i), 1, 0))

        def image(i: int) -> Image.Image:
            order = np.random.default_rng(i).permutation(3)
            values = np.where(bordered(i) == 255, 255, np.argsort(order)[scene(i)])
            drawn = Image.fromarray(grey(values), "P")
            drawn.putpalette([*PALETTE[order].ravel().tolist(), *[0] * 756, 224, 224, 192])
            return drawn

        files = draw(tmp_path, image)
        assert_reads(recognise_masks(files, COLORED), files, bordered)
