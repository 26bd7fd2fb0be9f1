#!/bin/sh
# Holds graphrun's quantizer to the Python package sdnq, both ways: see README.md. SDNQ_PYTHON is a Python that has it, with torch,
# diffusers and transformers; without one a virtual environment is made, outside the repository.
set -e
dir=${1:?usage: run.sh DIR}
if [ -z "$SDNQ_PYTHON" ]; then
	venv=${XDG_CACHE_HOME:-$HOME/.cache}/graphrun-sdnq
	SDNQ_PYTHON=$venv/bin/python
	[ -x "$SDNQ_PYTHON" ] || python3 -m venv "$venv"
	"$SDNQ_PYTHON" -c 'import sdnq, torch, diffusers, transformers' 2>/dev/null || {
		"$SDNQ_PYTHON" -m pip install --quiet torch --index-url https://download.pytorch.org/whl/cpu || "$SDNQ_PYTHON" -m pip install --quiet torch
		"$SDNQ_PYTHON" -m pip install --quiet sdnq==0.2.8 diffusers transformers
	}
fi
rm -rf "$dir/layers" "$dir/models"
go run ./tools/sdnqcheck write "$dir/layers"
"$SDNQ_PYTHON" tools/sdnqcheck/layers.py "$dir/layers"
go run ./tools/sdnqcheck read "$dir/layers"
go run ./tools/sdnqcheck keep "$dir/layers" runtime/sdnq/testdata/written.json
if [ -n "$GRAPHRUN_GOLDEN" ]; then
	go run ./tools/sdnqcheck models "$GRAPHRUN_GOLDEN/models/tiny/tiny-sd15" "$dir/models"
	"$SDNQ_PYTHON" tools/sdnqcheck/check.py "$GRAPHRUN_GOLDEN/models/tiny/tiny-sd15" "$dir/models"
fi
