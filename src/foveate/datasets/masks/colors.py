"""Masks whose colours are the labels: RGB files, and palettes that say more by their colours than by their indices."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from foveate.datasets.classes import CLASSES_FILE, ClassList, hex_color
from foveate.datasets.masks.evidence import blobs, edges, sample, shades
from foveate.datasets.masks.layers import only_roughly, pack_color, read_layers, unpack
from foveate.datasets.masks.published import Published
from foveate.datasets.masks.reader import MaskReader, color_reader, colors_of
from foveate.datasets.masks.tally import MOST, Tally
from foveate.errors import DataError, counted
from foveate.records import ClassTable

VOID = 255  # the index whose colour is for show, where the class list has no such class
_OBJECTS = 8  # colours, before they are taken for those of objects
_OWN = 0.8  # of the colours of objects occur in one file each
_WHOLE = 0.9  # of the objects are one region each
_MAPS = {"viridis": {0x440154, 0xFDE725}, "jet": {0x000080, 0x800000}}  # first and last colours
_ANNOTATORS = 4  # colours of one class by several annotators, at most
_NEAR = 4  # of 255 in each channel, by which colours hardly differ
_FEW = 3  # unknown colours are mistakes, more of them may be shades


def is_colored(found: Tally, known: ClassList | None) -> bool:
    """True if a set's labels are its colours: without a doubt, or since the class list has them."""
    if found.colors:
        return True
    used = _palette_colors(found)
    if known is None or not known.colors:
        return _palettes_differ(found)
    listed = [pack_color(c) for c in known.colors]
    every = {*listed, *map(pack_color, known.ignore_colors)}
    greys = {value * 0x10101 for f in found.files if not f.palette for value in f.values}
    if not used:
        as_labels = found.values <= {*known.label_values(), *known.ignored, known.table().ignore_index}
        return greys <= every and (any(f.channels > 1 for f in found.files) or not as_labels)
    if used | greys <= every:
        places = dict(zip(known.label_values(), listed, strict=True))
        return any(color != places.get(i) for f in found.files for i, color in f.palette if i != VOID)
    return _palettes_differ(found)


def _palette_colors(found: Tally) -> frozenset[int]:
    return frozenset(color for i, colors in found.palette_colors().items() if i != VOID for color in colors)


def _palettes_differ(found: Tally) -> bool:
    return any(len(colors) > 1 for i, colors in found.palette_colors().items() if i != VOID)


def decide(found: Tally, known: ClassList | None, theirs: Published | None) -> MaskReader:
    """The reader of a set whose labels are colours. Raises DataError."""
    if known is None and theirs is not None and theirs.evidence(found, frozenset()):
        known = theirs.classes
    if known is not None and known.colors:
        return _listed(found, known)
    rough = next((f for f in found.files if f.lossy), None)
    if rough is not None and len(_every_color(found)) <= MOST:  # more may be photographs
        raise DataError(only_roughly(rough.path))
    objects = _objects(found, known)
    if objects is not None:
        return objects
    if known is not None:
        _refuse_shades(found, _every_color(found))
        raise DataError(_without_colors(found, known))
    return _guessed(found)


def _every_color(found: Tally) -> list[int]:
    return sorted(code for code in frozenset().union(*(f.every_color() for f in found.files)) if code <= 0xFFFFFF)


def _listed(found: Tally, known: ClassList) -> MaskReader:
    table = known.table()
    undecided = known.undecided_label()
    codes = dict.fromkeys(found.palette_colors().get(VOID, {}), undecided)  # a void that the list may leave out
    codes |= {pack_color(c): table.ignore_index for c in known.ignore_colors}
    codes |= {pack_color(c): label for label, c in enumerate(known.colors)}
    unknown = [code for code in _every_color(found) if code not in codes]
    _refuse_shades(found, unknown)
    remark = "RGB colours" if found.colors or not found.palettes else "palette PNG, labels by colour"
    reader = color_reader(table, [(unpack(code), label) for code, label in codes.items()], remark)
    return MaskReader(reader.kind, table, reader.codes, remark, "colors", file=known.file)


def _without_colors(found: Tally, known: ClassList) -> str:
    if found.colors:
        first = next(f.path for f in found.files if f.colors)
        some = ", ".join(hex_color(unpack(c)) for c in _every_color(found)[:4])
        return (
            f"{first}: holds colours ({some}), but {known.file} has names without colours; "
            f"write {_its_lines(known)} as 'name #rrggbb'"
        )
    index, colors = next((i, c) for i, c in found.palettes.items() if len(c) > 1 and i != VOID)
    (one, first_file), (other, second_file) = list(colors.items())[:2]
    return (
        f"{second_file.path}: index {index} of its palette is {hex_color(unpack(other))}, but in {first_file.path} "
        f"{hex_color(unpack(one))}; if the colours are the labels, write {_its_lines(known)} as 'name #rrggbb', and if "
        "the indices are, save masks with one palette"
    )


def _its_lines(known: ClassList) -> str:
    return "its lines" if known.file == CLASSES_FILE else f"the lines of a {CLASSES_FILE}"


def _plane(path: Path) -> np.ndarray:
    return colors_of(read_layers(path))


def _objects(found: Tally, known: ClassList | None) -> MaskReader | None:
    """The reader of files whose objects bear colours of their own, for one class or two; None for other files."""
    files = [f.every_color() for f in found.files]
    occurs = Counter(color for colors in files for color in colors)
    background, held_by = occurs.most_common(1)[0]
    others = [color for color in occurs if color != background]
    own = sum(occurs[color] == 1 for color in others)
    if (known is not None and len(known.names) > 2) or len(files) < 3 or held_by < _OWN * len(files):
        return None
    if len(others) < _OBJECTS or own < _OWN * len(others):
        return None
    counts = [blobs(_plane(path), background) for path in sample([f.path for f in found.files])]
    if sum(c.whole for c in counts) < _WHOLE * sum(c.numbers for c in counts):
        return None
    names = ("background", "object") if known is None else ("background", *known.names)[-2:]
    remark = f"colours of objects, on {hex_color(unpack(background))}: every object is class '{names[1]}'"
    return MaskReader("objects", ClassTable(names), (), remark, "colors", background=background)


def _require_shared(found: Tally) -> None:
    """Raise DataError for many colours of which nearly each is in one file alone, as numbers of segments are."""
    occurs = Counter(color for f in found.files for color in f.every_color())
    own = sum(count == 1 for count in occurs.values())
    if len(found.files) > 2 and _OBJECTS < len(occurs) <= MOST and own >= _OWN * len(occurs):
        first = next((f.path for f in found.files if f.colors), found.files[0].path)
        raise DataError(
            f"{first}: {own} of {len(occurs)} colours are in one mask alone, so they are no classes (numbers of "
            "segments, as in COCO's panoptic PNG?); save the class of each pixel, or write "
            f"{CLASSES_FILE} with lines 'name #rrggbb'"
        )


def _require_no_map(found: Tally) -> None:
    """Raise DataError for masks that were drawn by a colour map, each from its own least to its own largest value.

    The same class then has another colour from file to file, as where matplotlib's imsave is not told vmin and vmax.
    """
    files = [f for f in found.files if len(f.every_color()) > 1]
    counts = {len(f.every_color()) for f in files}
    name = next((n for n, ends in _MAPS.items() if files and all(ends <= f.every_color() for f in files)), "")
    if name and len(counts) > 1:
        few, many = (next(f for f in files if len(f.every_color()) == n) for n in (min(counts), max(counts)))
        raise DataError(
            f"{few.path}: holds {counted(min(counts), 'colour')} and {many.path.name} {max(counts)}, each from end to "
            f"end of the colour map {name}, so that one colour is not one class (imsave stretches each file over the "
            "whole map); save the numbers of classes"
        )


def _refuse_bands(found: Tally) -> None:
    """Raise DataError for three channels of 0 and 1, which no colours are: one for each class."""
    channels = {value for code in found.colors for value in unpack(code)}
    if channels == {0, 1}:
        first = next(f.path for f in found.files if f.colors)
        raise DataError(
            f"{first}: 3 channels of 0 and 1, as where each is the mask of a class; save one channel with the number "
            "of the class of each pixel"
        )


def _refuse_clear(found: Tally) -> None:
    """Raise DataError for transparent pixels of several colours, none of which is a colour of others.

    What programs leave under transparency has no meaning, and each colour would be a class.
    """
    clear = frozenset().union(*(f.clear for f in found.files))
    solid = frozenset().union(*(f.solid for f in found.files))
    if len(clear) > 1 and not clear & solid:
        one, other = sorted(clear)[:2]
        first, second = (next(f for f in found.files if code in f.clear) for code in (one, other))
        where = f", in {second.path.name}" if second != first else ""
        raise DataError(
            f"{first.path}: transparent pixels bear {hex_color(unpack(one))} and{where} {hex_color(unpack(other))}, "
            "each of which would be a class; save masks without transparency"
        )


def _guessed(found: Tally) -> MaskReader:
    _require_no_index(found)
    codes = _every_color(found)
    _refuse_bands(found)
    _refuse_clear(found)
    _refuse_shades(found, codes)
    _require_shared(found)
    _require_no_map(found)
    if len(codes) > MOST:
        first = next((f.path for f in found.files if f.colors), found.files[0].path)
        raise DataError(
            f"{first}: more than {MOST} colours in the masks, too many to be classes (smoothed "
            f"edges, or photographs?); write {CLASSES_FILE} with lines 'name #rrggbb', and save masks unsmoothed"
        )
    _require_apart(found, codes)
    table = ClassTable(tuple(f"class_{i}" for i in range(len(codes))), tuple(map(unpack, codes)))
    kind = "RGB colours" if found.colors else "palette PNG, labels by colour since the palettes differ"
    remark = f"{kind}; no {CLASSES_FILE}, so classes are named after the colours found"
    reader = color_reader(table, [(unpack(code), label) for label, code in enumerate(codes)], remark)
    return replace(reader, notes=tuple(_annotators_note(found)))


def _annotators_note(found: Tally) -> list[str]:
    """A note on masks of which each has one colour beside one that all have, as if several annotators drew them."""
    files = [f.every_color() for f in found.files if len(f.every_color()) > 1]
    shared = frozenset.intersection(*files) if files else frozenset()
    if len(shared) != 1 or any(len(colors) != 2 for colors in files):
        return []
    counts = Counter(color for colors in files for color in colors - shared)
    if not 2 <= len(counts) <= _ANNOTATORS:
        return []
    listing = ", ".join(f"{hex_color(unpack(color))} in {counted(n, 'mask')}" for color, n in counts.most_common())
    background = hex_color(unpack(min(shared)))
    return [
        f"every mask holds one colour beside {background}, and it is {listing}; if these are the same class by several "
        "annotators, save masks alike"
    ]


def _require_apart(found: Tally, codes: list[int]) -> None:
    """Raise DataError for two colours that hardly differ and are in no file together, as of two programs."""
    for one, other in itertools.combinations(codes, 2):
        near = max(abs(a - b) for a, b in zip(unpack(one), unpack(other), strict=True)) <= _NEAR
        if near and not any({one, other} <= f.every_color() for f in found.files):
            first, second = (next(f for f in found.files if code in f.every_color()) for code in (one, other))
            raise DataError(
                f"{second.path}: holds {hex_color(unpack(other))}, and {first.path.name} {hex_color(unpack(one))}, "
                f"which hardly differ; if they are one class, save masks alike, else write {CLASSES_FILE} with lines "
                "'name #rrggbb'"
            )


def _require_no_index(found: Tally) -> None:
    """Raise DataError for an index among masks of colours; black and white may be colours in one channel."""
    index = next((f for f in found.files if not f.palette and f.channels == 1 and f.values - {0, 255}), None)
    if found.colors and index is not None:
        first = next(f.path.name for f in found.files if f.colors)
        raise DataError(f"{index.path}: holds indices, but {first} and others hold colours; save all masks alike")


def _refuse_shades(found: Tally, doubtful: list[int]) -> None:
    """Raise DataError if most of the doubtful colours lie on edges only, between the colours beside them."""
    holding = [f for f in found.files if f.colors & frozenset(doubtful)]
    if not holding or len(doubtful) <= _FEW:
        return
    planes = [partial(_plane, path) for path in sample([f.path for f in holding])]
    on_edges = shades(edges(planes, colored=True)) & set(doubtful)
    if len(on_edges) > _FEW and 2 * len(on_edges) >= len(doubtful):
        most = max(len(f.colors & on_edges) for f in holding)
        first = next(f for f in holding if 2 * len(f.colors & on_edges) >= most)
        raise DataError(
            f"{first.path}: {len(on_edges)} colours, such as {hex_color(unpack(min(on_edges)))}, lie only on the edges "
            "between other colours, so the masks were smoothed; resize masks without interpolation (nearest), and save "
            "them as PNG"
        )
