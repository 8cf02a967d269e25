"""Proves that tests notice faults: puts each of tb/faults.toml into the RTL and runs its test.

Usage: python -m tb.faults [TEXT ...], only the faults whose name holds one of the texts if any is given

A fault is caught when its test fails by a mismatch or a time limit, as pytest's report says; a mutant
that does not build, an edit that matches nothing and a test that breaks otherwise are errors. Each
test must pass without its fault. Exit status 0 only when all faults are caught.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from sim.rtl.verilator import FILTER
from tb.mutate import Fault, load

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 900
# What a report says where the RTL did something wrong, and not the test bench or the tools. A bare
# assert counts where pytest itself shows it; further right stand the lines of a simulation's traceback.
MISMATCH = re.compile(
    r"^E(?: {3,12}assert\b.*|\s+(?:\w+\.)*(?:AssertionError|SimTimeoutError|RtlError)\b.*|"
    r"\s+Failed: DID NOT RAISE .*RtlError.*)",
    re.MULTILINE,
)
BROKEN = re.compile(r"^E .*(?:does not build|BadInput).*", re.MULTILINE)


def run_test(test: str, variables: dict[str, str]) -> tuple[str, str]:
    """Run one pytest node: ("passed" | "mismatch" | "broken", the reason, a line)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        command += ["--no-cov", f"--junitxml={report}", test]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return "broken", f"the test took more than {TIMEOUT_S} s"
        if done.returncode == 0:
            return "passed", ""
        if not report.is_file():
            return "broken", (done.stdout.strip().splitlines() or ["no output"])[-1]
        # Our own report of our own tests: nothing of it comes from outside.
        tree = ElementTree.parse(report)  # noqa: S314
    failures = [node for kind in ("failure", "error") for node in tree.iter(kind)]
    if not failures:
        return "broken", f"pytest's exit status {done.returncode}"
    return classify("\n".join(node.text or "" for node in failures))


def classify(text: str) -> tuple[str, str]:
    """What pytest's report of a failure says: ("mismatch" | "broken", the reason, a line)."""
    wrong = BROKEN.search(text)
    if wrong:
        return "broken", wrong[0][1:].strip()[:200]
    found = MISMATCH.search(text)
    if found:
        return "mismatch", found[0][1:].strip()[:100]
    errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E")]
    return "broken", (errors or ["no reason given"])[0][:200]


def check(fault: Fault) -> tuple[bool, str]:
    """Whether a fault is caught, and how, or why not."""
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder, "applied")
        command = shlex.join([sys.executable, "-m", "tb.mutate", fault.name, str(marker)])
        outcome, reason = run_test(fault.test, {FILTER: command})
        applied = marker.exists()
    if outcome == "broken":
        return False, f"error: {reason}"
    if not applied:
        return False, f"error: {fault.test} builds no {fault.file}, or the edit does not match"
    if outcome == "passed":
        return False, "NOT CAUGHT: the test passes"
    return True, reason


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    os.environ.pop(FILTER, None)
    faults = [f for f in load() if not arguments or any(text in f.name for text in arguments)]
    tests = sorted({fault.test for fault in faults})
    failures, started = [], time.perf_counter()
    for k, test in enumerate(tests, 1):
        outcome, reason = run_test(test, {})
        if outcome != "passed":
            failures.append(f"{test}: fails without a fault: {reason}")
        print(f"[{k}/{len(tests)}] without faults: {test}: {outcome} {reason}", flush=True)
    caught: dict[str, list[bool]] = {}
    for k, fault in enumerate(faults, 1):
        begin = time.perf_counter()
        good, reason = check(fault)
        caught.setdefault(fault.component, []).append(good)
        if not good:
            failures.append(f"{fault.name}: {reason}")
        verdict = "caught" if good else "FAILED"
        seconds = time.perf_counter() - begin
        print(
            f"[{k}/{len(faults)}] {fault.name}: {verdict} ({seconds:.0f} s): {reason}", flush=True
        )
    print(f"\n{'component':<16}{'faults':>8}{'caught':>8}")
    for component, goods in caught.items():
        print(f"{component:<16}{len(goods):>8}{sum(goods):>8}")
    total = sum(sum(goods) for goods in caught.values())
    print(f"{'all':<16}{len(faults):>8}{total:>8}   {time.perf_counter() - started:.0f} s")
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures or not faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
