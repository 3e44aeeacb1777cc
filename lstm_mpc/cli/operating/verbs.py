"""What the verbs beside a plant do, and what they print."""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mpc.errors import InputError

if TYPE_CHECKING:  # the parser is quick without them
    from lstm_mpc.cli.words import Answer
    from lstm_mpc.directory import Project
    from lstm_mpc.project.steps.operate_steps import Operated


def operate(project: Project, choice: argparse.Namespace) -> Answer:
    """Run the cleared controller beside its plant."""
    from lstm_mpc.cli.console import show
    from lstm_mpc.cli.words import Answer
    from lstm_mpc.project.operation.page.options import PageOptions, users_of

    def tell(who: str, what: str, text: str) -> None:
        if not (choice.quiet or choice.json):
            show([f"{datetime.now(UTC):%H:%M:%S}  {who}  {what}  {text}"])

    page = None
    if choice.page:
        page = PageOptions(
            users_of(choice.users),
            choice.page_host,
            choice.page_port,
            choice.page_certificate,
            choice.page_key,
        )

    def ready() -> None:
        if page is not None:
            drawn = [] if choice.users else page.users
            tokens = [f"{user.role}: {page.url}/?token={user.token}" for user in drawn]
            show([f"the page listens on {page.url}", *tokens])

    done = project.operate(
        choice.also,
        connection=choice.connection,
        history=choice.history,
        speed=choice.speed,
        page=page,
        on_event=tell,
        ready=ready,
    )
    lines = [line for each in done for line in _operated(each)]
    return Answer(lines, {"loops": [_content(each) for each in done]})


def _operated(each: Operated) -> list[str]:
    c = each.counts
    cpu = f"{1e3 * (c.cpu - c.solve) / c.samples:.2f}" if c.samples else "–"
    solve = f"{1e3 * c.solve / c.samples:.2f}" if c.samples else "–"
    kept = str(each.history) if each.history.exists() else "no history: the plant never answered"
    return [
        f"{each.name}: {c.samples} samples, {c.missed} missed, {c.late} late (at most"
        f" {1e3 * c.latest:.1f} ms), {c.flagged} flagged, {c.writes} writes, connection lost"
        f" {c.lost} time(s)",
        f"  computing a sample: {solve} ms of solving and {cpu} ms beside it → {kept}",
    ]


def _content(each: Operated) -> dict[str, Any]:
    return {
        "name": each.name,
        "engine": each.engine,
        "history": str(each.history),
        **each.counts.__dict__,
    }


def simulate(project: Project, choice: argparse.Namespace) -> Answer:
    """Serve the plant of the design."""
    from lstm_mpc.cli.console import show
    from lstm_mpc.cli.words import Answer
    from lstm_mpc.project.operation.opcua.plant_server import ServerOptions

    if not choice.opcua:
        raise InputError("simulate: --opcua serves the plant; `lstm-mpc control` runs it at once")
    options = ServerOptions(
        choice.host,
        choice.port,
        choice.speed,
        choice.certificate,
        choice.key,
        choice.trust,
    )

    def ready(url: str) -> None:
        if not (choice.quiet or choice.json):
            show([f"the plant listens on {url}, {choice.speed:g} times real time; Ctrl-C ends it"])

    url = project.simulate(options, scenario=choice.scenario, ready=ready)
    return Answer([f"{url}: ended"], {"url": url})


def tune(project: Project, choice: argparse.Namespace) -> Answer:
    """Try the numbers of the controller on a page."""
    from lstm_mpc.cli.console import show
    from lstm_mpc.cli.words import Answer

    def ready(url: str) -> None:
        if not (choice.quiet or choice.json):
            show([f"the page of {project.design.name}: {url}", "Ctrl-C ends it"])

    def told(lines: list[str]) -> None:
        if not (choice.quiet or choice.json):
            show(["written into design.toml:", *lines])

    written = project.tune(port=choice.port, ready=ready, on_write=told)
    lines = [f"{len(written)} change(s) written into {project.folder / 'design.toml'}"]
    return Answer(lines, {"written": written})


def history(project: Project, choice: argparse.Namespace) -> Answer:
    """Read what a controller did."""
    from lstm_mpc.cli.words import Answer
    from lstm_mpc.project import artefacts
    from lstm_mpc.project.operation.history import FILE, write_table

    path = choice.history or project.folder / FILE
    table, events = project.history(choice.history), project.history(choice.history, "events")
    modes = Counter(table["mode"])
    lines = [
        f"{len(table['k'])} samples in {len(set(table['run']))} run(s), {sum(table['missed'])}"
        f" missed; {', '.join(f'{mode} {count}' for mode, count in modes.items())}"
    ]
    if table["time"]:
        lines.append(f"from {table['time'][0]} to {table['time'][-1]}")
    rows = zip(*(events[key] for key in ("time", "who", "what", "text")), strict=True)
    lines += ["  ".join(row) for row in list(rows)[-20:]]
    files: list[Path] = [file for file in (choice.csv, choice.parquet) if file]
    for file in files:
        artefacts.refuse_overwrite(file, project.options)
        write_table(file, table, parquet=file == choice.parquet)
        lines.append(f"→ {file}")
    content = {"history": str(path), "samples": len(table["k"]), "modes": dict(modes)}
    return Answer(lines, {**content, "files": list(map(str, files))})
