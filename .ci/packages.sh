#!/usr/bin/env bash
# Wheel and sdist: built, looked into, and installed into an environment of their own, from which the verbs answer.
# The wheel's dependencies are those of the developers' environment, so that nothing is downloaded twice.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/from_tree" .
"$python" -m venv "$work/build"
"$work/build/bin/pip" install --quiet "hatchling>=1.25"
"$work/build/bin/python" -m hatchling build -t sdist -d "$work/sdist" >/dev/null
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/from_sdist" "$work"/sdist/*.tar.gz
# What is built from the sdist is what is built from the tree.
diff <(cd "$work/from_tree" && unzip -l ./*.whl | awk '{print $1, $4}' | sort) \
     <(cd "$work/from_sdist" && unzip -l ./*.whl | awk '{print $1, $4}' | sort)

"$python" -m venv "$work/clean"
site=$("$python" -c 'import site; print(site.getsitepackages()[0])')
"$work/clean/bin/pip" install --quiet --no-deps "$work"/from_sdist/*.whl
clean=$("$work/clean/bin/python" -c 'import site; print(site.getsitepackages()[0])')
echo "$site" > "$clean/dependencies.pth"  # after the wheel's own folder on the path
cd "$work"
"$work/clean/bin/python" - "$clean" <<'PY'
import sys
from pathlib import Path

import foveate

assert Path(foveate.__file__).is_relative_to(sys.argv[1]), foveate.__file__  # the wheel's, not the tree's
PY
"$work/clean/bin/foveate" --version
"$work/clean/bin/foveate" recipes fcn8s >/dev/null
"$work/clean/bin/foveate" train fcn8s_pasture --data.train 2 --data.val 1 --data.height 32 --data.width 32 --epochs 1 \
    --batch_size 2 --config.backbone test_efficientnet --config.pretrained false --config.head_kernel 1 \
    --config.head_channels 8 --config.skip_channels 0 --config.lovasz 0 --augment.crop= --freeze= --ema 0 --out run
test -s run/report.html  # the style sheet is in the wheel
echo "packages: wheel and sdist agree, install, and train"
