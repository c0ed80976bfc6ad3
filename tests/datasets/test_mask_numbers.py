"""The meaning of the values of masks of object numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mask_scenes import COUNT, ONE, SIDE, THREE, TWO, assert_reads, cells, draw, grey, scene, tiffs, unscored

from foveate.datasets.classes import ClassList
from foveate.datasets.files import Pair
from foveate.datasets.masks import recognise_masks
from foveate.datasets.masks.evidence import blobs
from foveate.errors import DataError


class TestObjectNumbers:
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_every_object_is_class_1(self, tmp_path: Path, kind: type, known: ClassList | None) -> None:
        files = tiffs(tmp_path, lambda i: cells(i).astype(kind))
        reader = recognise_masks(files, known)
        assert reader.kind == "objects" and len(reader.classes) == 2
        most = max(int(cells(i).max()) for i in range(COUNT))
        name = reader.classes.names[1]
        assert reader.remark == f"object numbers, up to {most} in a picture: every object is class '{name}'"
        assert_reads(reader, files, lambda i: cells(i) > 0)
        np.testing.assert_array_equal(reader.numbers(cells(0)), cells(0))

    def test_more_than_256_numbers(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: np.where(cells(i) > 0, cells(i) + 100 * i, 0).astype(np.uint16))
        assert_reads(recognise_masks(files, None), files, lambda i: cells(i) > 0)

    def test_an_unscored_border(self, tmp_path: Path) -> None:
        def bordered(i: int) -> np.ndarray:
            return unscored(cells(i), cells(i) != np.roll(cells(i), 1, 0))

        files = draw(tmp_path, lambda i: grey(bordered(i)))
        reader = recognise_masks(files, TWO)
        assert_reads(reader, files, lambda i: np.where(bordered(i) == 255, 255, bordered(i) > 0))
        assert reader.numbers(bordered(0)).max() == cells(0).max()

    def test_objects_with_a_part_behind_others(self, tmp_path: Path) -> None:
        def crossed(i: int) -> np.ndarray:
            numbers = cells(i)
            return np.where((np.arange(SIDE) == 8) & (numbers > 0), numbers.max() + 1, numbers)

        files = draw(tmp_path, lambda i: grey(cells(i) if i % 2 else crossed(i)))
        assert recognise_masks(files, TWO).kind == "objects"

    def test_names_for_more_classes_are_refused(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(cells(i)))
        with pytest.raises(
            DataError, match=r"values run to 1\d and number the objects .* but classes\.txt names 3 class"
        ):
            recognise_masks(files, THREE)

    def test_a_list_that_names_all_values_wins(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(cells(i)))
        known = ClassList(tuple(f"cell {k}" for k in range(13)))
        assert_reads(recognise_masks(files, known), files, cells)

    def test_classes_of_one_region_each_are_no_objects(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        reader = recognise_masks(files, None)
        assert (reader.kind, len(reader.classes), reader.notes) == ("index", 3, ())
        assert_reads(reader, files, scene)

    def test_scattered_classes_are_no_objects(self, tmp_path: Path) -> None:
        def scattered(i: int) -> np.ndarray:
            return np.repeat(np.repeat(np.random.default_rng(i).integers(0, 5 + i % 4, (12, 12)), 4, 0), 4, 1)

        files = draw(tmp_path, lambda i: grey(scattered(i)))
        assert_reads(recognise_masks(files, None), files, scattered)

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_classes_of_several_regions_are_no_objects(self, tmp_path: Path, known: ClassList | None) -> None:
        """Values that run from 1 to another number in each file, but of which six in ten are in several places."""

        def repeated(i: int) -> np.ndarray:
            numbers = 5 + i % 4
            places = np.concatenate([np.arange(1, numbers + 1), np.arange(1, 1 + round(0.6 * numbers))])
            order = np.random.default_rng(i).permutation(16)[: len(places)]
            label = np.zeros((SIDE, SIDE), np.int64)
            for place, number in zip(order, places, strict=True):
                label[place // 4 * 12 + 2 : place // 4 * 12 + 9, place % 4 * 12 + 2 : place % 4 * 12 + 9] = number
            return label

        files = draw(tmp_path, lambda i: grey(repeated(i)))
        reader = recognise_masks(files, known)
        if known is None:
            assert_reads(reader, files, repeated)
        else:
            assert reader.kind == "index" and reader.refused

    @pytest.mark.parametrize("known", [ONE, TWO])
    def test_a_value_below_zero_is_no_number(self, tmp_path: Path, known: ClassList) -> None:
        files = tiffs(tmp_path, lambda i: np.where(np.arange(SIDE) < 2, -1, cells(i)).astype(np.int16))
        refused = recognise_masks(files, known).refused
        assert (
            "label values -1, 2, 3, 4, 5, ... outside the class table" in refused or "label values -1, 1, 2" in refused
        )

    def test_as_many_layers_in_every_file_are_classes(self, tmp_path: Path) -> None:
        def layers(i: int) -> np.ndarray:
            return np.clip((np.arange(SIDE)[:, None] - i % 3) // 8, 0, 5) + np.zeros(SIDE, np.int64)

        files = draw(tmp_path, lambda i: grey(layers(i)))
        reader = recognise_masks(files, None)
        assert "up to 5, are taken for classes" in reader.notes[0]
        assert_reads(reader, files, layers)

    def test_no_data_between_few_objects(self, tmp_path: Path) -> None:
        """Pixels without data are in many places, and are no number."""

        def holed(i: int) -> np.ndarray:
            return np.where((np.arange(SIDE) % 12 == 0) & (np.arange(SIDE)[:, None] % 12 == 0), 200, cells(i, 5))

        files = tiffs(tmp_path, lambda i: grey(holed(i)), "200")
        reader = recognise_masks(files, None)
        assert reader.kind == "objects"
        assert_reads(reader, files, lambda i: np.where(holed(i) == 200, 255, holed(i) > 0))

    def test_a_doubt_is_said(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(cells(i, 3)))
        (note,) = recognise_masks(files, None).notes
        assert "up to 3, are taken for classes" in note
        assert "if they number objects, write classes.txt with the one name" in note
        assert recognise_masks(files, ONE).kind == "objects"

    def parted(self, i: int) -> np.ndarray:
        """Numbers of which the first two objects of a file are in two parts each, behind a bar."""
        numbers = cells(i)
        rows, columns = np.nonzero(np.isin(numbers, (1, 2)))
        for k in (1, 2):
            middle = int(np.median(columns[numbers[rows, columns] == k]))
            numbers[(numbers == k) & (np.arange(SIDE) == middle)] = 0
        return numbers

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_objects_in_two_parts_in_every_file(self, tmp_path: Path, known: ClassList | None) -> None:
        files = draw(tmp_path, lambda i: grey(self.parted(i)))
        whole = sum(blobs(self.parted(i), 0).whole for i in range(COUNT))
        assert whole < 0.85 * sum(blobs(self.parted(i), 0).numbers for i in range(COUNT))
        reader = recognise_masks(files, known)
        assert reader.kind == "objects"
        assert_reads(reader, files, lambda i: self.parted(i) > 0)
        np.testing.assert_array_equal(reader.objects(Pair(files[0], files[0]))[0], self.parted(0))

    def sparse(self, i: int, highest: int, kept: int = 8) -> np.ndarray:
        """Up to `kept` cells that bear numbers out of 1 to `highest`, as after small ones were removed."""
        numbers = np.sort(np.random.default_rng(50 + i).choice(highest, kept, replace=False)) + 1
        order = np.zeros(20, np.int64)
        order[1 : kept + 1] = numbers
        return order[cells(i)]

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_numbers_with_gaps(self, tmp_path: Path, known: ClassList | None) -> None:
        files = draw(tmp_path, lambda i: grey(self.sparse(i, 200)))
        reader = recognise_masks(files, known)
        assert reader.kind == "objects" and len(reader.classes) == 2
        assert_reads(reader, files, lambda i: self.sparse(i, 200) > 0)
        assert (len(reader.notes), "taken for numbers of objects" in "".join(reader.notes)) == {
            None: (1, True), ONE: (0, False), TWO: (1, True),
        }[known]  # fmt: skip

    def test_numbers_with_gaps_that_files_share_leave_a_doubt(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(self.sparse(i, 20)))
        with pytest.raises(
            DataError,
            match=r"\d\d\.png: holds some of 20 values up to 20, most .*: are they classes, or numbers of ob",
        ):
            recognise_masks(files, None)
        assert recognise_masks(files, ONE).kind == "objects"
        named = ClassList(tuple(f"part {k}" for k in range(21)))
        assert_reads(recognise_masks(files, named), files, lambda i: self.sparse(i, 20))

    def tiles(self, i: int) -> np.ndarray:
        """Numbers 1 to 36 of cells that leave no background."""
        return np.arange(SIDE)[:, None] // 8 * 6 + np.arange(SIDE) // 8 + 1 + 0 * i

    def test_objects_without_a_background(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(self.tiles(i)))
        with pytest.raises(DataError, match=r"holds some of 36 values up to 36, .*: are they classes, or numbers of"):
            recognise_masks(files, None)
        reader = recognise_masks(files, ONE)
        assert reader.kind == "objects"
        np.testing.assert_array_equal(reader.objects(Pair(files[0], files[0]))[0], self.tiles(0))

    def test_labels_from_1_with_too_few_names_are_no_objects(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i) + 1))
        assert "label values 2, 3 outside the class table of 2 classes" in recognise_masks(files, TWO).refused

    def test_few_numbers_with_gaps_are_said_and_one_name_overrules(self, tmp_path: Path) -> None:
        values = np.array([0, 2, 5, 9, 11, 14])
        files = draw(tmp_path, lambda i: grey(values[cells(i, 5)]))
        reader = recognise_masks(files, None)
        assert reader.kind == "index" and "are taken for classes" in reader.notes[0]
        assert recognise_masks(files, ONE).kind == "objects"

    def test_layers_are_taken_for_objects_only_with_a_word(self, tmp_path: Path) -> None:
        """Bands of one region each, of which the lower ones leave the picture: a list of their names overrules."""

        def layers(i: int) -> np.ndarray:
            return np.minimum(np.maximum(np.arange(SIDE)[:, None] - 6, 0) // 6, 3 + i % 4) + np.zeros(SIDE, np.int64)

        files = draw(tmp_path, lambda i: grey(layers(i)))
        reader = recognise_masks(files, None)
        assert reader.kind == "objects"
        (note,) = reader.notes
        assert note.startswith(
            "the masks' values, up to 6, are taken for numbers of objects, since most are one region"
        )
        assert note.endswith("if they are classes, as layers are, write classes.txt with the name of each value")
        named = recognise_masks(files, ClassList(tuple(f"layer {k}" for k in range(7))))
        assert named.notes == ()
        assert_reads(named, files, layers)

    def test_zero_as_no_data_is_the_background_of_objects(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: cells(i).astype(np.uint16), "0")
        reader = recognise_masks(files, None)
        assert_reads(reader, files, lambda i: cells(i) > 0)
        assert "declare 0 to be no data, but it is scored as class 'background'" in reader.notes[0]

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_a_colour_for_each_object(self, tmp_path: Path, known: ClassList | None) -> None:
        def colored(i: int) -> np.ndarray:
            colors = np.random.default_rng(100 + i).integers(1, 256, (20, 3)).astype(np.uint8)
            colors[0] = 0
            return colors[cells(i)]

        files = draw(tmp_path, colored)
        reader = recognise_masks(files, known)
        assert reader.remark.startswith("colours of objects, on #000000: every object is class")
        assert_reads(reader, files, lambda i: cells(i) > 0)
