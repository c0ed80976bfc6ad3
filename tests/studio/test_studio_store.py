"""The labels of a folder: revisions, blocked files, index masks, class lists, and what is never touched."""

import errno
import hashlib
import json
import os
import threading

import numpy as np
import pytest
from labelling import CLASSES, HEIGHT, WIDTH, write_pictures
from PIL import Image

from foveate import cli, disk
from foveate.datasets import recognise
from foveate.datasets.classes import read_classes
from foveate.errors import ConfigError, DataError, OutputError
from foveate.studio import lock as lock_module
from foveate.studio import store as module
from foveate.studio.document import RefusedError
from foveate.studio.folder import Folder
from foveate.studio.lock import FolderLock, is_running, process_start
from foveate.studio.store import NO_FILE, BlockedError, StaleError, Store
from foveate.studio.tiles import tiles_to_json


def change(value=1, label="sky", state="done", **more):
    paint = np.zeros((HEIGHT, WIDTH), np.uint16)
    paint[: 10 * value, :20] = value
    objects = [{"number": value, "label": label}]
    return {"objects": objects, "outlines": [], "tiles": tiles_to_json(paint), "state": state} | more


@pytest.fixture
def store(photos):
    store = Store(Folder(photos))
    store.save_classes(NO_FILE, CLASSES)
    yield store
    store.close()


def first(store, name="IMG_0.png"):
    return next(p for p in store.folder.pictures.values() if p.path.name == name)


# Revisions


def test_a_saved_revision_is_the_digest_of_the_file(store):
    picture = first(store)
    _, revision = store.save(picture, NO_FILE, change())
    assert hashlib.sha256(picture.labels.read_bytes()).hexdigest() == revision
    assert store.read(picture)[1] == revision
    assert json.loads(picture.labels.read_text())["imagePath"] == "IMG_0.png"


def test_of_many_threads_that_save_at_once_one_wins_and_the_others_are_kept(store):
    picture = first(store)
    _, revision = store.save(picture, NO_FILE, change())
    outcomes = []

    def save(number):
        try:
            outcomes.append(store.save(picture, revision, change(number))[1])
        except StaleError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(2, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [one for one in outcomes if isinstance(one, str)]
    lost = [one for one in outcomes if isinstance(one, StaleError)]
    assert len(won) == 1 and len(lost) == 9
    assert store.read(picture)[1] == won[0]
    assert {error.current for error in lost} == set(won)
    kept = {json.loads((store.folder.own / error.kept).read_text())["shapes"][0]["points"][1][1] for error in lost}
    winner = json.loads(picture.labels.read_text())["shapes"][0]["points"][1][1]
    assert kept | {winner} == {10.0 * number - 1 for number in range(2, 12)}, "every version is somewhere"


def test_what_is_kept_of_earlier_revisions_is_bounded(store, monkeypatch):
    """Each save makes a revision, of which not the label map alone takes memory."""
    monkeypatch.setattr(module, "_KEPT_BYTES", 2_000_000)
    picture, revision = first(store), NO_FILE
    for number in range(1, 9):
        _, revision = store.save(picture, revision, change(number))
    kept = [one.layers for one in store._documents.values()]
    assert sum(one.paint.nbytes + one.counts.nbytes for one in kept) <= 2_000_000 and kept
    assert store.read(picture)[1] == revision


def test_a_change_by_another_program_is_seen(store):
    picture = first(store)
    _, revision = store.save(picture, NO_FILE, change())
    data = json.loads(picture.labels.read_text())
    data["flags"] = {"checked": True}
    picture.labels.write_text(json.dumps(data))
    with pytest.raises(StaleError, match="were changed elsewhere since they were read here") as error:
        store.save(picture, revision, change(2))
    assert error.value.current == store.read(picture)[1]
    store.save(picture, error.value.current, change(2))
    assert json.loads(picture.labels.read_text())["flags"] == {"checked": True}


def test_a_change_in_the_moment_of_writing_is_seen(store, monkeypatch):
    picture = first(store)
    _, revision = store.save(picture, NO_FILE, change())

    def edit(*given):
        picture.labels.write_text(picture.labels.read_text() + " ")
        return original(*given)

    original = module.edit
    monkeypatch.setattr(module, "edit", edit)
    with pytest.raises(StaleError, match="changed by another program at this moment"):
        store.save(picture, revision, change(2))
    assert picture.labels.read_text().endswith("} ") or picture.labels.read_text().endswith("}\n ")


def test_a_version_of_an_unknown_revision_is_kept_as_it_was_sent(store):
    picture = first(store)
    store.save(picture, NO_FILE, change())
    with pytest.raises(StaleError) as error:
        store.save(picture, "0" * 64, change(5))
    assert json.loads((store.folder.own / error.value.kept).read_text()) == change(5)


def test_a_full_disk_loses_nothing(store, monkeypatch):
    picture = first(store)
    _, revision = store.save(picture, NO_FILE, change())
    before = picture.labels.read_bytes()

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*IMG_0.json: No space left on device"):
        store.save(picture, revision, change(3))
    monkeypatch.undo()
    assert picture.labels.read_bytes() == before and not list(picture.labels.parent.glob(".*unfinished*"))
    store.save(picture, revision, change(3))


def test_labels_and_the_name_of_their_file_are_on_the_disk_before_a_save_returns(store, monkeypatch):
    synced = []
    monkeypatch.setattr(disk.os, "fsync", lambda number: synced.append(os.fstat(number).st_mode))
    store.save(first(store), NO_FILE, change())
    import stat

    assert stat.S_ISREG(synced[0]) and stat.S_ISDIR(synced[1])


# Files that are not to be touched


def test_a_file_that_cannot_be_read_blocks_its_picture_and_is_never_written(store):
    picture = first(store)
    picture.labels.write_text('{"shapes": [')
    with pytest.raises(BlockedError, match="malformed JSON at line 1"):
        store.read(picture)
    with pytest.raises(
        BlockedError, match=r"malformed JSON .*your version is kept as .foveate/IMG_0.json.mine-"
    ) as error:
        store.save(picture, NO_FILE, change())
    assert picture.labels.read_text() == '{"shapes": ['
    kept = str(error.value).split(".foveate/")[1].rstrip(")")
    assert json.loads((store.folder.own / kept).read_text()) == change()
    summary = store.summary(picture)
    assert summary.state == "blocked" and "malformed JSON" in summary.problem


def test_links_are_refused(store, tmp_path):
    picture, other = first(store), tmp_path / "other.json"
    other.write_text("{}")
    picture.labels.symlink_to(other)
    with pytest.raises(BlockedError, match="a link; labels are written to plain files alone"):
        store.read(picture)
    assert store.summary(picture).state == "blocked"
    assert other.read_text() == "{}"


def test_images_that_are_links_out_of_the_folder_are_not_shown(photos, tmp_path):
    write_pictures(tmp_path / "elsewhere", 1)
    (photos / "secret.png").symlink_to(tmp_path / "elsewhere" / "IMG_0.png")
    folder = Folder(photos)
    assert "secret.png" not in {p.path.name for p in folder.pictures.values()}
    assert folder.problems == [
        "secret.png is a link that leads out of the folder and is not shown; copy the file instead"
    ]


def test_a_folder_of_images_that_is_a_link_is_refused(tmp_path):
    write_pictures(tmp_path / "elsewhere", 1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="images: a link; expected a folder"):
        Folder(tmp_path / "data")


@pytest.mark.parametrize("name", ["labels", ".foveate"])
def test_folders_that_are_links_are_refused(photos, tmp_path, name):
    (tmp_path / "out").mkdir()
    (photos / name).symlink_to(tmp_path / "out")
    with pytest.raises(DataError, match=f"{name}: a link; expected a folder"):
        Folder(photos)


def test_pictures_that_would_share_their_labels_are_refused(photos):
    Image.new("RGB", (4, 4)).save(photos / "IMG_0.jpg")
    with pytest.raises(DataError, match=r"IMG_0.jpg and IMG_0.png would share the labels IMG_0.json; rename one"):
        Folder(photos)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: None, "no pictures; put some there"),
        (lambda p: write_pictures(p / "holiday", 1), "they lie in holiday/: give .*holiday"),
        (lambda p: write_pictures(p / "train", 1), "each split is labelled by itself: give .*train"),
        (
            lambda p: (write_pictures(p, 1), write_pictures(p / "images", 1)),
            "in the folder and in images/; put them into",
        ),
    ],
)
def test_folders_that_cannot_be_labelled_say_why(tmp_path, make, text):
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    with pytest.raises(DataError, match=text):
        Folder(tmp_path / "data")


def test_labels_of_another_form_are_not_shadowed(tmp_path):
    """A folder is read in one form: the first LabelMe file would hide the masks of all other pictures."""
    data = tmp_path / "data"
    write_pictures(data / "images", 3)
    (data / "labels").mkdir()
    for number in range(3):
        Image.new("L", (WIDTH, HEIGHT), number).save(data / "labels" / f"IMG_{number}.png")
    with pytest.raises(
        DataError, match=r"is labelled already, in another form \(.*\); the studio writes LabelMe files"
    ):
        Folder(data)
    (data / "labels").rename(tmp_path / "labels")
    assert len(Folder(data)) == 3


def test_read_only_writes_nothing(photos):
    before = sorted(photos.rglob("*"))
    store = Store(Folder(photos), read_only=True)
    picture = first(store)
    assert store.read(picture)[0] is None and store.summary(picture).state == "untouched"
    store.close()
    assert sorted(photos.rglob("*")) == before


def test_unfinished_files_of_a_killed_writer_are_swept(photos):
    stray = photos / ".IMG_0.77-abcd.unfinished.json"
    stray.write_text("{")
    Store(Folder(photos)).close()
    assert not stray.exists()


# Places and sizes


def test_labels_of_images_in_a_folder_of_their_own_lie_in_annotations(tmp_path):
    write_pictures(tmp_path / "data" / "images", 3)
    store = Store(Folder(tmp_path / "data"))
    store.save_classes(NO_FILE, CLASSES)
    for picture in store.folder.pictures.values():
        store.save(picture, NO_FILE, change())
    data = json.loads((tmp_path / "data" / "annotations" / "IMG_0.json").read_text())
    assert data["imagePath"] == "../images/IMG_0.png"
    source = recognise(tmp_path / "data")
    assert type(source).__name__ == "LabelMe" and not source.problems()
    assert sum(len(source.open(split)) for split in source.splits()) == 3
    store.close()


def test_labels_are_of_the_upright_image(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    image = Image.new("RGB", (40, 20), "white")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "b.jpg"):
        image.save(folder / name, exif=exif)
    store = Store(Folder(folder))
    store.save_classes(NO_FILE, CLASSES)
    for picture in store.folder.pictures.values():
        paint = np.zeros((40, 20), np.uint16)
        paint[:30] = 1
        document, _ = store.save(picture, NO_FILE, change() | {"tiles": tiles_to_json(paint)})
        assert document.layers.size == (40, 20)
        data = json.loads(picture.labels.read_text())
        assert (data["imageHeight"], data["imageWidth"]) == (40, 20)
    sample = recognise(folder).open("train")[0]
    assert (
        sample["image"].shape == (3, 40, 20) and (sample["mask"][:30] == 0).all() and (sample["mask"][30:] == 255).all()
    )
    store.close()


def test_objects_are_read_as_objects(store, photos):
    """Each number is an object; shapes of one label and group are one, be they painted or drawn."""
    paint = np.zeros((HEIGHT, WIDTH), np.uint16)
    paint[:20, :20], paint[40:60, :20], paint[80:90, :10], paint[100:110, :10] = 1, 2, 3, 4
    objects = [{"number": n, "label": "car", "group": group} for n, group in ((1, None), (2, None), (3, 7), (4, 7))]
    outline = {"key": "a", "kind": "rectangle", "label": "car", "group": 7, "points": [[200, 100], [209, 109]]}
    for picture in store.folder.pictures.values():
        edited = {"objects": objects, "outlines": [outline], "tiles": tiles_to_json(paint), "state": "done"}
        store.save(picture, NO_FILE, edited)
    sample = recognise(photos, "instances").open("train", "instances")[0]
    areas = sorted(int((sample["layers"] == number).sum()) for number in range(1, 1 + len(sample["labels"])))
    assert sample["labels"].tolist() == [2, 2, 2] and areas == [300, 400, 400]


# Index masks


def reader_masks(photos):
    source = recognise(photos)
    return {s["name"]: s["mask"].numpy() for split in source.splits() for s in source.open(split)}


@pytest.mark.parametrize("unlabelled", ["ignore", "background"])
def test_index_masks_are_what_the_reader_reads(photos, unlabelled):
    store = Store(Folder(photos))
    store.save_classes(NO_FILE, CLASSES | {"unlabelled": unlabelled})
    outline = {"key": "a", "label": "car", "points": [[30, 30], [90, 40], [50, 99.5]]}
    for number, picture in enumerate(store.folder.pictures.values(), 1):
        store.save(picture, NO_FILE, change(number, "road", outlines=[outline]))
    assert store.masks.wait()
    masks = reader_masks(photos)
    assert len(masks) == 6 and not store.masks.problems
    for name, mask in masks.items():
        with Image.open(photos / "labels" / name) as image:
            assert image.mode == "P" and np.array_equal(np.asarray(image), mask), name
    assert set(np.unique(mask)) == ({255, 1, 2} if unlabelled == "ignore" else {0, 2, 3})
    store.close()


def test_a_stale_index_mask_is_made_anew_and_a_foreign_one_is_left_alone(store, photos):
    picture = first(store)
    store.save(picture, NO_FILE, change())
    assert store.masks.wait()
    true = picture.mask.read_bytes()
    data = json.loads(picture.labels.read_text())
    data["shapes"][0]["label"] = "car"
    picture.labels.write_text(json.dumps(data))
    foreign = photos / "labels" / "IMG_1.png"
    Image.new("L", (WIDTH, HEIGHT), 7).save(foreign)
    before = foreign.read_bytes()
    store.save(first(store, "IMG_1.png"), NO_FILE, change())
    store.close()
    again = Store(Folder(photos))
    assert again.masks.wait()
    with Image.open(picture.mask) as image:
        assert set(np.unique(np.asarray(image))) == {2, 255}
    assert picture.mask.read_bytes() != true and foreign.read_bytes() == before
    assert "was not derived from IMG_1.json, and is left alone" in next(iter(again.masks.problems.values()))
    again.close()


def test_more_than_255_classes_give_masks_of_16_bits(photos):
    store = Store(Folder(photos))
    store.save_classes(NO_FILE, {"classes": [{"name": f"c{n}"} for n in range(300)], "unlabelled": "ignore"})
    store.save(first(store), NO_FILE, change(1, "c299"))
    assert store.masks.wait()
    with Image.open(first(store).mask) as image:
        values = np.asarray(image)
    assert image.mode == "I;16" and values[0, 0] == 299 and values[-1, -1] == 65535
    store.close()


# Partly labelled folders


def test_the_reader_takes_what_is_done_and_says_what_is_left_out(store, photos):
    names = {p.path.name: p for p in store.folder.pictures.values()}
    for number, state in enumerate(["done", "done", "done", "draft", "skipped"]):
        store.save(names[f"IMG_{number}.png"], NO_FILE, change(state=state))
    source = recognise(photos)
    assert sum(len(source.open(split)) for split in source.splits()) == 3
    assert not source.problems()
    assert "3 without a label left out" in source.describe()
    assert "left out are pictures whose labels are not done: 1 draft and 1 skipped" in source.notes()
    assert "3 classes" in source.describe() and "pixels without a shape are ignored" in source.describe()


def test_datasets_inspect_reads_what_the_page_wrote(store, photos, capsys):
    for number, state in enumerate(["done", "done", "done", "draft"]):
        outline = {"key": "a", "label": "car", "points": [[30, 30], [90, 40], [50, 99.5]]}
        store.save(first(store, f"IMG_{number}.png"), NO_FILE, change(number + 1, state=state, outlines=[outline]))
    assert cli.main(["datasets", "inspect", str(photos)]) == 0
    out = capsys.readouterr().out
    assert "3 without a label left out" in out and "3 classes (from classes.txt" in out
    assert "note: left out are pictures whose labels are not done: 1 draft" in out
    assert cli.main(["datasets", "inspect", str(photos), "--task", "instances"]) == 0
    assert "car" in capsys.readouterr().out


def test_a_folder_of_drafts_says_so(store, photos):
    store.save(first(store), NO_FILE, change(state="draft"))
    with pytest.raises(DataError, match=r"no labelled picture .*1 draft.*; finish the labels of some"):
        recognise(photos).describe()


# Classes


def test_classes_are_written_as_they_are_read(store, photos):
    listed = read_classes(photos / "classes.txt")
    assert listed.names == ("sky", "road", "car") and listed.unlabelled == "ignore" and len(set(listed.colors)) == 3
    assert store.classes() == listed


def test_a_class_is_renamed_in_all_files(store, photos):
    from foveate.studio import classes

    for name in ("IMG_0.png", "IMG_1.png"):
        store.save(first(store, name), NO_FILE, change())
    renamed = {
        "classes": [{"name": "heaven", "was": "sky", "color": "#010203"}, {"name": "road"}],
        "unlabelled": "ignore",
    }
    store.save_classes(classes.revision(photos), renamed)
    assert read_classes(photos / "classes.txt").names == ("heaven", "road")
    assert read_classes(photos / "classes.txt").colors[0] == (1, 2, 3)
    assert {s["label"] for n in (0, 1) for s in json.loads((photos / f"IMG_{n}.json").read_text())["shapes"]} == {
        "heaven"
    }


def test_swapping_two_names_swaps_the_labels(store, photos):
    from foveate.studio import classes

    store.save(first(store, "IMG_0.png"), NO_FILE, change(label="sky"))
    store.save(first(store, "IMG_1.png"), NO_FILE, change(label="road"))
    swapped = [{"name": "road", "was": "sky"}, {"name": "sky", "was": "road"}, {"name": "car"}]
    store.save_classes(classes.revision(photos), {"classes": swapped, "unlabelled": "ignore"})
    labels = [json.loads((photos / f"IMG_{n}.json").read_text())["shapes"][0]["label"] for n in (0, 1)]
    assert labels == ["road", "sky"]


def test_background_is_class_0_where_it_is_what_undecided_pixels_are(photos):
    store = Store(Folder(photos))
    listed = store.save_classes(NO_FILE, CLASSES | {"unlabelled": "background"})
    assert listed.names == ("background", "sky", "road", "car")
    store.close()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"unlabelled": "maybe"}, "unlabelled is 'maybe'; expected ignore or background"),
        ({"classes": []}, "a list of 1 to 1000 classes"),
        ({"classes": [{"name": ""}]}, "expected a name of 1 to 100 printable characters"),
        ({"classes": [{"name": "a\nb"}]}, "expected a name of 1 to 100 printable characters"),
        ({"classes": [{"name": "# note"}]}, "would be read as something else in classes.txt"),
        ({"classes": [{"name": "ignore: 3"}]}, "would be read as something else"),
        ({"classes": [{"name": "road 1 2 3"}]}, "would be read as something else"),
        ({"classes": [{"name": "__ignore__"}]}, "marks pixels that are not scored and can be no class"),
        ({"classes": [{"name": "a"}, {"name": "a"}]}, "two classes are called 'a'; names must differ"),
        ({"classes": [{"name": "a", "color": "red"}]}, "a colour is 'red'; expected six hexadecimal digits"),
        (
            {"classes": [{"name": "a", "color": "#000001"}, {"name": "b", "color": "#000001"}]},
            "classes a and b have the same colour #000001",
        ),
        ({"classes": [{"name": "a", "was": "ocean"}]}, "'ocean' cannot become 'a': there is no such class"),
    ],
)
def test_class_lists_that_cannot_be_written_say_why(store, photos, given, text):
    from foveate.studio import classes

    before = (photos / "classes.txt").read_text()
    with pytest.raises(RefusedError, match=text):
        store.save_classes(classes.revision(photos), CLASSES | given)
    assert (photos / "classes.txt").read_text() == before


def test_a_class_that_shapes_use_cannot_go(store, photos):
    from foveate.studio import classes

    store.save(first(store), NO_FILE, change())
    with pytest.raises(RefusedError, match="class 'sky' is used in 1 of the pictures; rename it") as error:
        store.save_classes(classes.revision(photos), CLASSES | {"classes": [{"name": "road"}]})
    assert error.value.reason == "class-used"


def test_without_a_list_the_labels_found_are_the_classes(photos):
    data = {
        "imagePath": "IMG_0.png",
        "shapes": [{"label": n, "points": [[0, 0], [5, 0], [5, 5]]} for n in ("tree", "cow")],
    }
    (photos / "IMG_0.json").write_text(json.dumps(data))
    store = Store(Folder(photos))
    assert store.classes().names == ("cow", "tree")
    assert store.summary(first(store)).state == "done"
    store.close()


# The lock


def test_a_second_studio_on_the_folder_is_refused_and_a_lock_of_a_dead_process_is_not(photos):
    own = photos / ".foveate"
    lock = FolderLock(photos, own, {"address": "http://127.0.0.1:8400"})
    lock.begin()
    with pytest.raises(
        ConfigError, match=f"is open in another studio .process {os.getpid()} .*8400.; use that one or stop"
    ):
        FolderLock(photos, own, {})
    lock.release()
    (own / "lock").write_text(json.dumps({"pid": 999_999_999, "started": 1.0}))
    FolderLock(photos, own, {}).release()


def test_a_folder_is_locked_before_anything_is_written_to_it(photos):
    before = sorted(photos.rglob("*"))
    lock = FolderLock(photos, photos / ".foveate", {})
    with pytest.raises(ConfigError, match=r"is open in another studio .it has written nothing there yet"):
        FolderLock(photos, photos / ".foveate", {})
    assert sorted(photos.rglob("*")) == before
    lock.release()
    FolderLock(photos, photos / ".foveate", {}).release()
    assert sorted(photos.rglob("*")) == before


def test_where_folders_cannot_be_locked_the_file_is(photos, monkeypatch):
    """Also where another machine began to write while this one only looked."""
    monkeypatch.setattr(lock_module, "_open_folder", lambda root: None)
    lock = FolderLock(photos, photos / ".foveate", {"address": "here"})
    assert json.loads((photos / ".foveate" / "lock").read_text())["address"] == "here"
    with pytest.raises(ConfigError, match=r"is open in another studio .process .* here"):
        FolderLock(photos, photos / ".foveate", {})
    lock.release()


def test_a_process_is_told_by_its_start(tmp_path):
    started = process_start(os.getpid())
    assert is_running(os.getpid(), started)
    assert not is_running(os.getpid(), started - 100), "its number was used again"
    assert not is_running(None, started) and not is_running(999_999_999, started)
