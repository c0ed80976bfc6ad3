"""Schemathesis against what /openapi.json describes. It needs an environment of its own: make test-schemathesis."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from served_models import listening

COMMAND = os.environ.get("FOVEATE_SCHEMATHESIS")
pytestmark = pytest.mark.skipif(not COMMAND, reason="FOVEATE_SCHEMATHESIS names no schemathesis")
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"
FAMILIES = ("semantic", "classification", "translation", "questions", "handwriting", "drawing")


def test_no_request_of_schemathesis_fails_the_server(serve, tmp_path):
    with listening(serve(*FAMILIES)) as url:
        words = ["--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "0"]
        words += ["--request-timeout", "120"]
        command = [Path(COMMAND).absolute(), "run", f"{url}/openapi.json", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)  # which it writes to
    assert done.returncode == 0, done.stdout
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases and cases[1] == cases[2] and int(cases[1]) >= 300, done.stdout
