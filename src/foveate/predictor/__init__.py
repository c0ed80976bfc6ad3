"""A run folder, a model folder or an exported ONNX file -> answers about any picture.

predictor = Predictor.open("runs/first")
prediction = predictor.predict("photo.jpg")
prediction.mask            # of a semantic model: (H, W) class indices, at the photo's own size
prediction.top(3)          # of a classifier: the three likeliest classes
prediction.text            # of a captioning model: the best sentence
"""

from __future__ import annotations

from foveate.predictor.base import METADATA_KEYS, Predictor, choose_device, find_model_folder
from foveate.predictor.captioning import CaptioningPredictor
from foveate.predictor.classification import ClassificationPredictor
from foveate.predictor.picture import Picture, open_picture
from foveate.predictor.semantic import SemanticPredictor

__all__ = [
    "METADATA_KEYS",
    "CaptioningPredictor",
    "ClassificationPredictor",
    "Picture",
    "Predictor",
    "SemanticPredictor",
    "choose_device",
    "find_model_folder",
    "open_picture",
]
