"""Label masks -> class indices: one place that decides, over all files of a set, what their pixel values mean.

palette, index: a palette's indices or the grey values (whole numbers of any type) are the labels.
binary: 0 and 255 (or 0 and 65535), also beside masks of 0 and 1, and with smoothed edges; the other one is class 1.
rgb: colours, of pixels or of palettes; the class list gives the class of each.
objects: the values number the objects of a picture; every object is class 1.
Where the colours of a set say nothing and its alpha channel varies, the alpha channel is read in these ways.

`recognise_masks` decides; `MaskReader` reads a file. `tally` sums the files up, `evidence` looks where values lie.
"""

from foveate.datasets.masks.doubts import split_doubts as split_doubts
from foveate.datasets.masks.meaning import recognise_masks as recognise_masks
from foveate.datasets.masks.published import Published as Published
from foveate.datasets.masks.reader import MaskReader as MaskReader
from foveate.datasets.masks.reader import color_reader as color_reader
