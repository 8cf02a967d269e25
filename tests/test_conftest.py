"""A skipped test counts as a failure, in one process and on several workers; libraries compute on one thread."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np  # noqa: F401 - brings its BLAS
import pytest
from threadpoolctl import threadpool_info

ROOT = Path(__file__).parent.parent
MODULES = {
    "test_mixed.py": """
import pytest

def test_passes(): pass

@pytest.mark.skip(reason="by mark")
def test_marked(): pass

def test_skips(): pytest.skip("inside")

@pytest.mark.xfail()
def test_fails(): assert False
""",
    "test_whole.py": """
import pytest
pytest.importorskip("no_such_module_at_all")
def test_never_collected(): pass
""",
}


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and output of a pytest of its own, with this repository's conftest.py."""
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "pytest.ini").touch()
    options = ["-p", "no:cacheprovider", "-p", "xdist", *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_skipped_test_fails(tmp_path, workers):
    (tmp_path / "test_mixed.py").write_text(MODULES["test_mixed.py"])
    status, output = run(tmp_path, *workers)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "2 failed, 1 passed, 1 error" in output  # a mark is seen before the test begins
    assert "skipped tests are failures" in output


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_skipped_module_fails(tmp_path, workers):
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    status, output = run(tmp_path, *workers)
    assert status != pytest.ExitCode.OK
    assert "skipped tests are failures" in output


def test_libraries_compute_on_one_thread():
    """Of NumPy and of whatever else this worker has imported."""
    found = {Path(pool["filepath"]).name: pool["num_threads"] for pool in threadpool_info()}
    assert set(found.values()) == {1}, found
