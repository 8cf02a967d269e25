"""The browser, and the three kinds of page that it looks at; all are made by the models, without an RTL."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from sim import deployment
from sim.catalog import load_model
from sim.cli import main
from sim.reports import run_report

SPEC = (
    "{sparsity: 0.99, policy: [none, sort, random], n_pe: [4, 8, 16, 32], accumulators: [64, 256]}"
)


@pytest.fixture(scope="session")
def browser():
    """Chromium, of Debian's package or of $CHROMIUM's path."""
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    assert path, "no browser; on Debian: apt-get install chromium"
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Of the pages, by the names in PAGES."""
    return tmp_path_factory.mktemp("pages")


def report(folder: Path) -> Path:
    """VGG-16's report, its cycles from the cycle model."""
    model = load_model("vgg16_cifar10")
    methods = [model.method(name) for name in ("uticket", "lth", "sort")]
    deployed = deployment.deployments(model, methods, model.hardware)
    images, labels = deployed[0].images(1)
    runs = [one.predict(images) for one in deployed]
    runs = [replace(r, images=tuple(replace(i, rtl_s=1.0) for i in r.images)) for r in runs]
    made = run_report.build(model.name, runs[0], runs[1], labels, beside=runs[2:])
    run_report.write(made, folder / "report")
    return folder / "report" / "report.html"


def paper(folder: Path) -> Path:
    """The paper's tables and figures for one model."""
    _command("paper", "vgg16_fashion_mnist", "--images", 1, "--out", folder / "paper")
    return folder / "paper" / "paper.html"


def sweep(folder: Path) -> Path:
    """A sweep of 24 designs."""
    (folder / "spec.yaml").write_text(SPEC)
    _command(
        "sweep", folder / "spec.yaml", "--jobs", 1, "--spot-checks", 0, "--out", folder / "s.csv"
    )
    return folder / "s.html"


def _command(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert not ended.value.code


PAGES = {"report": report, "paper": paper, "sweep": sweep}


@pytest.fixture(scope="session", params=PAGES)
def page_file(request, folder):
    """A page of each kind, made once."""
    return PAGES[request.param](folder)
