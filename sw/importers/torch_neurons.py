"""Neurons of the frameworks, from their modules: one function a class; docs/import.md has the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sw.importers.graph import FILE, Choice, Operation, Options, Spiking, refuse
from sw.importers.neurons import leak_choice, reset_choice, shown, spiking, start_choice

Made = tuple[Operation, tuple[Choice, ...]]


def _number(name: str, what: str, value: Any) -> float:
    """Of a number or a tensor with one value."""
    values = np.unique(np.asarray(getattr(value, "detach", lambda: value)(), np.float64))
    if len(values) != 1:
        refuse(name, f"{what} has {len(values)} values; allowed: one number")
    return float(values[0])


def _made(
    name: str,
    options: Options,
    said: str,
    *,
    leak: float,
    gain: float,
    threshold: float,
    above: bool,
    start: float = 0.0,
    half: bool = False,
) -> Made:
    """start: the potential at the start and after a reset; potentials are counted from there. half: as of `spiking`."""
    reset = reset_choice(name, options, said, "")
    one = spiking(
        name,
        options,
        leak=leak,
        gain=gain,
        threshold=threshold - start,
        above=above,
        reset=reset.value,
        half=half,
    )
    rule = ">" if above else ">="
    choices = (
        leak_choice(one, leak, FILE),
        Choice("gain", shown(gain), FILE),
        Choice("threshold", f"v {rule} {shown(threshold)}", FILE),
        reset,
        start_choice(options, shown(start), FILE, half=half),
    )
    return one, choices


def spikingjelly(name: str, module: Any, options: Options) -> Made:
    """IFNode, LIFNode, ParametricLIFNode: v += (x - (v - v_reset)) / tau, fires at v >= v_threshold.

    HalfThresholdIFNode is an IFNode that resets by subtraction and starts at half its threshold.
    """
    kind, leak, gain = type(module).__name__, 1.0, 1.0
    if kind in ("LIFNode", "ParametricLIFNode"):
        rate = 1 / _number(name, "tau", module.tau) if kind == "LIFNode" else _rate(module)
        leak, gain = 1 - rate, rate if module.decay_input else 1.0
    if not getattr(module.surrogate_function, "spiking", True):
        refuse(name, "surrogate_function.spiking = False; allowed: True")
    half = kind == "HalfThresholdIFNode"
    soft = half or module.v_reset is None
    said, start = ("subtract", 0.0) if soft else ("zero", float(module.v_reset))
    threshold = _number(name, "v_threshold", module.v_threshold)
    return _made(
        name,
        options,
        said,
        leak=leak,
        gain=gain,
        threshold=threshold,
        above=False,
        start=start,
        half=half,
    )


def _rate(module: Any) -> float:
    """1 / tau of a ParametricLIFNode."""
    return float(module.w.detach().double().sigmoid())


def snntorch(name: str, module: Any, options: Options) -> Made:
    """Leaky: v = beta v + x, fires at v > threshold; its reset to zero comes before the next input is added.

    Its subtraction comes a tick late, behind the leak (`reset_delay`), which makes no difference where nothing leaks.
    """
    for what in ("inhibition", "state_quant"):
        if getattr(module, what):
            refuse(name, f"{what} is set; allowed: False")
    factor = _number(name, "graded_spikes_factor", module.graded_spikes_factor)
    if factor != 1:
        refuse(name, f"graded_spikes_factor = {factor:g}; allowed: 1")
    reset = module._reset_mechanism
    leak = min(max(_number(name, "beta", module.beta), 0.0), 1.0)
    if reset == "none":
        refuse(name, "reset_mechanism = 'none'; allowed: 'zero', 'subtract'")
    threshold = _number(name, "threshold", module.threshold)
    said = "late" if reset == "subtract" and module.reset_delay and leak < 1 else reset
    made = _made(name, options, said, leak=leak, gain=1.0, threshold=threshold, above=True)
    return made if reset == "zero" or module.reset_delay else _differs(made, AT_ONCE)


AT_ONCE = (
    "snnTorch decides without the threshold where a potential was above it after a spike; here every "
    "potential at its threshold fires"
)


def _differs(made: Made, text: str) -> Made:
    """A neuron that is not quite the framework's, and how."""
    one, choices = made
    if not isinstance(one, Spiking):
        raise TypeError("no neuron")
    texts = (one.approximate, text)
    return replace(one, approximate="; ".join(t for t in texts if t)), choices


def sinabs(name: str, module: Any, options: Options) -> Made:
    """IAF and LIF, and those on squeezed batches: v = alpha v + (1 - alpha) x, fires at v >= spike_threshold."""
    spikes = getattr(module.spike_fn, "__name__", str(module.spike_fn))
    if spikes != "SingleSpike":
        refuse(name, f"spike_fn = {spikes}; allowed: SingleSpike, one spike a tick")
    if module.min_v_mem is not None:
        refuse(name, f"min_v_mem = {_number(name, 'min_v_mem', module.min_v_mem):g}; allowed: None")
    if module.tau_syn is not None:
        refuse(name, "tau_syn is set; allowed: None")
    said = {"MembraneReset": "zero", "MembraneSubtract": "subtract"}.get(
        type(module.reset_fn).__name__
    )
    if said is None:
        refuse(name, f"reset_fn = {module.reset_fn}; allowed: MembraneReset, MembraneSubtract")
    if getattr(module.reset_fn, "reset_value", 0.0) != 0:
        refuse(name, f"reset_value = {module.reset_fn.reset_value:g}; allowed: 0")
    if getattr(module.reset_fn, "subtract_value", None) is not None:
        refuse(name, f"subtract_value = {module.reset_fn.subtract_value}; allowed: None")
    alpha = _number(name, "alpha", module.alpha_mem_calculated)
    gain = 1 - alpha if module.norm_input and alpha < 1 else 1.0
    threshold = _number(name, "spike_threshold", module.spike_threshold)
    return _made(name, options, said, leak=alpha, gain=gain, threshold=threshold, above=False)


def norse(name: str, module: Any, options: Options) -> Made:
    """LIFBoxCell: v += dt tau_mem_inv (v_leak - v + x), fires at v > v_th, then v_reset."""
    p = module.p
    values = {what: _number(name, what, getattr(p, what)) for what in ("v_leak", "v_reset", "v_th")}
    if values["v_leak"] != values["v_reset"]:
        text = f"v_leak = {values['v_leak']:g}, v_reset = {values['v_reset']:g}; allowed: the same"
        refuse(name, text)
    method = getattr(p.reset_method, "__name__", "reset_value")
    said = {"reset_value": "zero", "reset_subtract": "subtract"}.get(method)
    if said is None or (said == "subtract" and values["v_reset"]):
        text = f"reset_method = {method}, v_reset = {values['v_reset']:g}"
        refuse(name, f"{text}; allowed: reset_value, or reset_subtract where v_reset is 0")
    rate = float(module.dt) * _number(name, "tau_mem_inv", p.tau_mem_inv)
    if not math.isfinite(rate):
        refuse(name, f"dt tau_mem_inv = {rate}; allowed: a number")
    return _made(
        name,
        options,
        said,
        leak=1 - rate,
        gain=rate,
        threshold=values["v_th"],
        above=True,
        start=values["v_reset"],
    )


NEURONS: dict[tuple[str, str], Callable[[str, Any, Options], Made]] = {
    **{
        ("spikingjelly", kind): spikingjelly
        for kind in ("HalfThresholdIFNode", "IFNode", "LIFNode", "ParametricLIFNode")
    },
    ("snntorch", "Leaky"): snntorch,
    **{("sinabs", kind): sinabs for kind in ("IAF", "IAFSqueeze", "LIF", "LIFSqueeze")},
    ("norse", "LIFBoxCell"): norse,
}
"""By library and class."""
