"""`uticket train`: train, prune, balance and write a model's tickets."""

from __future__ import annotations

import click

from sim.errors import BadInput

POLICIES = {"lth": "none", "uticket": "magnitude"}
"""Balancing policy of each method that is trained; other methods are made from its ticket."""
SEED = 1  # of the tickets that ship


@click.command()
@click.argument("model")
@click.option("--method", help=f"One of {', '.join(POLICIES)}; all of them if left out.")
@click.option("--schedule", help="A name of sw/schedules.py; default: the model's.")
@click.option("--seed", default=SEED, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all if left out.")
@click.option("--images", default=10_000, show_default=True, help="Test images for the accuracy.")
@click.option(
    "--weight-bits",
    type=click.Choice(["16", "8", "4"]),
    help="Default: the model's. Below 16 the last rounds train with quantized weights; other "
    "bits than the model's give a ticket of their own, METHOD_Nbit.npz.",
)
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), help="Default: cuda where there is a GPU."
)
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=True,
    show_default=True,
    help="Compile the neurons; they run uncompiled where no compiler works.",
)
def command(
    model: str,
    method: str | None,
    schedule: str | None,
    seed: int,
    threads: int | None,
    images: int,
    weight_bits: str | None,
    device: str | None,
    compiled: bool,
) -> None:
    """Train MODEL's tickets from nothing, or go on where a run stopped (build/train).

    On several devices: torchrun --nproc-per-node=N -m sim.cli train MODEL (docs/training.md).
    """
    from dataclasses import replace
    from pathlib import Path

    from sim.catalog import load_model
    from sw.schedules import SCHEDULES

    chosen = load_model(model)
    schedule = schedule or chosen.schedule
    if schedule not in SCHEDULES:
        raise BadInput(f"unknown schedule {schedule!r}; allowed: {', '.join(SCHEDULES)}")
    trained = [name for name in chosen.methods if name in POLICIES]
    if method is not None and method not in trained:
        raise BadInput(f"METHOD {method!r} is not trained; allowed: {', '.join(trained)}")
    if chosen.network is None or chosen.dataset is None:
        raise BadInput(f"{model} is a single ticket; allowed: a MODEL that names its network")
    try:
        import torch
    except ImportError:
        raise BadInput("PyTorch is missing; `make train` installs it") from None
    from sim.reports.progress import TrainingBar
    from sw import datasets, networks, ticket
    from sw.devices import connected, default_device
    from sw.make_ticket import make_ticket
    from sw.train import Trainer

    if threads:
        torch.set_num_threads(threads)
    dataset = datasets.load(chosen.dataset)
    layers = networks.build(chosen.network, in_channels=dataset.channels)
    folder = Path("build") / "train" / chosen.name / schedule
    hardware = replace(chosen.hardware, weight_bits=int(weight_bits or chosen.hardware.weight_bits))
    suffix = f"_{hardware.weight_bits}bit" if hardware != chosen.hardware else ""
    with connected(device or default_device()) as devices, TrainingBar(devices.first) as bar:
        for name in [method] if method else trained:
            if devices.first:
                bar.log(f"training {chosen.name} {name}, schedule {schedule}, seed {seed}")
            trainer = Trainer(
                layers,
                dataset,
                replace(SCHEDULES[schedule], weight_bits=hardware.weight_bits),
                policy=POLICIES[name],
                n_pe=hardware.n_pe,
                seed=seed,
                folder=folder,
                log=bar.log,
                watch=bar if bar.shown else None,
                devices=devices,
                fused=compiled,
            )
            trainer.run(name + suffix)
            if devices.first:
                result = make_ticket(
                    folder / f"{name}{suffix}.pt",
                    dataset,
                    network=chosen.network,
                    method=name,
                    schedule=schedule,
                    policy=POLICIES[name],
                    n_pe=hardware.n_pe,
                    seed=seed,
                    config=hardware,
                    images=images,
                    log=bar.log,
                )
                out = chosen.methods[name].ticket
                out = out.with_stem(out.stem + suffix)
                ticket.save(result, out)
                bar.log(f"wrote {out}")
            devices.wait()
