"""The paper's claims, each beside what we find: text and thresholds as data, facts by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.models.components import total_pj
from sim.models.eq3 import load_technology
from sim.paper.document import Claim
from sim.paper.figure_1 import OWN, final, tasks
from sim.paper.figure_7a import printed_splits, split
from sim.paper.pairs import Pair, cut
from sim.paper.published import published
from sim.rivals import rivals

Facts = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A claim: texts with facts by name, and a verdict by a fact's value."""

    claim: str
    printed: str
    """A dash where the paper has no such ticket."""
    ours: str
    why: str
    fact: str
    """What decides: the verdict is `met` where it is above and below the limits, else `unmet`."""
    above: float = -np.inf
    below: float = np.inf
    met: str = "holds"
    unmet: str = "does not hold"
    doubt: str | None = None
    """A fact: the verdict is open where the size of what decides is less."""

    def applied(self, facts: Facts, name: str = "") -> Claim:
        """To facts; name: of the model."""
        value = facts[self.fact]
        verdict = self.met if self.above < value < self.below else self.unmet
        if self.doubt is not None and abs(value) < facts[self.doubt]:
            verdict = "open"
        return Claim(
            claim=f"{name}: {self.claim}" if name else self.claim,
            printed=_filled(self.printed, facts),
            ours=_filled(self.ours, facts),
            verdict=verdict,
            why=_filled(self.why, facts),
        )


def _filled(text: str, facts: Facts) -> str:
    try:
        return text.format(**facts)
    except KeyError:
        return "-"


OF_THE_PAPER = (
    Rule(
        claim="Energy cuts of Fig. 7a follow from Tables I and II by Eq. 3",
        printed="41.8 35.4 37.2 % (VGG-16), 55.5 63.8 56.1 % (ResNet-19)",
        ours="{cut_0:.1f} {cut_1:.1f} {cut_2:.1f} {cut_3:.1f} {cut_4:.1f} {cut_5:.1f} %",
        fact="cut_error",
        below=0.5,
        why="with E_leak / E_dyn = {leak:g}, which the paper does not print and the component table "
        "gives for a low-standby-power scratchpad",
    ),
    Rule(
        claim="Balancing cuts latency by up to 76.9 % and energy by up to 63.8 %",
        printed="up to 76.9 %, 63.8 %",
        ours="balance alone, printed tables: latency {latency_low:.1f} to {latency_high:.1f} %; "
        "energy {energy_low:.1f} to {energy_high:.1f} %",
        fact="energy_high",
        above=63,
        why="at equal sparsity: the u-Tickets keep 11 to 44 % fewer weights than the LTH rows they are "
        "compared with, hence 25 to 42 % less work; balance alone gives what stands under ours",
    ),
)
OF_A_PAIR = (
    Rule(
        claim="an unbalanced ticket is poorly utilized",
        printed="{printed_utilization:.2f}",
        ours="{utilization:.2f} (Eq. 2), occupancy {occupancy:.2f}",
        fact="utilization",
        below=0.9,
        why="the mean over layers by parameters weighs small maps most; the time lost is 1 - occupancy",
    ),
    Rule(
        claim="a u-Ticket is fully utilized",
        printed="1.00",
        ours="{utilization_after:.4f}",
        fact="utilization_after",
        above=0.995,
        why="full groups exactly; the classifier's ten rows are not balanced",
    ),
    Rule(
        claim="less latency and energy than LTH",
        printed="latency {printed_latency:.1f} %, energy {printed_energy} %",
        ours="latency {latency:.1f} % in steps; energy {energy:.1f} % by Eq. 3, {energy_rtl:.1f} % by this RTL's own "
        "counts; at equal sparsity",
        fact="latency",
        above=0,
        met="holds in part",
        why="both tickets have {sparsity:.1f} % sparsity here; balance alone can give {alone:.1f} % of "
        "latency; an idle PE of this RTL costs less than Eq. 3 says",
    ),
    Rule(
        claim="accuracy within about a point of LTH",
        printed="{printed_drop:.1f} points less",
        ours="{lth_accuracy:.1f} % (LTH), {uticket_accuracy:.1f} % (u-Ticket), {test_images:,} test images",
        fact="drop",
        below=1.05,
        doubt="chance",
        why="one seed: how much two training runs differ is not known; the test images alone give the "
        "difference a standard error of {error:.1f} points",
    ),
    Rule(
        claim="no other way keeps so sparse a network busy without hardware",
        printed="GoSPA 70 %, SparTen 92 %, at lower sparsity",
        ours="sorted filters: utilization {sorted_utilization:.1f} %, occupancy {sorted_occupancy:.1f} %",
        fact="sorted_occupancy",
        above=90,
        met="holds in part",
        unmet="holds",
        why="loading filters in order of their weights costs no hardware and no accuracy and gets most of "
        "the gain",
    ),
    Rule(
        claim="a u-Ticket is ahead of the other ways to keep PEs busy",
        printed="utilization: u-Ticket 100 %, SparTen 92 %, GoSPA 70 %; no latency, no LoAS",
        ours="latency, as pruned = 1: u-Ticket {latency_uticket:.2f}, sorted {latency_sort:.2f}, "
        "SparTen GB-H {latency_gb_h:.2f}, LoAS {latency_loas:.2f}, LoAS on the u-Ticket {latency_loas_uticket:.2f}",
        fact="lead",
        above=0,
        unmet="holds in part",
        why="in utilization it is; LoAS skips neurons that never fire, so it does less work. Rivals are ideal "
        "models: no loading, no waiting, and LoAS' hardware is not counted",
    ),
    Rule(
        claim="about 19 % of the system's energy saved",
        printed="19 % (45 % PE share at 95 % sparsity x 41.8 % at 98.2 %)",
        ours="{saved:.1f} % at the final sparsity, accounting paper",
        fact="saved",
        above=19,
        why="the printed figure multiplies a share at 95 % with a cut at 98.2 % and unequal sparsity",
    ),
)


def claims(pairs: Sequence[Pair]) -> list[Claim]:
    """All of them, for the paper's own tables and for every pair."""
    leak = load_technology().leak  # as fitted: of what is printed
    found = [rule.applied(printed_facts(leak)) for rule in OF_THE_PAPER]
    for pair in pairs:
        facts = pair_facts(pair, pair.energies.eq3.leak)
        found += [rule.applied(facts, pair.name) for rule in OF_A_PAIR]
    return found


def printed_facts(leak: float) -> Facts:
    """What Eq. 3 makes of the printed Tables I and II."""
    rows = printed_splits(leak)
    latency = [row.latency_by_balance for row in rows]
    energy = [row.energy_by_balance for row in rows]
    return {
        "leak": leak,
        **{f"cut_{k}": row.energy for k, row in enumerate(rows)},
        "cut_error": max(abs(row.energy - (row.printed_energy or 0)) for row in rows),
        "latency_low": min(latency),
        "latency_high": max(latency),
        "energy_low": min(energy),
        "energy_high": max(energy),
    }


def pair_facts(pair: Pair, leak: float) -> Facts:
    """What the models find of a pair; of the printed tables where they have one like it."""
    before, after, cuts = pair.lth.totals, pair.uticket.totals, split(pair, leak)
    n_pe = pair.lth.config.n_pe
    in_order = rivals()["sort"].total(tasks(pair.lth.layers), n_pe)
    lth, uticket = (study.ticket.metadata for study in pair.studies)
    variance = sum(m["accuracy"] * (1 - m["accuracy"]) / m["test_images"] for m in (lth, uticket))
    error = 100 * float(np.sqrt(variance))
    components = pair.energies.table
    own = [total_pj(study.lines(components, "rtl")) for study in pair.studies]
    spent = [sum(study.system(components, "paper").values()) for study in pair.studies]
    return {
        "utilization": before["utilization"],
        "occupancy": before["occupancy"],
        "utilization_after": after["utilization"],
        "latency": cuts.latency,
        "energy": cuts.energy,
        "alone": cuts.latency_by_balance,
        "sparsity": 100 * before["weight_sparsity"],
        "lth_accuracy": 100 * lth["accuracy"],
        "uticket_accuracy": 100 * uticket["accuracy"],
        "drop": 100 * (lth["accuracy"] - uticket["accuracy"]),
        "test_images": lth["test_images"],
        "error": error,
        "chance": np.inf,  # each ticket is of one training run
        "sorted_utilization": 100 * (in_order.utilization or 0),
        "sorted_occupancy": 100 * (in_order.occupancy or 0),
        "energy_rtl": cut(own[1], own[0]),
        "saved": cut(spent[1], spent[0]),
        **_latencies(pair),
        **_printed_facts_of(pair),
    }


def _latencies(pair: Pair) -> Facts:
    """Of Fig. 1, the lottery ticket's as it is = 1; `lead`: by how much the u-Ticket's is shorter than the best."""
    found = {row.method: row.relative for row in final(pair)}
    others = [relative for name, relative in found.items() if name != OWN]
    return {
        "latency_uticket": found[OWN],
        "latency_sort": found["sort"],
        "latency_gb_h": found["GB-H"],
        "latency_loas": found["LoAS"],
        "latency_loas_uticket": found["LoAS, on the u-Ticket"],
        "lead": min(others) - found[OWN],
    }


def _printed_facts_of(pair: Pair) -> Facts:
    if not pair.printed:
        return {}
    lth, uticket = pair.printed["lth"], pair.printed["uticket"]
    return {
        "printed_utilization": lth["utilization"],
        "printed_latency": cut(uticket["work"], lth["work"] + lth["idle"]),
        "printed_energy": published()["energy_cut"][pair.network][pair.dataset],
        "printed_drop": lth["accuracy"] - uticket["accuracy"],
    }
