"""The part of test_studio_labelme.py that a Python with labelme runs: open label files, write them again, paint.

python labelme_side.py FOLDER OUT: every FOLDER/*.json is opened and saved by labelme as its window does it; OUT gets
`<stem>.npy`, the pixels of each shape alone, (shapes, H, W) bool.
"""

import sys
from pathlib import Path

import numpy as np
from labelme import LabelFile
from labelme.utils import img_arr_to_b64, img_data_to_arr, shapes_to_label


def main(folder: Path, out: Path) -> None:
    for file in sorted(folder.glob("*.json")):
        opened = LabelFile(str(file))
        size = img_data_to_arr(opened.imageData).shape[:2]
        shapes = [save(shape) for shape in opened.shapes]
        opened.save(
            filename=str(file), shapes=shapes, image_path=opened.imagePath, image_height=size[0], image_width=size[1],
            image_data=None, other_data=opened.otherData, flags=opened.flags,
        )  # fmt: skip
        painted = [shapes_to_label(size, [shape], {shape["label"]: 1})[0] > 0 for shape in LabelFile(str(file)).shapes]
        np.save(out / f"{file.stem}.npy", np.array(painted, bool).reshape(-1, *size))


def save(shape: dict) -> dict:
    """A shape as labelme's window hands it to LabelFile.save."""
    mask = None if shape["mask"] is None else img_arr_to_b64(shape["mask"].astype(np.uint8))
    return shape["other_data"] | {key: shape[key] for key in shape if key != "other_data"} | {"mask": mask}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
