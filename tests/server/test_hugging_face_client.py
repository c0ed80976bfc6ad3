"""Hugging Face's own client against a server on a real port."""

from __future__ import annotations

import numpy as np
import pytest
from served_models import CLASSES, listening, png

hub = pytest.importorskip("huggingface_hub")


def test_the_client_of_hugging_face(serve, monkeypatch):
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)  # which blocks loopback, too
    server = serve("semantic", "classification", "captioning")
    expected = server.post("/v1/models/semantic/predict", png()).json()["shares"]
    with listening(server) as url:
        segments = hub.InferenceClient(model=f"{url}/hf/semantic").image_segmentation(png())
        ranked = hub.InferenceClient(model=f"{url}/hf/classification").image_classification(png(), top_k=2)
        told = hub.InferenceClient(model=f"{url}/hf/captioning").image_to_text(png())
        with pytest.raises(Exception, match="422"):
            hub.InferenceClient(model=f"{url}/hf/semantic").image_segmentation(b"no picture")
    assert {one.label for one in segments} == {name for name, share in expected.items() if share}
    for one in segments:
        assert (np.asarray(one.mask) == 255).mean() == pytest.approx(expected[one.label])
    assert len(ranked) == 2 and {one.label for one in ranked} <= set(CLASSES.names)
    assert isinstance(told.generated_text, str)
