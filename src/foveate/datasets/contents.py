"""Contents of a folder in words, and the format that a folder of no known format comes nearest to."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from foveate.datasets.names import stem_of, unmarked
from foveate.errors import counted
from foveate.pictures import PICTURE_SUFFIXES, list_pictures

_FOLDERS = 64  # folders that are compared with each other
_SHOWN = 6  # entries of a folder that are named
_HEAD = 1 << 16  # bytes of a file that are looked into
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}
_ARRAYS = {".npy", ".npz", ".mat", ".pkl"}
_BRUSH_MASK = re.compile(r"task-\d+-annotation-\d+-by-.+-tag-.+-\d+", re.IGNORECASE)  # of Label Studio
_BRUSH_REMEDY = (
    "which are called after their task and not after its picture; export JSON there, which holds the strokes and says "
    "which picture a task has, and give it with the pictures"
)
# A mark in the beginning of a tool's file -> what the file is, and what to do with it.
_TOOLS = (
    (r'"segments_info"', "COCO's panoptic JSON; give instances_*.json of the same pictures, or masks of classes (PNG)"),
    (
        r"(?i)^[^\n[{]*(encodedpixels|\brle(_mask)?\b|\bmask_rle\b)",
        "a table of run lengths, as Kaggle has them; draw them into masks (PNG)",
    ),
    (r'"_via_|"regions"\s*:|region_shape_attributes', "a project of VGG's annotator (VIA); export it there as COCO"),
    # the run lengths of a stroke are long, and the names of its labels may come behind them
    (
        r'"brushlabels"|"format"\s*:\s*"rle"',
        "Label Studio's own JSON of brush strokes in its short form (JSON-MIN), without annotations, or in a folder "
        "below; export JSON there, and give the folder that holds it",
    ),
    (
        r'"(completions|from_name|to_name|polygonlabels|rectanglelabels)"',
        "Label Studio's own JSON without outlines, or in its short form (JSON-MIN); export JSON or COCO there",
    ),
    (r'"classTitle"', "Supervisely's JSON; export it there as masks (PNG) or COCO"),
    (r'"asset"\s*:\s*\{', "VoTT's JSON; export it there as Pascal VOC masks or COCO"),
    (r"<bndbox>", "Pascal VOC's XML of boxes, which hold no outlines; export masks (SegmentationClass) or COCO"),
    (r"<annotations>[\s\S]*<track\b", "CVAT's XML of tracks; export it there as 'CVAT for images 1.1' or COCO"),
    (r"<annotations>[\s\S]*<(meta|image)\b", "CVAT's XML; give the folder that it lies in, with its pictures in it"),
    (r'"annotations"\s*:\s*\[[\s\S]*"coordinates"', "CreateML's JSON of boxes; export masks (PNG) or COCO"),
    (r'"FeatureCollection"', "GeoJSON, as of QuPath; export labelled images (masks) there"),
    (r'"data_row"', "Labelbox's JSON; export masks (PNG) or COCO there"),
    (r'"item"\s*:[\s\S]*"annotations"', "V7's JSON; export masks (PNG) or COCO there"),
    (r'"description"\s*:\s*"ISAT"', "ISAT's JSON; export COCO or masks (PNG) there"),
)
_ANY_JSON = (
    r'"images"\s*:\s*\[(?![\s\S]*"annotations")',
    "JSON with 'images', but without the 'annotations' and 'categories' of COCO",
)
_NO_LABELS = (
    "the nearest is 'folders', images/ beside labels/, or 'labelme', a JSON file beside each picture; no labels of "
    "these pictures were found"
)
_YOLO = re.compile(r"\d+(\s+[\d.]+){4,}\s*")


def contents(folder: Path) -> str:
    """The files in a folder and below it by kind: '8 pictures, 8 .txt files'; 'nothing' if there are none."""
    counts = Counter(_kind(path) for path in _files(folder))
    return ", ".join(counted(n, kind) for kind, n in counts.most_common(3)) or "nothing"


def inventory(path: Path) -> str:
    """The entries of a folder, each with what is in it: '12 pictures, a/ (8 .txt files), notes.md'."""
    entries = sorted(p for p in path.iterdir() if p.name[0] != ".")
    listed = []
    if pictures := list_pictures(path):
        listed.append(counted(len(pictures), "picture"))
    others = [p for p in entries if p.is_dir() or p.suffix.lower() not in PICTURE_SUFFIXES]
    for entry in others[:_SHOWN]:
        if entry.is_dir():
            inside = contents(entry)
            listed.append(f"{entry.name}/" + (f" ({inside})" if inside != "nothing" else ""))
        else:
            listed.append(entry.name)
    return ", ".join(listed) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")


def nearest(path: Path, task: str = "") -> str:
    """The format that a folder comes nearest to, and what is missing, as a clause; '' if it is near to none.

    task: the family that the folder is read for.
    """
    files = _files(path)
    pictures = [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
    archives = [file for file in files if file.suffix.lower() in _ARCHIVES]
    if archives and not pictures:
        return f"{archives[0].name} is packed; unpack it and give the folder that it makes"
    if task not in ("", "semantic", "instances"):
        return texts_beside(path) if task == "captioning" else _nearest_classes(path, pictures, task)
    if tool := labels_of_a_tool(path, (*_TOOLS, _ANY_JSON)):
        return tool
    yolo = [file for file in files if file.suffix.lower() == ".txt" and _YOLO.fullmatch(_first_line(file))]
    if yolo:
        return (
            f"{counted(len(yolo), 'text file')} in the form of YOLO ({yolo[0].relative_to(path).as_posix()}, ...), "
            "which is read where polygons lie in labels/ beside images/; boxes have no outlines"
        )
    arrays = [file for file in files if file.suffix.lower() in _ARRAYS]
    if arrays and pictures:
        return f"{counted(len(arrays), 'array')} ({arrays[0].name}, ...), which are not read; save masks as PNG or TIFF"
    if (path / "imagesTr").is_dir() and (path / "labelsTr").is_dir():
        return (
            "imagesTr/ and labelsTr/ are nnU-Net's, which are not read; copy them to images and labels, and leave out "
            "_0000 at the end of the images' names, or join the channels of an image in one TIFF"
        )
    if partners := partners_in(path):
        return partners
    return _NO_LABELS if pictures else ""


def labels_of_a_tool(path: Path, tools: Sequence[tuple[str, str]] = _TOOLS) -> str:
    """The clause on a file below a folder that a labelling tool wrote in a form which is not read; '' without one."""
    files = _files(path)
    if masks := brush_masks(files):
        return masks
    for file in files:
        if tool := _tool(file, tools):
            return f"{file.relative_to(path).as_posix()} is {tool}"
    return ""


def brush_masks(files: Iterable[Path]) -> str:
    """The clause on masks that Label Studio wrote of brush strokes, which are not read; '' without such files."""
    found = [file for file in files if is_brush_mask(file)]
    if not found:
        return ""
    return f"{counted(len(found), 'mask')} by Label Studio ({found[0].name}, ...), one a stroke, {_BRUSH_REMEDY}"


def is_brush_mask(file: Path) -> bool:
    """True for a file with the name that Label Studio gives to the PNG or NPY of a brush stroke."""
    return _BRUSH_MASK.fullmatch(file.stem) is not None


def texts_beside(path: Path) -> str:
    """The clause on texts beside pictures, which are not read as captions; '' without them."""
    files = _files(path)
    named = {file.with_suffix("") for file in files if file.suffix.lower() in PICTURE_SUFFIXES}
    beside = [file for file in files if file.suffix.lower() in (".txt", ".caption") and file.with_suffix("") in named]
    if not beside:
        return ""
    return (
        f"a text beside each picture ({beside[0].relative_to(path).as_posix()}, ...) is not read; write captions.csv "
        "with the columns image and caption, a row a caption"
    )


def _nearest_classes(path: Path, pictures: list[Path], task: str) -> str:
    """The clause on folders of pictures that lie too deep to be classes."""
    deep = [file.parent.relative_to(path) for file in pictures if len(file.relative_to(path).parts) > 3]
    if task != "classification" or not deep:
        return ""
    return (
        f"pictures lie in {deep[0].as_posix()}/ and the like; a class is a folder in {path.name}/, or in train/, val/ "
        "and test/ there"
    )


def partners_in(path: Path) -> str:
    """The folders of pictures that share names, which may be images and masks, as a clause; '' if there are none."""
    pictures = [file for file in _files(path) if file.suffix.lower() in PICTURE_SUFFIXES]
    stems: dict[Path, set[str]] = {}
    for file in pictures:
        stems.setdefault(file.parent, set()).add(stem_of(file.name))
    folders = sorted(stems)[:_FOLDERS]
    beside_first = sorted(itertools.combinations(folders, 2), key=lambda two: two[0].parent != two[1].parent)
    for first, second in beside_first:
        own, other = stems[first], stems[second]
        shared = own & (other | {image for stem in other for image in unmarked(stem)})
        shared |= other & {image for stem in own for image in unmarked(stem)}
        if first.name != second.name and 2 * len(shared) > min(len(own), len(other)):
            names = " and ".join(f"{folder.relative_to(path).as_posix()}/" for folder in (first, second))
            return (
                f"the nearest is 'folders': {names} hold pictures of the same names; call the folder of images "
                f"images, that of masks labels"
            )
    return ""


def _files(folder: Path) -> list[Path]:
    """The files in a folder and below it, by path, without hidden ones."""
    below = (path for path in folder.rglob("*") if path.is_file())
    return sorted(p for p in below if not any(part[0] == "." for part in p.relative_to(folder).parts))


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return "picture" if suffix in PICTURE_SUFFIXES else f"{suffix} file" if suffix else "other file"


def _tool(file: Path, tools: Sequence[tuple[str, str]]) -> str:
    if file.suffix.lower() not in (".csv", ".json", ".xml", ".geojson", ".ndjson"):
        return ""
    head = _head(file)
    return next((what for mark, what in tools if re.search(mark, head)), "")


def _first_line(file: Path) -> str:
    return _head(file).strip().partition("\n")[0].strip()


def _head(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(_HEAD).decode("utf-8", errors="replace")
    except OSError:
        return ""
