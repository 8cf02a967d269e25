"""Writes Liberty: what the cells of our own, macros and PEs, have in common."""

from __future__ import annotations

from collections.abc import Iterable

SLEW = 0.05  # ns, of every output


def library(name: str, widths: Iterable[int], cells: Iterable[str]) -> str:
    """A library in ns and pF. widths: of the buses in its cells."""
    text = (
        f"library ({name}) {{\n delay_model : table_lookup;\n"
        ' time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA";\n'
        ' pulling_resistance_unit : "1kohm"; leakage_power_unit : "1mW";\n'
        " capacitive_load_unit (1, pf);\n"
    )
    for edge in ("rise", "fall"):
        text += f" input_threshold_pct_{edge} : 50; output_threshold_pct_{edge} : 50;\n"
        text += f" slew_lower_threshold_pct_{edge} : 20; slew_upper_threshold_pct_{edge} : 80;\n"
    for width in sorted(set(widths) - {1}):
        text += (
            f" type (bits{width}) {{ base_type : array; data_type : bit; bit_width : {width};"
            f" bit_from : {width - 1}; bit_to : 0; }}\n"
        )
    return text + "".join(cells) + "}\n"


def clock(load_pf: float) -> str:
    """The pin `clk`."""
    return f"  pin (clk) {{ direction : input; clock : true; capacitance : {load_pf:.6f}; }}\n"


def input_(name: str, width: int, load_pf: float, setup: float) -> str:
    """An input that must be there `setup` ns before the clock's edge."""
    value = _scalar(setup)
    return (
        f"  {_port(name, width)} direction : input; capacitance : {load_pf:.6f};\n"
        '   timing () { related_pin : "clk"; timing_type : setup_rising;'
        f" rise_constraint {value} fall_constraint {value} }} }}\n"
    )


def output(name: str, width: int, delay: float) -> str:
    """An output that is there `delay` ns after the clock's edge."""
    value, slew = _scalar(delay), _scalar(SLEW)
    return (
        f"  {_port(name, width)} direction : output;\n"
        '   timing () { related_pin : "clk"; timing_type : rising_edge;'
        f" cell_rise {value} cell_fall {value} rise_transition {slew} fall_transition {slew} }} }}\n"
    )


def _port(name: str, width: int) -> str:
    return f"pin ({name}) {{" if width == 1 else f"bus ({name}) {{ bus_type : bits{width};"


def _scalar(value: float) -> str:
    return f'(scalar) {{ values ("{value:.4f}"); }}'
