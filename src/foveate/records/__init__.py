"""The vocabulary that every folder shares: typed records that flow from files to pages, one file a family."""

from __future__ import annotations

from foveate.records.base import IGNORE, ClassTable, Preprocessing, Table, TransformerOutput, TransformView
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
from foveate.records.instances import (
    InstanceBatch,
    InstanceOutput,
    InstancePrediction,
    Instances,
    InstanceSample,
    ObjectSample,
)
from foveate.records.questions import (
    QuestionBatch,
    QuestionDataset,
    QuestionOutput,
    QuestionPrediction,
    QuestionPreprocessing,
    QuestionSample,
)
from foveate.records.semantic import SemanticBatch, SemanticDataset, SemanticOutput, SemanticPrediction, SemanticSample
from foveate.records.source import DataSource, Problem, UnusableFilesError, summarise

__all__ = [
    "IGNORE",
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
    "InstanceBatch",
    "InstanceOutput",
    "InstancePrediction",
    "InstanceSample",
    "Instances",
    "ObjectSample",
    "Preprocessing",
    "Problem",
    "QuestionBatch",
    "QuestionDataset",
    "QuestionOutput",
    "QuestionPrediction",
    "QuestionPreprocessing",
    "QuestionSample",
    "SemanticBatch",
    "SemanticDataset",
    "SemanticOutput",
    "SemanticPrediction",
    "SemanticSample",
    "Sentence",
    "Table",
    "TransformView",
    "TransformerOutput",
    "UnusableFilesError",
    "summarise",
]
