#!/usr/bin/env bash
# Measures the site on a GPU machine that has Python 3.12, and JAX or PyTorch with CUDA, but no network.
#
#   here:   bench/gpu.sh prepare [PHOTOS]   # fills .gpu/ with wheels and photos; carry it along with the checkout
#   there:  bench/gpu.sh measure OUT        # at most 8 minutes; OUT/gpu.md gets all tables
set -euo pipefail
cd "$(dirname "$0")/.."

prepare() {
  .venv/bin/python bench/gpu_prepare.py .gpu "$@"
}

measure() {
  out="$(mkdir -p "$1" && cd "$1" && pwd)"
  site="$(mktemp -d)"
  python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$site" .gpu/wheels/*.whl
  export PYTHONPATH="$PWD:$site" PYTHONUNBUFFERED=1 XLA_PYTHON_CLIENT_PREALLOCATE=false TF_CPP_MIN_LOG_LEVEL=3
  {
    nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader
    echo "$(nproc) cores, $(python3 -c 'import platform; print(platform.processor(), platform.python_version())')"
    KERAS_BACKEND=jax timeout 60 python3 -m classifier doctor 2>&1 || echo "doctor: $?"
    for part in http speeds; do
      printf '\n'
      timeout 180 python3 bench/gpu.py "$part" "$out" .gpu/photos || echo "$part: $?"
    done
    KERAS_BACKEND=jax timeout 150 python3 -m pytest -q -m gpu -p no:cacheprovider tests/classifier >"$out/tests.log" 2>&1 &
    printf '\n'
    timeout 150 python3 bench/gpu.py compared "$out" .gpu/photos || echo "compared: $?"
    wait
    printf '\n'
    tail -15 "$out/tests.log"
    cat ~/.keras/classifier/proofs.json
  } 2> >(tee "$out/errors.log" >&2) | tee "$out/gpu.md"
}

"$@"
