"""Pages of the site that are not files of docs/: the commands, from their `--help`, and CONTRIBUTING.md.

MkDocs calls these functions (`hooks` of mkdocs.yml).
"""

from __future__ import annotations

from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from sim.cli import uticket

ROOT = Path(__file__).parent.parent
CONTRIBUTING = "contributing.md"


def commands() -> str:
    """`uticket --help`, and that of every command, as a page."""
    top = click.Context(uticket, info_name="uticket", terminal_width=100)
    parts = [
        "# Commands",
        "What `uticket` and its commands print for `--help`.",
        _fenced(uticket.get_help(top)),
    ]
    for name in uticket.list_commands(top):
        command = uticket.get_command(top, name)
        if command is None:
            raise ValueError(f"uticket lists {name}, and does not have it")
        context = click.Context(command, info_name=name, parent=top, terminal_width=100)
        parts += [f"## `uticket {name}`", _fenced(command.get_help(context))]
    return "\n\n".join(parts) + "\n"


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("](docs/", "](")
    pages = {"reference/commands.md": commands(), CONTRIBUTING: contributing}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that are right in the repository are right on the site, too."""
    up = "../" * page.file.src_uri.count("/")
    return markdown.replace(f"]({up}../CONTRIBUTING.md", f"]({up}{CONTRIBUTING}")
