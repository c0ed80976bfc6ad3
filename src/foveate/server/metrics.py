"""Counters of a server in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping

from foveate.version import __version__

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Name -> (type, help).
FAMILIES = {
    "foveate_info": ("gauge", "The version that runs; always 1."),
    "foveate_ready": ("gauge", "1 when every model has answered once and the server is not stopping."),
    "foveate_requests_total": ("counter", "Answers by model and HTTP status; the model is empty for other addresses."),
    "foveate_rejected_total": ("counter", "Requests refused because the queue was full."),
    "foveate_queue_depth": ("gauge", "Requests that are read, wait or run."),
    "foveate_inputs_total": ("counter", "Pictures, texts and other inputs that were answered, by model."),
    "foveate_received_bytes_total": ("counter", "Bytes of the bodies that were answered, by model."),
    "foveate_stage_seconds": ("summary", "Seconds that an input waited, was decoded, run and encoded, by model."),
}
STAGES = ("wait", "decode", "run", "encode")


class Metrics:
    """Sums of a process, which several threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._sums: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._counts: defaultdict[tuple[str, str], int] = defaultdict(int)

    def count_request(self, model: str, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self._requests[model, status] += 1

    def count_input(self, model: str, seconds: Mapping[str, float]) -> None:
        """Count an answered input. seconds: of each of STAGES."""
        with self._lock:
            self._counts[model, "inputs"] += 1
            for stage in STAGES:
                self._sums[model, stage] += seconds[stage]
                self._counts[model, stage] += 1

    def count_bytes(self, model: str, size: int) -> None:
        """Count the bytes of a body."""
        with self._lock:
            self._counts[model, "bytes"] += size

    def text(self, ready: bool, depth: int, rejected: int) -> str:
        """All values. ready, depth, rejected: of the server and its queue now."""
        with self._lock:
            values = list(self._values(ready, depth, rejected))
        lines = []
        for name, (kind, words) in FAMILIES.items():
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
            lines += [
                f"{sample}{_labels(labels)} {value:.6f}"
                if isinstance(value, float)
                else f"{sample}{_labels(labels)} {value}"
                for family, sample, labels, value in values
                if family == name
            ]
        return "\n".join(lines) + "\n"

    def _values(
        self, ready: bool, depth: int, rejected: int
    ) -> Iterator[tuple[str, str, Mapping[str, str], int | float]]:
        """(family, sample, labels, value) of each."""
        yield "foveate_info", "foveate_info", {"version": __version__}, 1
        yield "foveate_ready", "foveate_ready", {}, int(ready)
        yield "foveate_rejected_total", "foveate_rejected_total", {}, rejected
        yield "foveate_queue_depth", "foveate_queue_depth", {}, depth
        for (model, status), number in sorted(self._requests.items()):
            yield "foveate_requests_total", "foveate_requests_total", {"model": model, "status": str(status)}, number
        for (model, what), number in sorted(self._counts.items()):
            if what in STAGES:
                labels = {"model": model, "stage": what}
                yield "foveate_stage_seconds", "foveate_stage_seconds_sum", labels, self._sums[model, what]
                yield "foveate_stage_seconds", "foveate_stage_seconds_count", labels, number
            else:
                name = {"inputs": "foveate_inputs_total", "bytes": "foveate_received_bytes_total"}[what]
                yield name, name, {"model": model}, number


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {
        key: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for key, value in labels.items()
    }
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}" if labels else ""
