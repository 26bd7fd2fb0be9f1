#!/usr/bin/env bash
# Makes the virtual environment of the peers: bash setup.sh [FOLDER]. Each package is optional; what does not install is
# reported, and run.py leaves it out, visibly. stable-diffusion-cpp-python is compiled for this machine, which takes a C++
# compiler and up to an hour. Versions can be pinned: TORCH='torch==2.15.0' bash setup.sh
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
venv=${1:-venv}
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv" || exit 1

missing=()
install() { # WHAT PACKAGE...
	local what=$1
	shift
	"$venv/bin/python" -m pip install --quiet "$@" || missing+=("$what")
}
install torch "${TORCH:-torch}" numpy
install diffusers "${DIFFUSERS:-diffusers}" transformers accelerate
install sdnq "${SDNQ:-sdnq}"
install openvino "${OPENVINO:-openvino}"
install nncf "${NNCF:-nncf}"
install stable-diffusion-cpp-python "${SDCPP:-stable-diffusion-cpp-python}"

"$venv/bin/python" -m pip list 2>/dev/null | grep -iE '^(torch|diffusers|sdnq|openvino|nncf|stable.diffusion.cpp.python) '
for m in ${missing[@]+"${missing[@]}"}; do echo "did not install, will be left out: $m"; done
