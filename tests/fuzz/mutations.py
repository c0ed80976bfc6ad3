"""Mutations of files: random bytes, and changes that keep a file's structure so that a reader gets past its head.

`mutate(folder, rng)` changes one to three files of a folder in place. Everything is decided by `rng`.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import os
import random
import re
import shutil
import struct
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

INTEGERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
NUMBERS = (
    "", "0", "-1", "1", "1.5", "-0.0", "1e309", "-1e309", "nan", "inf", "1e-320", "99999999999999999999", "0x10", "1_0",
    "١", "²", "1,5", "+3", "007", "1e5", "9" * 5000, "2147483648", "-2147483649", "9007199254740993",
)  # fmt: skip
WORDS = (
    "", " ", "\t", "x", "\0", "\ufeff", "\u2028", "\u00a0", "\u202e", "e\u0301", "İ", "ß", "\U0001f404", "../../../x",
    "/etc/passwd", "/", ".", "..", "~", "~root", "-", "--", "#", "%s", "{0}", "'", '"', '"""', "\\", "\\u0000", "a\nb",
    "a\r\nb", "CON", "*.png", "[", "(?", "x" * 300, "x" * 70_000, "null", "true", "nan", "None", "background", "train",
    "val", "test", "0", "a/b/c", "\x1b[31m", "\x85", "\x0b", "\x1c",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 256, 65536, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.5, -0.5, 1e30,
    1e308, float("nan"), float("inf"), -float("inf"), [], {}, [[]], [{}], [None], {"": None}, [0], [[0]], [[[0, 0]]],
    [1, 2, 3, 4], [0.5] * 6, ["x"], {"x": 1}, [float("nan")] * 6, [-1e9] * 6, [1e18] * 6, [[1, 2], [3]], "\ud800",
)  # fmt: skip


def mutate(folder: Path, rng: random.Random) -> None:
    """Change one to three things of a folder's files."""
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
        if not files:
            return
        # Small files of text steer a reader more than one image among many: each ending is as likely as another.
        ending = rng.choice(sorted({p.suffix for p in files}))
        file = rng.choice([p for p in files if p.suffix == ending])
        if rng.random() < 0.1:
            with contextlib.suppress(OSError):
                rearrange(folder, file, rng)
        else:
            others = [p for p in files if p != file]
            other = rng.choice(others).read_bytes() if others else b""
            file.write_bytes(mutated(file.read_bytes(), file.name, rng, other))


def mutated(content: bytes, name: str, rng: random.Random, other: bytes = b"") -> bytes:
    """The content of a file, changed. other: that of another file, to splice with."""
    if name.endswith(".gz") and rng.random() < 0.8:
        with contextlib.suppress(OSError, EOFError, zlib.error):
            return gzip.compress(mutated(gzip.decompress(content), name.removesuffix(".gz"), rng, other))
    structured = STRUCTURES.get(_kind(name, content))
    if structured is not None and rng.random() < 0.75:
        with contextlib.suppress(Exception):  # a file that an earlier mutation broke has no structure to keep
            return structured(content, rng)
    if _is_text(content) and rng.random() < 0.7:
        return lines(content, rng)
    return noise(content, rng, other)


def _kind(name: str, content: bytes) -> str:
    if content[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if content[:4] == b"\x89PNG":
        return "png"
    if content[:2] == b"\xff\xd8":
        return "jpeg"
    if content[:2] == b"PK":
        return "zip"
    suffix = name.rpartition(".")[2].lower()
    return {"inkml": "xml", "yml": "yaml", "jsonl": "lines"}.get(suffix, suffix)


def _is_text(content: bytes) -> bool:
    return b"\0" not in content[:1000] and not any(byte > 0xF4 for byte in content[:1000])


# Bytes


def noise(content: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """Bits, bytes, integers and slices changed, anywhere or in the head."""
    data = bytearray(content)
    reach = len(data) if rng.random() < 0.5 else min(len(data), rng.choice((16, 64, 256)))
    match rng.randrange(12):
        case 0:
            return b""
        case 1:
            return rng.randbytes(rng.choice((1, 4, 64, 2000)))
        case 2:
            return bytes(data[: rng.randrange(len(data) + 1)])
        case 3:
            cut = rng.randrange(len(data) + 1)
            return bytes(data[:cut]) + other[rng.randrange(len(other) + 1) :]
        case 4:
            start = rng.randrange(len(data) + 1)
            return bytes(data[:start] + data[start + rng.choice((1, 2, 4, 100)) :])
        case 5:
            start = rng.randrange(len(data) + 1)
            piece = data[start : start + rng.choice((1, 4, 64, 1000))]
            return bytes(data[:start] + piece * rng.choice((2, 3, 50)) + data[start:])
        case 6:
            start = rng.randrange(len(data) + 1)
            return bytes(data[:start]) + rng.randbytes(rng.choice((1, 3, 16))) + bytes(data[start:])
        case 7:
            return bytes(data) + rng.randbytes(rng.choice((1, 100))) + bytes(data)
        case 8 | 9 if reach:
            for _ in range(rng.choice((1, 2, 8))):
                data[rng.randrange(reach)] ^= 1 << rng.randrange(8)
        case _ if reach:
            for _ in range(rng.choice((1, 1, 4))):
                width = rng.choice("BHIQ")
                packed = struct.pack(rng.choice("<>") + width, rng.choice(INTEGERS) % 256 ** struct.calcsize(width))
                start = rng.randrange(reach)
                data[start : start + len(packed)] = packed
    return bytes(data)


# Text


def lines(content: bytes, rng: random.Random) -> bytes:
    """Lines, fields and numbers of a text changed, or its encoding."""
    text = content.decode("utf-8", "surrogateescape")
    rows = text.split("\n")
    at = rng.randrange(len(rows))
    match rng.randrange(12):
        case 0:
            del rows[at]
        case 1:
            rows.insert(at, rng.choice(rows))
        case 2:
            other = rng.randrange(len(rows))
            rows[at], rows[other] = rows[other], rows[at]
        case 3:
            rows.insert(at, rng.choice(WORDS))
        case 4:
            rows[at] = rng.choice(WORDS) + rows[at]
        case 5:
            rows[at] += rng.choice(WORDS)
        case 6:
            rows = rows[:at]
        case 7:
            marks = [i for i, c in enumerate(rows[at]) if not c.isalnum()]
            if marks:
                mark = rng.choice(marks)
                rows[at] = rows[at][:mark] + rng.choice(("", *"\t,;:|\" '#=[]{}-/\\")) + rows[at][mark + 1 :]
        case 8 | 9:
            numbers = list(re.finditer(r"-?\d+(\.\d+)?", rows[at]))
            if numbers:
                found = rng.choice(numbers)
                rows[at] = rows[at][: found.start()] + rng.choice(NUMBERS) + rows[at][found.end() :]
        case 10:
            words = list(re.finditer(r"[^\s,;:|\"']+", rows[at]))
            if words:
                found = rng.choice(words)
                rows[at] = rows[at][: found.start()] + rng.choice(WORDS) + rows[at][found.end() :]
        case 11:
            encoding = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "utf-8-sig"))
            end = rng.choice(("\n", "\r\n", "\r"))
            return end.join(rows).encode(encoding, "replace")
    return "\n".join(rows).encode("utf-8", "surrogateescape")


# JSON, and what is written in it


def json_text(content: bytes, rng: random.Random) -> bytes:
    """One node of a JSON file replaced, removed, doubled, renamed or exchanged with another."""
    return _dump(change(json.loads(content), rng), rng)


def json_lines(content: bytes, rng: random.Random) -> bytes:
    """One line of JSON lines changed as a JSON file is."""
    rows = content.splitlines()
    at = rng.randrange(len(rows))
    rows[at] = _dump(change(json.loads(rows[at]), rng), rng)
    return b"\n".join(rows) + b"\n"


def _dump(value: Any, rng: random.Random) -> bytes:
    if rng.random() < 0.02:
        return b"[" * 100_000
    return json.dumps(value, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")


def change(tree: Any, rng: random.Random) -> Any:
    """One node of a tree of lists and dicts changed; returns the tree."""
    nodes: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            nodes.append((node, key))
            walk(node[key])

    walk(tree)
    if not nodes or rng.random() < 0.02:
        return rng.choice(VALUES)
    # Leaves outnumber the rest by far: a key is chosen first, then one of its places.
    keys = sorted({str(key) for _, key in nodes})
    wanted = rng.choice(keys)
    holder, key = rng.choice([(h, k) for h, k in nodes if str(k) == wanted])
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice((*WORDS, *keys))] = holder.pop(key)
        case 1:
            holder.insert(key, holder[key])
        case 2:
            other, place = rng.choice(nodes)
            holder[key] = other.get(place) if isinstance(other, dict) else holder[key]
        case 3:
            holder[key] = rng.choice(WORDS)
        case 4 if isinstance(holder[key], list) and holder[key]:
            holder[key] = rng.choice((holder[key] * 3, holder[key][:-1], holder[key] + [rng.choice(VALUES)]))
        case 5 if isinstance(holder[key], (int, float)):
            value = holder[key]
            holder[key] = rng.choice((-value, value + 1, value * 1e6, str(value), value + 0.5, 0, [value]))
        case _:
            holder[key] = rng.choice(VALUES)
    return tree


def yaml_text(content: bytes, rng: random.Random) -> bytes:
    """A YAML file changed as a JSON file is; now and then with tags and aliases."""
    import yaml

    if rng.random() < 0.05:
        bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        return rng.choice((bomb.encode(), b"x: !!python/object/apply:os.getcwd []\n", b"&a [*a]\n", b"? [a]\n: 1\n"))
    return yaml.safe_dump(change(yaml.safe_load(content), rng), allow_unicode=True).encode("utf-8", "surrogatepass")


# XML


def xml_text(content: bytes, rng: random.Random) -> bytes:
    """One element of an XML file removed, doubled, renamed or given another text or attribute."""
    if rng.random() < 0.03:
        bomb = '<!DOCTYPE a [<!ENTITY x0 "xxxxxxxxxx">' + "".join(
            f'<!ENTITY x{i + 1} "{f"&x{i};" * 10}">' for i in range(9)
        )
        outside = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
        return rng.choice((bomb.encode() + b"]><a>&x9;</a>", outside, b"<a>" * 50_000))
    root = ElementTree.fromstring(content)
    parents = [(parent, child) for parent in root.iter() for child in parent]
    parent, element = rng.choice(parents)
    match rng.randrange(7):
        case 0:
            parent.remove(element)
        case 1:
            parent.append(element)
        case 2:
            element.tag = rng.choice([e.tag for e in root.iter()] + ["x"])
        case 3:
            element.text = rng.choice(NUMBERS)
        case 4:
            element.text = "".join(c for c in rng.choice(WORDS) if c >= " ")
        case 5:
            element.attrib = {key: rng.choice(NUMBERS) for key in element.attrib}
        case 6:
            element.clear()
    return ElementTree.tostring(root)


# Binary files


def png(content: bytes, rng: random.Random) -> bytes:
    """A chunk of a PNG removed, doubled, moved or changed, its checksum made right."""
    chunks = []
    at = 8
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    index = rng.randrange(len(chunks)) if rng.random() < 0.6 else 0
    kind, body = chunks[index]
    match rng.randrange(5):
        case 0:
            del chunks[index]
        case 1:
            chunks.insert(rng.randrange(len(chunks)), chunks[index])
        case 2:
            chunks.insert(1, (rng.choice((b"tRNS", b"PLTE", b"eXIf", b"gAMA", b"iCCP", b"acTL", b"zTXt")), body[:20]))
        case 3 if kind == b"IDAT":
            chunks[index] = kind, zlib.compress(noise(zlib.decompress(body), rng))
        case _:
            chunks[index] = kind, noise(body, rng)
    done = b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big") for kind, body in chunks
    )
    return content[:8] + done


def jpeg(content: bytes, rng: random.Random) -> bytes:
    """Bytes of the segments before the scan changed."""
    scan = content.find(b"\xff\xda")
    head = bytearray(content[:scan])
    for _ in range(rng.choice((1, 2, 4))):
        head[rng.randrange(len(head))] = rng.choice((0, 1, 2, 3, 255, rng.randrange(256)))
    return bytes(head) + content[scan:]


def tiff(content: bytes, rng: random.Random) -> bytes:
    """Tag, type, count or value of an entry of a TIFF's first directory changed."""
    order = "<" if content[:2] == b"II" else ">"
    data = bytearray(content)
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    for _ in range(rng.choice((1, 1, 2))):
        entry = start + 2 + 12 * rng.randrange(count)
        match rng.randrange(5):
            case 0:
                struct.pack_into(order + "H", data, entry, rng.choice((256, 257, 258, 277, 284, 322, 338, 339, 42113)))
            case 1:
                struct.pack_into(order + "H", data, entry + 2, rng.randrange(20))
            case 2:
                struct.pack_into(order + "I", data, entry + 4, rng.choice(INTEGERS) % 2**32)
            case 3:
                struct.pack_into(order + "H", data, entry + 8, rng.choice(INTEGERS) % 2**16)
            case 4:
                struct.pack_into(order + "I", data, entry + 8, rng.choice((*INTEGERS, len(data))) % 2**32)
    return bytes(data)


def archive(content: bytes, rng: random.Random) -> bytes:
    """An array of an .npz changed in values, type or shape; or a member of another archive changed in its bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = rng.choice(sorted(members))
    if name.endswith(".npy") and rng.random() < 0.8:
        stored = io.BytesIO()
        np.save(stored, array(np.load(io.BytesIO(members[name])), rng), allow_pickle=True)
        members[name] = stored.getvalue()
    elif rng.random() < 0.3:
        del members[name]
    else:
        members[name] = noise(members[name], rng)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, member in members.items():
            file.writestr(name, member)
    return made.getvalue()


def array(values: np.ndarray, rng: random.Random) -> np.ndarray:
    """An array of another type, shape or with other values."""
    match rng.randrange(7):
        case 0:
            return values.astype(rng.choice(("O", "U5", "S3", "f8", "i1", "c16", "?", "f2", "u8")))
        case 1:
            return values.reshape(-1)
        case 2:
            return values[None]
        case 3:
            return values[: rng.randrange(len(values) + 1)] if values.ndim else values
        case 4:
            return np.array(rng.choice((0, 1.5, "x", math.nan)))
        case 5:
            return values[..., :1] if values.ndim else values
        case _:
            changed = values.copy().reshape(-1)
            if changed.size:
                with np.errstate(all="ignore"), contextlib.suppress(ValueError, OverflowError):
                    changed[rng.randrange(changed.size)] = rng.choice((-1, 0, 10**9, math.nan, math.inf, -math.inf))
            return changed.reshape(values.shape)


def safetensors(content: bytes, rng: random.Random) -> bytes:
    """The JSON head of a safetensors file changed, its length made right."""
    size = int.from_bytes(content[:8], "little")
    head = _dump(change(json.loads(content[8 : 8 + size]), rng), rng)
    return len(head).to_bytes(8, "little") + head + content[8 + size :]


def onnx_file(content: bytes, rng: random.Random) -> bytes:
    """Metadata of an ONNX file changed, or a node, an initial value, an input or an output of its graph."""
    import onnx

    model = onnx.load_from_string(content)
    if rng.random() < 0.7:
        entry = rng.choice(model.metadata_props)
        match rng.randrange(4):
            case 0:
                model.metadata_props.remove(entry)
            case 1:
                entry.value = rng.choice([word for word in WORDS if "\ud800" not in word])
            case _:
                entry.value = json.dumps(change(json.loads(entry.value), rng))
        return bytes(model.SerializeToString())
    graph = model.graph
    match rng.randrange(6):
        case 0:
            del graph.node[rng.randrange(len(graph.node))]
        case 1:
            del graph.initializer[rng.randrange(len(graph.initializer))]
        case 2:
            graph.output[0].name = rng.choice(("x", graph.input[0].name))
        case 3:
            graph.input[0].name = "x"
        case 4:
            dims = rng.choice(graph.input).type.tensor_type.shape.dim
            dims[rng.randrange(len(dims))].dim_value = rng.choice((0, 1, 3, 7, 2**31))
        case 5:
            rng.choice(graph.input).type.tensor_type.elem_type = rng.randrange(1, 12)
    return bytes(model.SerializeToString())


STRUCTURES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "json": json_text, "lines": json_lines, "yaml": yaml_text, "xml": xml_text, "png": png, "jpeg": jpeg, "tiff": tiff,
    "zip": archive, "safetensors": safetensors, "onnx": onnx_file,
}  # fmt: skip


# Names and folders


def rearrange(root: Path, file: Path, rng: random.Random) -> None:
    """Rename, remove, double or replace a file or its folder."""
    match rng.randrange(11):
        case 0:
            file.unlink()
        case 1:
            file.unlink()
            file.mkdir()
        case 2:
            file.rename(
                file.with_suffix(rng.choice((".png", ".txt", ".json", ".csv", ".tif", ".jpg", ".xml", "", ".gz")))
            )
        case 3:
            name = rng.choice(
                (b"\xff\xfe", "é".encode(), "e\u0301".encode(), b" ", b"a b", b"#", b"x" * 200, b"a\nb", b"%")
            )
            file.rename(file.with_name(os.fsdecode(name) + file.suffix))
        case 4:
            file.rename(file.with_name(file.name.upper()))
        case 5:
            shutil.copy(file, file.with_name(f"{file.stem}_2{file.suffix}"))
        case 6:
            file.unlink()
            file.symlink_to(rng.choice((file.name, "missing", "..", "/dev/null")))
        case 7 if file.parent != root:
            shutil.rmtree(file.parent)
        case 8 if file.parent != root:
            file.parent.rename(file.parent.with_name(rng.choice(("images", "train", "val", "Masks", "x", "labels"))))
        case 9:
            shutil.copy(file, root / file.name)
        case _:
            (file.parent / rng.choice((".hidden", "Thumbs.db", "._" + file.name, "notes.txt"))).write_bytes(b"\0x")
