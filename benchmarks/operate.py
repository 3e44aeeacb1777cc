"""Soak of a controller beside a plant: real server and controller processes on loopback, through a
proxy that stalls, cuts and repeats what passes; kills, faults, clock steps, a full disk, two
operators at once and another hand. Prints what was counted as a Markdown table.

    python benchmarks/operate.py [--hours 24] [--kills 100] [--speed 100]
    python benchmarks/operate.py --loops 50     instead: what many loops in one process cost

A write is inadmissible when it leaves the bounds of the cleared controller or its rate from what
the server held. A sample is unflagged when it is neither in the history nor counted as missed, or
when what it measured did not count and nothing says why."""

import argparse
import asyncio
import json
import logging
import os
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

DESIGN = Path(__file__).resolve().parents[1] / "models" / "ph"
LOW, HIGH, MOVE, TS = 12.5, 17.0, 1.0, 10.0
TOKENS = {name: f"token-of-{name}-for-the-soak" for name in ("anna", "ben")}


def design():
    from lstm_mpc.project.design import load_design

    return load_design(DESIGN)


def server(port, speed, log):
    """The process of the plant; every write of a client goes to `log`."""
    from lstm_mpc.project.operation.opcua.plant_server import ServerOptions
    from lstm_mpc.project.steps.operate_steps import plant_server_of

    out = open(log, "a", buffering=1)  # noqa: SIM115 - as long as the process
    options = ServerOptions(port=port, speed=speed)
    plant = plant_server_of(
        design(), options, on_write=lambda *w: print(json.dumps(w), file=out, flush=True)
    )
    asyncio.run(plant.serve(asyncio.Event(), lambda: print("ready", flush=True)))


def cleared_and_wired(port):
    """The controller of models/ph, cleared by the record of its loop without running its worst
    scenario again, which takes seconds at every start; and its wiring."""
    from lstm_mpc.assurance.clearance import clear
    from lstm_mpc.certificates.gate import Release
    from lstm_mpc.codegen.controller_spec import ControllerSpec
    from lstm_mpc.project import campaign_log, judged
    from lstm_mpc.project.operation.options import (
        ConnectionOptions,
        OperateOptions,
        Wiring,
        all_tags,
    )

    own = design()
    spec = ControllerSpec(Release.load(own.file("release.json")), own.control, own.solver)
    log = campaign_log.campaigns(own)
    cleared = clear(spec, loop=judged.loop_record(own, "operate"), log=log)
    nodes = {tag: f"ns=2;s={tag}" for tag in all_tags(spec.model) if "mode" not in tag}
    del nodes["pH.setpoint"]  # setpoints are those of the operators
    wiring = Wiring(
        ConnectionOptions(url=f"opc.tcp://127.0.0.1:{port}/lstm-mpc"),
        OperateOptions(frozen_after=5, shed_after=10_000, resume_samples=1000),
        nodes,
    )
    return cleared, wiring


def controller(port, page, speed, history):
    """The process of the controller: what `operate --page` runs."""
    from lstm_mpc.project.operation.page.app import Page
    from lstm_mpc.project.operation.page.options import PageOptions, User
    from lstm_mpc.project.operation.runtime import Runtime
    from lstm_mpc.project.steps.operate_steps import operate

    cleared, wiring = cleared_and_wired(port)
    users = tuple(User(name, "operator", token) for name, token in TOKENS.items())
    runtime = Runtime("ph", cleared, wiring, Path(history), speed=speed)
    print("ready", flush=True)
    operate([runtime], beside=Page([runtime], PageOptions(users, port=page)).serve)


def many(count, seconds=20.0):
    """So many loops in one process, each with a connection of its own, every second; their share of
    a core."""
    from lstm_mpc.project.operation.runtime import Runtime

    port = free()
    command = [sys.executable, __file__, "--as", "server", str(port), "10", os.devnull]
    plant = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert plant.stdout.readline().strip() == "ready"
        cleared, wiring = cleared_and_wired(port)
        with tempfile.TemporaryDirectory() as folder:
            loops = [
                Runtime(f"{j}", cleared, wiring, Path(folder, f"{j}.db"), speed=10.0)
                for j in range(count)
            ]

            async def run():
                stop = asyncio.Event()
                tasks = [asyncio.create_task(loop.run(stop)) for loop in loops]
                await asyncio.sleep(5.0)  # all are connected
                samples, cpu = sum(r.counts.samples for r in loops), time.process_time()
                await asyncio.sleep(seconds)
                cpu = time.process_time() - cpu
                samples = sum(r.counts.samples for r in loops) - samples
                stop.set()
                await asyncio.gather(*tasks)
                return samples, cpu

            samples, cpu = asyncio.run(run())
        solve = 1e3 * sum(r.counts.solve for r in loops) / sum(r.counts.samples for r in loops)
        missed = sum(r.counts.missed for r in loops)
        print(
            f"{count} loops every second: {cpu / seconds:.2f} of a core, {1e3 * cpu / samples:.2f}"
            f" ms a sample, of which {solve:.2f} ms of solving; {samples} samples, {missed} missed"
        )
    finally:
        plant.kill()
        plant.wait()


class Proxy:
    """Between controller and server: what passes may be stalled, cut or sent twice."""

    def __init__(self, to):
        self.to, self.open, self.stalled, self.twice = to, set(), 0.0, False

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        self.open |= {writer, back}
        pipes = [self.pipe(reader, back), self.pipe(there, writer)]
        await asyncio.gather(*pipes, return_exceptions=True)
        for end in (writer, back):
            end.close()
            self.open.discard(end)

    async def pipe(self, reader, writer):
        with suppress(OSError):
            while part := await reader.read(65536):
                if self.stalled:
                    wait, self.stalled = self.stalled, 0.0
                    await asyncio.sleep(wait)
                writer.write(part)
                if self.twice:
                    self.twice = False
                    writer.write(part)
                await writer.drain()
        writer.close()

    def cut(self):
        for end in list(self.open):
            end.close()


class Soak:
    """The parent of both processes, and all that happens to them."""

    def __init__(self, choice, folder):
        self.choice, self.folder, self.pace = choice, folder, TS / choice.speed
        self.rng, self.counts = random.Random(choice.seed), {}
        self.ports = {name: free() for name in ("server", "page")}
        self.log, self.history = folder / "writes.jsonl", folder / "history.db"
        self.hand, self.back, self.refused = [], [], 0

    def spawn(self, what, *words):
        command = [sys.executable, __file__, "--as", what, *map(str, words)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        return process

    async def begin(self, what):
        speed = self.choice.speed
        words = {
            "server": (self.ports["server"], speed, self.log),
            "controller": (self.proxied, self.ports["page"], speed, self.history),
        }[what]
        process = await asyncio.to_thread(self.spawn, what, *words)
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.strip() == "ready", (what, line, self.folder)
        setattr(self, what, process)
        if what == "server":
            self.ready = time.time()

    async def ask(self, who, what, value):
        """An operator asks by the page; whether it was granted, None where nobody answers."""
        page = f"http://127.0.0.1:{self.ports['page']}"
        bearer = {"Authorization": f"Bearer {TOKENS[who]}", "X-Requested-With": "lstm-mpc"}

        def get():
            with suppress(OSError, ValueError):
                events = urllib.request.Request(f"{page}/events", headers=bearer)
                with urllib.request.urlopen(events, timeout=3) as stream:
                    seen = json.loads(stream.readline()[6:])["revision"]
                body = {"loop": 0, "what": what, "value": value, "seen": seen}
                asked = urllib.request.Request(f"{page}/request", json.dumps(body).encode(), bearer)
                try:
                    urllib.request.urlopen(asked, timeout=3).close()
                    return True
                except urllib.error.HTTPError as error:
                    error.close()
                    return False
            return None

        return await asyncio.to_thread(get)

    async def into_auto(self):
        for _ in range(200):
            if await self.ask("anna", "mode", "AUTO"):
                await self.ask("anna", "setpoint", [self.rng.choice((6.5, 7.0, 7.5))])
                return
            await self.client(self.permit)  # the watchdog of the plant took it back
            await asyncio.sleep(5 * self.pace)
        raise AssertionError("never in AUTO")

    async def permit(self, other, ua):
        """The operator of the plant gives the valve back."""
        await other.get_node("ns=2;s=remote").write_value(True)

    async def client(self, act):
        """Somebody else's OPC UA client, past the proxy."""
        from asyncua import Client, ua

        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        with suppress(Exception):
            async with asyncio.timeout(5):
                url = f"opc.tcp://127.0.0.1:{self.ports['server']}/lstm-mpc"
                async with Client(url) as other:
                    await act(other, ua)

    async def inject(self, kind, size=0.0, seconds=200.0):
        async def act(other, ua):
            plant = await other.nodes.objects.get_child([f"2:{await self.plant(other)}"])
            values = (kind, ua.Variant(0, ua.VariantType.Int64), size, seconds)
            await plant.call_method("2:inject", *values)

        await self.client(act)

    async def plant(self, other):
        names = [(await n.read_browse_name()) for n in await other.nodes.objects.get_children()]
        return next(n.Name for n in names if n.NamespaceIndex == 2)

    # -- what happens ------------------------------------------------------------------------------

    async def kill_server(self):
        self.server.kill()
        await asyncio.to_thread(self.server.wait)
        await self.begin("server")
        await asyncio.sleep(12 * self.pace)
        self.back.append(self.back_after(self.ready))

    async def kill_controller(self):
        self.controller.kill()
        await asyncio.to_thread(self.controller.wait)
        await self.begin("controller")
        await asyncio.sleep(10 * self.pace)

    async def faults(self):
        await self.inject(self.rng.choice(("frozen", "dropout", "bad_status", "no_new_stamp")))

    async def clock(self):
        await self.inject("clock_step", self.rng.choice((3600.0, -3600.0)))

    async def messages(self):
        what = self.rng.choice(("stall", "cut", "twice"))
        if what == "stall":
            self.proxy.stalled = self.rng.uniform(0.5, 5) * self.pace
        elif what == "cut":
            self.proxy.cut()
        else:
            self.proxy.twice = True

    async def disk(self):
        pid, most = self.controller.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, most))
        await asyncio.sleep(20 * self.pace)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

    async def operators(self):
        """Two at once; one of them is told that he was overtaken, or both come one by one."""
        wanted = [self.rng.choice((6.6, 7.0, 7.4)) for _ in TOKENS]
        pairs = zip(TOKENS, wanted, strict=True)
        done = await asyncio.gather(*(self.ask(who, "setpoint", [sp]) for who, sp in pairs))
        self.refused += done.count(False)

    async def another_hand(self):
        """The operator of the plant takes the valve, moves it and gives it back."""

        async def act(other, ua):
            remote, q3 = (other.get_node(f"ns=2;s={name}") for name in ("remote", "q3"))
            await remote.write_value(False)
            await asyncio.sleep(3 * self.pace)
            value = self.rng.choice((14.25, 15.25, 16.25))
            self.hand.append(value)
            await q3.write_value(value)
            await asyncio.sleep(3 * self.pace)
            await remote.write_value(True)

        await self.client(act)

    # -- the run -----------------------------------------------------------------------------------

    async def run(self):
        with open(self.folder / "errors.txt", "w") as self.errors:
            self.proxy = Proxy(self.ports["server"])
            self.proxied = await self.proxy.start()
            await self.begin("server")
            await self.begin("controller")
            began = time.monotonic()
            try:
                await self.into_auto()
                await self.happenings(began)
                await self.quiet()
            finally:
                for process in (self.controller, self.server):
                    process.send_signal(signal.SIGINT)
                    with suppress(subprocess.TimeoutExpired):
                        await asyncio.to_thread(process.wait, 10)
                    process.kill()
                    process.wait()

    async def happenings(self, began):
        c = self.choice
        left = {self.kill_server: c.kills, self.kill_controller: c.kills}
        others = (self.faults, self.clock, self.messages, self.disk, self.operators)
        others += (self.another_hand, self.messages, self.operators)
        while time.monotonic() - began < c.hours * 3600 / c.speed or any(left.values()):
            due = [act for act, count in left.items() if count]
            act = self.rng.choice(due) if due and self.rng.random() < 0.4 else None
            act = act or self.rng.choice(others)
            left[act] = left.get(act, 1) - 1 if act in due else 0
            print(f"{time.monotonic() - began:.0f} s: {act.__name__}", file=sys.stderr)
            await act()
            self.counts[act.__name__] = self.counts.get(act.__name__, 0) + 1
            await asyncio.sleep(self.rng.uniform(2, 20) * self.pace)
            await self.into_auto()

    async def quiet(self):
        """Nothing happens any more: memory and offset."""
        await self.inject("clock_step", 0.0)
        await self.into_auto()
        assert await self.ask("anna", "setpoint", [7.0])
        await asyncio.sleep(40 * self.pace)
        first = rss(self.controller.pid)
        await asyncio.sleep(self.choice.quiet * self.pace)
        self.memory = (first, rss(self.controller.pid))

    # -- what is counted ---------------------------------------------------------------------------

    def rows(self, words="", values=()):
        base = sqlite3.connect(self.history)
        names = '"pH [pH]", "pH setpoint [pH]", "q3 written [mL/s]"'
        asked = (
            "SELECT run, k, missed, flags, reasons, strftime('%s', time) + substr(time, 20, 4),"
            f" cpu_ms, solve_ms, late_ms, mode, {names} FROM samples {words}"
        )
        found = base.execute(asked, values).fetchall()
        base.close()
        return found

    def back_after(self, moment):
        """Samples from the moment the server was there until the first good one."""
        good = [r[5] for r in self.rows() if r[5] > moment and not r[4]]
        return (min(good) - moment) / self.pace if good else float("inf")

    def report(self):
        rows, last = self.rows(), self.rows("ORDER BY rowid DESC LIMIT 100")
        writes = [json.loads(line) for line in self.log.read_text().splitlines()]
        ours = [(a, b) for _, a, b in writes if b not in self.hand]
        bad = [(a, b) for a, b in ours if not (LOW <= b <= HIGH and abs(b - a) <= MOVE)]
        unflagged = sum(r[10] is None and not r[4] for r in rows)
        for before, row in pairwise(rows):
            unflagged += row[0] == before[0] and row[1] != before[1] + 1 + row[2]
        cpu = sorted(r[6] - r[7] for r in rows)
        late = sorted(r[8] for r in rows)
        offset = sum(r[10] - r[11] for r in last) / len(last)
        first, end = self.memory
        samples = len(rows) + sum(r[2] for r in rows)
        print("| what | measured |\n|---|---|")
        for name, value in {
            "plant time, hours": f"{samples * TS / 3600:.1f}",
            "samples, of them missed": f"{samples}, {sum(r[2] for r in rows)}",
            "samples with a flag or reason": sum(bool(r[3] or r[4] or r[2]) for r in rows),
            **{name.replace("_", " "): count for name, count in sorted(self.counts.items())},
            "requests refused to operators at once": self.refused,
            "writes of the controller": len(ours),
            "**inadmissible writes**": len(bad),
            "**unflagged samples**": unflagged,
            "back after the server is, samples": (
                f"median {sorted(self.back)[len(self.back) // 2]:.2f}, worst {max(self.back):.2f}"
                if self.back
                else "–"
            ),
            "offset afterwards, mean of 100 samples [pH]": f"{offset:+.4f}",
            "memory of the controller, MB": f"{first:.1f}, then {end:.1f}",
            "computing beside the solve, median and 99 % [ms]": (
                f"{cpu[len(cpu) // 2]:.2f}, {cpu[int(0.99 * len(cpu))]:.2f}"
            ),
            "lateness, median and 99 % [ms]": (
                f"{late[len(late) // 2]:.2f}, {late[int(0.99 * len(late))]:.2f}"
            ),
        }.items():
            print(f"| {name} | {value} |")
        if bad:
            print("inadmissible:", bad[:10])


def rss(pid):
    """Memory of a process [MB]."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def main():
    parts = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts.add_argument("--hours", type=float, default=24.0, help="of the plant, at least")
    parts.add_argument("--kills", type=int, default=100, help="of server and of controller")
    parts.add_argument("--speed", type=float, default=100.0, help="times faster than real")
    parts.add_argument("--quiet", type=int, default=300, help="samples without events at the end")
    parts.add_argument("--loops", type=int, help="measure so many in one process instead")
    parts.add_argument("--seed", type=int, default=1)
    parts.add_argument("--as", dest="role", choices=("server", "controller"))
    parts.add_argument("words", nargs="*")
    choice = parts.parse_args()
    if choice.role == "server":
        server(int(choice.words[0]), float(choice.words[1]), choice.words[2])
    elif choice.loops:
        many(choice.loops)
    elif choice.role == "controller":
        port, page, speed, history = choice.words
        controller(int(port), int(page), float(speed), history)
    else:
        with tempfile.TemporaryDirectory() as folder:
            soak = Soak(choice, Path(folder))
            asyncio.run(soak.run())
            soak.report()


if __name__ == "__main__":
    main()
