"""The vocabulary that every folder shares: typed records that flow from files to pages, one file a family."""

from __future__ import annotations

from foveate.records.base import (
    IGNORE,
    UNNAMED_PAIR,
    ClassTable,
    Preprocessing,
    Table,
    TransformerOutput,
    TransformView,
)
from foveate.records.captioning import (
    Caption,
    CaptionBatch,
    CaptionDataset,
    CaptionOutput,
    CaptionPrediction,
    CaptionSample,
    Sentence,
)
from foveate.records.classification import (
    ClassificationBatch,
    ClassificationDataset,
    ClassificationOutput,
    ClassificationPrediction,
    ClassificationSample,
)
from foveate.records.colocalisation import (
    ColocalisationBatch,
    ColocalisationOutput,
    ColocalisationPrediction,
    ColocalisationSample,
)
from foveate.records.drawing import (
    Binarisation,
    DrawingBatch,
    DrawingOutput,
    DrawingPrediction,
    DrawingPreprocessing,
    DrawingSample,
    PixelKind,
)
from foveate.records.instances import (
    InstanceBatch,
    InstanceOutput,
    InstancePrediction,
    Instances,
    InstanceSample,
    ObjectSample,
)
from foveate.records.semantic import SemanticBatch, SemanticDataset, SemanticOutput, SemanticPrediction, SemanticSample
from foveate.records.source import DataSource, Problem, UnusableFilesError, summarise
from foveate.records.translation import (
    Translation,
    TranslationBatch,
    TranslationDataset,
    TranslationOutput,
    TranslationPrediction,
    TranslationPreprocessing,
    TranslationSample,
)

__all__ = [
    "IGNORE",
    "UNNAMED_PAIR",
    "Binarisation",
    "Caption",
    "CaptionBatch",
    "CaptionDataset",
    "CaptionOutput",
    "CaptionPrediction",
    "CaptionSample",
    "ClassTable",
    "ClassificationBatch",
    "ClassificationDataset",
    "ClassificationOutput",
    "ClassificationPrediction",
    "ClassificationSample",
    "ColocalisationBatch",
    "ColocalisationOutput",
    "ColocalisationPrediction",
    "ColocalisationSample",
    "DataSource",
    "DrawingBatch",
    "DrawingOutput",
    "DrawingPrediction",
    "DrawingPreprocessing",
    "DrawingSample",
    "InstanceBatch",
    "InstanceOutput",
    "InstancePrediction",
    "InstanceSample",
    "Instances",
    "ObjectSample",
    "PixelKind",
    "Preprocessing",
    "Problem",
    "SemanticBatch",
    "SemanticDataset",
    "SemanticOutput",
    "SemanticPrediction",
    "SemanticSample",
    "Sentence",
    "Table",
    "TransformView",
    "TransformerOutput",
    "Translation",
    "TranslationBatch",
    "TranslationDataset",
    "TranslationOutput",
    "TranslationPrediction",
    "TranslationPreprocessing",
    "TranslationSample",
    "UnusableFilesError",
    "summarise",
]
