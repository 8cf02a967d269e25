"""The event machine's array, or its top, with its PEs outside: what each sees and says is a port, `pe_0__cast` and so on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, flipped

from hw.config import Config
from hw.event.pe import PE


class Stand(PE):
    """Stands where a PE would: hands everything on to ports outside, and back."""

    outside: Any

    def elaborate(self, platform: object) -> Module:
        m = Module()
        _join(m, flipped(self.outside), self)
        return m


class Outside(wiring.Component):
    """Ports: those of what `make` makes, and of each PE those that it has, the other way round.

    make: an array or a top, of a configuration and of what makes a PE.
    """

    def __init__(
        self, config: Config, make: Callable[[Config, Callable[[Config], PE]], wiring.Component]
    ) -> None:
        stands = [Stand(config) for _ in range(config.n_pe)]
        left = iter(stands)
        self.inside = make(config, lambda _: next(left))
        pes: dict[str, Any] = {f"pe_{i}": In(pe.signature) for i, pe in enumerate(stands)}
        super().__init__({**self.inside.signature.members, **pes})
        for name, pe in zip(pes, stands, strict=True):
            pe.outside = getattr(self, name)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inside = self.inside
        _join(m, self.inside, self)
        return m


def _join(m: Module, inner: Any, outer: Any) -> None:
    """Each input of `inner` is `outer`'s of the same name, each output the other way round."""
    signature = inner.signature
    pairs = zip(signature.flatten(inner), signature.flatten(outer), strict=True)
    for (_, member, own), (_, _, other) in pairs:
        m.d.comb += own.eq(other) if member.flow == In else other.eq(own)
