"""ONNX files, of any family: the graphs that a task gives, how they are written, and how they are opened again.

task.graphs(model) -> Graphs -> write_graph       export
OnnxFile.open(path) -> task.open(file)            a runner, in ONNX Runtime or OpenVINO
"""

from __future__ import annotations

from foveate.onnx.file import OnnxFile as OnnxFile
from foveate.onnx.file import metadata_of as metadata_of
from foveate.onnx.graphs import Graph as Graph
from foveate.onnx.graphs import Graphs as Graphs
from foveate.onnx.graphs import require_exportable as require_exportable
from foveate.onnx.graphs import require_same_shape as require_same_shape
from foveate.onnx.graphs import sibling_path as sibling_path
from foveate.onnx.graphs import worst as worst
from foveate.onnx.logits import LogitsRunner as LogitsRunner
from foveate.onnx.logits import logits_graphs as logits_graphs
from foveate.onnx.runtimes import TITLES as TITLES
from foveate.onnx.runtimes import default_runtime as default_runtime
from foveate.onnx.runtimes import open_session as open_session
from foveate.onnx.runtimes import require_runtime as require_runtime
from foveate.onnx.write import OPSET as OPSET
from foveate.onnx.write import prepared as prepared
from foveate.onnx.write import require_extra as require_extra
from foveate.onnx.write import write_graph as write_graph
