"""The meaning of the values of masks: of several annotators, of two classes, of other types than bytes, from 1."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from mask_scenes import COUNT, ONE, THREE, TWO, assert_reads, disc, draw, grey, read, scene, tiffs, unscored
from PIL import Image

from foveate.datasets.classes import ClassList
from foveate.datasets.masks import recognise_masks
from foveate.errors import DataError


class TestTwoHands:
    """0 and 1 from one annotator, 0 and 255 from another."""

    def mixed(self, folder: Path, top: int = 255, kind: type = np.uint8) -> list[Path]:
        return draw(folder, lambda i: (disc(i) * (top if i % 3 == 0 else 1)).astype(kind))

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_both_mean_the_object(self, tmp_path: Path, known: ClassList | None) -> None:
        files = self.mixed(tmp_path)
        reader = recognise_masks(files, known)
        assert reader.kind == "binary" and len(reader.classes) == 2
        assert "0 and 1 in 8 files, 0 and 255 in 4: 1 and 255 are class" in reader.remark
        assert_reads(reader, files, disc)

    def test_in_16_bits(self, tmp_path: Path) -> None:
        files = self.mixed(tmp_path, 65535, np.uint16)
        assert_reads(recognise_masks(files, None), files, disc)

    def test_a_stated_unscored_value_is_unscored(self, tmp_path: Path) -> None:
        files = self.mixed(tmp_path)
        reader = recognise_masks(files, ClassList(TWO.names, (), 255))
        assert reader.kind == "index"
        assert_reads(reader, files, lambda i: disc(i) * (255 if i % 3 == 0 else 1))

    def test_more_classes_leave_a_doubt(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"0 and 1, but 0 and 255 in .*if 255 is not scored, write a line 'ignore: 2"
        ):
            recognise_masks(self.mixed(tmp_path), THREE)

    @pytest.mark.parametrize("known", [None, TWO, ONE])
    def test_both_values_in_one_file_are_a_class_and_an_unscored_border(
        self, tmp_path: Path, known: ClassList | None
    ) -> None:
        def border(i: int) -> np.ndarray:
            return unscored(disc(i), disc(i) != np.roll(disc(i), 1, 0))

        files = draw(tmp_path, lambda i: grey(border(i)))
        reader = recognise_masks(files, known)
        assert reader.kind == "index" and len(reader.classes) == 2
        assert_reads(reader, files, border)


class TestManyHands:
    """One value beside 0 in every file, but another one in the files of each annotator."""

    @pytest.mark.parametrize("marks", [(1, 127, 255), (1, 128), (127, 255), (1, 200, 65535), (100, 200)])
    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_are_refused_whatever_the_list_says(
        self, tmp_path: Path, marks: tuple[int, ...], known: ClassList | None
    ) -> None:
        kind = np.uint16 if max(marks) > 255 else np.uint8
        files = draw(tmp_path, lambda i: (disc(i) * marks[i % len(marks)]).astype(kind))
        listing = ", ".join(f"{mark} in {COUNT // len(marks)} files" for mark in marks)
        with pytest.raises(
            DataError, match=rf"every mask holds one value beside 0, and it is {listing}; .*save masks al"
        ):
            recognise_masks(files, known)

    def test_the_hint_is_never_to_leave_an_object_unscored(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i) if i % 3 else disc(i) * 127))
        refused = recognise_masks(files, THREE).refused
        assert "label value 127 outside" in refused and "ignore: 127" not in refused
        assert "or save masks alike if it is a class that other files number otherwise" in refused

    def test_pictures_of_one_class_each_are_classes(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(disc(i) * (1, 2, 5)[i % 3]))
        reader = recognise_masks(files, None)
        assert_reads(reader, files, lambda i: disc(i) * (1, 2, 5)[i % 3])


class TestNamesOfTwoClasses:
    """Masks of two values without a class list have one pair of names, whatever stands for the object."""

    @pytest.mark.parametrize("top", [1, 255])
    @pytest.mark.parametrize("form", ["grey", "palette", "alpha"])
    def test_are_background_and_foreground(self, tmp_path: Path, top: int, form: str) -> None:
        def image(i: int) -> Image.Image:
            values = grey(disc(i) * top)
            if form == "alpha":
                return Image.fromarray(np.dstack([values * 0, values]), "LA")
            drawn = Image.fromarray(values)
            if form == "palette":
                drawn.putpalette([value for k in range(256) for value in (k, 255 - k, 7)])
            return drawn

        files = draw(tmp_path, image)
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("background", "foreground")
        assert f"of 0 and {top}: {top} is class 'foreground'" in reader.remark
        assert_reads(reader, files, disc)

    def test_beside_an_unscored_border(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(unscored(disc(i), disc(i) != np.roll(disc(i), 1, 0))))
        assert recognise_masks(files, None).classes.names == ("background", "foreground")


class TestBinary:
    def test_one_name_for_0_and_1(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(disc(i)))
        reader = recognise_masks(files, ONE)
        assert reader.classes.names == ("background", "rust")
        assert reader.remark == "index PNG: 0 is background, 1 is class 'rust'"
        assert_reads(reader, files, disc)
        empty = draw(tmp_path / "empty", lambda i: grey(disc(i) * 0))
        assert recognise_masks(empty, ONE).classes == reader.classes

    def test_65535_is_white_too(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: (disc(i) * 65535).astype(np.uint16))
        reader = recognise_masks(files, None)
        assert "of 0 and 65535: 65535 is class 'foreground'" in reader.remark
        assert_reads(reader, files, disc)

    def test_more_classes_with_a_stated_unscored_255(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(disc(i) * 255))
        reader = recognise_masks(files, ClassList(THREE.names, (), 255))
        assert reader.kind == "index"
        assert_reads(reader, files, lambda i: disc(i) * 255)

    def test_two_values_that_are_neither(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(disc(i) * 128))
        assert_reads(recognise_masks(files, TWO), files, disc)
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_0", "class_128")
        assert_reads(reader, files, disc)

    def test_one_bit_and_a_fax_that_stores_white_as_zero(self, tmp_path: Path) -> None:
        files = draw(tmp_path / "png", lambda i: Image.fromarray(grey(disc(i) * 255)).convert("1"))
        assert_reads(recognise_masks(files, TWO), files, disc)
        fax = tmp_path / "fax.tif"
        Image.fromarray(grey(disc(0) * 255)).convert("1").save(fax, compression="group4")
        np.testing.assert_array_equal(read(recognise_masks([fax], TWO), fax), disc(0))


class TestOtherTypes:
    @pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint32, np.int32, np.int64, np.float32, np.float64])
    def test_whole_numbers_of_any_type(self, tmp_path: Path, kind: type) -> None:
        files = tiffs(tmp_path, lambda i: scene(i).astype(kind))
        reader = recognise_masks(files, THREE)
        assert reader.remark == "index TIFF"
        assert_reads(reader, files, scene)

    @pytest.mark.parametrize(("kind", "nodata"), [(np.int32, "-9999"), (np.float32, "-9999"), (np.uint8, "200")])
    @pytest.mark.parametrize("known", [None, TWO])
    def test_no_data_is_not_scored(self, tmp_path: Path, kind: type, nodata: str, known: ClassList | None) -> None:
        values = np.array([0, 1, int(nodata)])
        files = tiffs(tmp_path, lambda i: values[scene(i)].astype(kind), nodata)
        reader = recognise_masks(files, known)
        assert len(reader.classes) == 2
        assert_reads(reader, files, lambda i: np.array([0, 1, 255])[scene(i)])

    def test_not_a_number_and_the_least_float_are_no_data(self, tmp_path: Path) -> None:
        for name, value, tag in (
            ("nan", np.nan, "nan"),
            ("least", np.finfo(np.float32).min, "-3.4028234663852886e+38"),
        ):
            (tmp_path / name).mkdir()
            files = tiffs(tmp_path / name, lambda i, v=value: np.array([0, 1, v], np.float32)[scene(i)], tag)
            assert_reads(recognise_masks(files, TWO), files, lambda i: np.array([0, 1, 255])[scene(i)])

    def test_undecided_pixels_are_background_where_the_list_says_so(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: np.array([0, 1, -1])[scene(i)].astype(np.int16), "-1")
        known = ClassList(("rust", "background"), unlabelled="background")
        assert_reads(recognise_masks(files, known), files, lambda i: np.array([0, 1, 1])[scene(i)])

    def test_no_data_that_files_disagree_about_is_refused(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: grey(scene(i)))
        (tmp_path / "more").mkdir()
        more = tiffs(tmp_path / "more", lambda i: grey(scene(i)), "2")
        with pytest.raises(
            DataError, match=r"more/00\.tif: declares 2 to be no data, but .*00\.tif holds 2 and does no"
        ):
            recognise_masks([*files, more[0]], None)

    def test_zero_as_no_data(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: grey(scene(i)), "0")
        assert_reads(recognise_masks(files, THREE), files, scene)  # a name for each value
        from_one = lambda i: np.array([255, 0, 1])[scene(i)]  # noqa: E731
        reader = recognise_masks(files, ClassList(("rust", "rivet")))
        assert "names from 1: 0 is not scored" in reader.remark
        assert_reads(reader, files, from_one)
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_1", "class_2") and "0 is no data" in reader.remark
        assert_reads(reader, files, from_one)

    @pytest.mark.parametrize(
        ("nodata", "remedy"), [("0", "put a line 'ignore: 0' in place of its name"), ("1", "save it as 255"),
                               ("2", "put a line 'ignore: 2' in place of its name")],
    )  # fmt: skip
    def test_no_data_that_the_list_names_is_scored_and_said(self, tmp_path: Path, nodata: str, remedy: str) -> None:
        files = tiffs(tmp_path, lambda i: grey(scene(i)), nodata)
        reader = recognise_masks(files, THREE)
        assert_reads(reader, files, scene)
        (note,) = reader.notes
        name = THREE.names[int(nodata)]
        assert note.startswith(
            f"the masks declare {nodata} to be no data, but it is scored as class '{name}', as class"
        )
        assert remedy in note

    @pytest.mark.parametrize(("nodata", "kept"), [("0", (255, 0, 1)), ("2", (0, 1, 255))])
    def test_the_remedy_for_scored_no_data(self, tmp_path: Path, nodata: str, kept: tuple[int, ...]) -> None:
        files = tiffs(tmp_path, lambda i: grey(scene(i)), nodata)
        names = tuple(name for k, name in enumerate(THREE.names) if k != int(nodata))
        reader = recognise_masks(files, ClassList(names, (), int(nodata)))
        assert reader.notes == ()
        unscored = reader.classes.ignore_index
        assert_reads(reader, files, lambda i: np.array([unscored if v == 255 else v for v in kept])[scene(i)])

    def test_zero_of_two_values_is_scored_and_said(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: grey(disc(i)), "0")
        reader = recognise_masks(files, None)
        assert_reads(reader, files, disc)
        assert "write classes.txt with a line 'ignore: 0' and the names of the other values" in reader.notes[0]

    def test_no_data_that_leaves_one_value_is_refused(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: grey(disc(i) * 255), "255")
        for known in (None, TWO):
            with pytest.raises(
                DataError, match=r"00\.tif: declares 255 to be no data, and no mask holds a value besides"
            ):
                recognise_masks(files, known)

    def test_fractions_are_no_labels(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: (disc(i) * 0.7).astype(np.float32))
        with pytest.raises(DataError, match=r"00\.tif: holds fractions such as 0\.7, which are no labels \(probabilit"):
            recognise_masks(files, TWO)

    def test_values_below_zero(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: (scene(i) - 1).astype(np.int8))
        assert "or name an unscored value there with a line 'ignore: -1'" in recognise_masks(files, TWO).refused
        with pytest.raises(DataError, match=r"00\.tif: holds the label value -1; write classes\.txt"):
            recognise_masks(files, None)
        assert_reads(
            recognise_masks(files, ClassList(("rust", "rivet"), (), -1)),
            files,
            lambda i: np.array([255, 0, 1])[scene(i)],
        )

    def test_bands_that_differ(self, tmp_path: Path) -> None:
        bands = np.dstack([scene(0) == k for k in range(5)]).astype(np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", bands, photometric="minisblack", planarconfig="contig")
        with pytest.raises(
            DataError, match=r"a\.tif: 5 channels that differ; a mask has one channel of labels, or three"
        ):
            recognise_masks([tmp_path / "a.tif"], THREE)

    def test_dark_colours_of_16_bits_keep_all_their_bits(self, tmp_path: Path) -> None:
        colors = np.array([(0, 0, 0), (1, 0, 0), (2, 0, 0)], np.uint16)
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colors[scene(0)]))
        known = ClassList(THREE.names, ((0, 0, 0), (1, 0, 0), (2, 0, 0)))
        reader = recognise_masks([tmp_path / "a.png"], known)
        np.testing.assert_array_equal(read(reader, tmp_path / "a.png"), scene(0))


class TestClassesFrom1:
    @pytest.mark.parametrize("offset", [0, 1])
    def test_zero_is_not_scored(self, tmp_path: Path, offset: int) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i) + offset))
        names = THREE.names[1 - offset :]
        reader = recognise_masks(files, ClassList(names, (), 0))
        assert reader.classes.names == names and reader.classes.ignore_index == 255
        assert reader.remark == "index PNG, names from 1: 0 is not scored"
        assert_reads(reader, files, lambda i: scene(i) if offset else np.array([255, 0, 1])[scene(i)])

    def test_the_hint_names_both_ways_out_and_never_the_largest_label(self, tmp_path: Path) -> None:
        files = draw(tmp_path / "zero", lambda i: grey(scene(i)))
        refused = recognise_masks(files, ClassList(("rust", "rivet"))).refused
        assert "label value 2 outside the class table of 2 classes (0..1, ignore 255)" in refused
        assert "name 0 in a first line if it is a class, or write a line 'ignore: 0'" in refused
        assert "ignore: 2" not in refused
        refused = recognise_masks(files, ClassList(("background", "rivet"))).refused  # 0 has a name
        assert refused.endswith("(0..1, ignore 255); add the class to classes.txt (such values in 11 more files)")
        files = draw(tmp_path / "one", lambda i: grey(scene(i) + 1))
        refused = recognise_masks(files, THREE).refused
        assert "if labels count from 1, write a line 'ignore: 0' in classes.txt" in refused
        assert "ignore: 3" not in refused

    def test_a_hint_names_a_file_that_is_read(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        refused = recognise_masks(files, ClassList(("rust", "rivet"), file="labelmap.txt")).refused
        assert "in a classes.txt, in place of labelmap.txt, name 0 in a first line" in refused

    def test_a_stray_value_may_be_unscored(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(np.where((i == 3) & (scene(i) == 2), 77, scene(i))))
        refused = recognise_masks(files, THREE).refused
        assert refused.startswith(f"{files[3]}: label value 77 outside") and "a line 'ignore: 77'" in refused
        both = ClassList(THREE.names, (), 77, (), "", (255,))
        assert_reads(recognise_masks(files, both), files, lambda i: np.where((i == 3) & (scene(i) == 2), 77, scene(i)))

    def test_a_name_of_zero_beside_it_is_refused(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        with pytest.raises(
            DataError, match=r"'ignore: 0', so that its names count from 1, but begins with 'void', and n"
        ):
            recognise_masks(files, ClassList(("void", "rust", "rivet"), (), 0))

    @pytest.mark.parametrize("zero", ["Void", "no data", "no-data", "_background_", "__ignore__", "Unclassified", "bg"])
    def test_names_that_zero_is_usually_given(self, tmp_path: Path, zero: str) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        with pytest.raises(DataError, match=f"begins with '{zero}', and no mask holds 3; leave that name out"):
            recognise_masks(files, ClassList((zero, "rust", "rivet"), (), 0))

    def test_any_other_name_of_zero_is_asked_for(self, tmp_path: Path) -> None:
        """Names count from 1, so that a first name for 0 would put every other one off by one."""
        files = draw(tmp_path, lambda i: grey(scene(i)))
        reader = recognise_masks(files, ClassList(("sky", "rust", "rivet"), (), 0))
        assert reader.notes == (
            "classes.txt says 'ignore: 0', so its names count from 1: 'sky' is 1, and 'rivet' is 3, which no mask holds"
            "; if 'sky' is the name of 0, which is not scored, leave it out",
        )
        assert recognise_masks(files, ClassList(("rust", "rivet"), (), 0)).notes == ()
        assert (
            recognise_masks(files, ClassList(("sky", "rust", "rivet", "nut"), (), 0)).notes[0].endswith("leave it out")
        )

    def test_unlabelled_says_what_zero_is(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        ignored = recognise_masks(files, ClassList(("rust", "rivet"), unlabelled="ignore"))
        assert_reads(ignored, files, lambda i: np.array([255, 0, 1])[scene(i)])
        background = recognise_masks(files, ClassList(("rust", "rivet"), unlabelled="background"))
        assert background.classes.names == ("background", "rust", "rivet")
        assert_reads(background, files, scene)

    def test_values_of_a_list_that_gives_them(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([1, 4, 9], np.uint8)[scene(i)])
        reader = recognise_masks(files, ClassList(THREE.names, values=(1, 4, 9), file="_classes.csv"))
        assert_reads(reader, files, scene)
