# SPDX-License-Identifier: GPL-2.0-or-later
"""The proxies side by side: each round measures every contender once, in turn."""

import time

from . import load, netns
from .contenders import Contender
from .measure import Noise, cpu_ns, memory_kib
from .scrape import Scrape
from .settings import BASE
from .stats import ratios, summarize

SPLICE = "haproxy-splice"  # the base of the 1 MiB scenario: HAProxy tcp at its best there
WARM_UP = 1  # s, not counted


class Stage:
    """The client's namespace and the contenders, started and ready."""

    def __init__(self, settings, names):
        self.settings = settings
        self.client = None
        self.contenders = {}
        self.names = names

    def __enter__(self):
        from .pod import Client
        self.client = Client(self.settings)
        try:
            for name in self.names:
                c = Contender(self.settings, self.client, name)
                self.contenders[name] = c
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_all(self):
        for c in self.contenders.values():
            if c.argv and not c.proxy:
                c.start()
            c.wait_ready(self.client)

    def __exit__(self, *_):
        for c in self.contenders.values():
            c.close()
        if self.client:
            self.client.close()


def _loaded(stage, c, generate, noise, problems):
    """One measurement: what generate() returns, with the proxy's CPU time beside it."""
    pids = c.pids()
    scrape = Scrape(c) if c.name == "sluice" else None
    server = cpu_ns(c.pod.server.pids())
    before, wall = cpu_ns(pids), time.monotonic_ns()
    noise.start()
    result = generate()
    wall = time.monotonic_ns() - wall
    result["proxy_cpu_ns"] = cpu_ns(pids) - before
    result["server_cpu_ns"] = cpu_ns(c.pod.server.pids()) - server
    ours = result["proxy_cpu_ns"] + result["server_cpu_ns"] + result.get("client_cpu_ns", 0)
    if "client_cpu_ns" in result:
        noise.stop(wall, ours)
    if pids and not result["proxy_cpu_ns"]:
        problems.append(f"{c.name}: the traffic did not go through the proxy")
    if c.proxy:
        c.proxy.check_alive()
    if scrape:
        problems += scrape.check(result["requests"], result.get("in_flight", 0))
    return result


def _figures(result):
    """The figures that tables and goals use, from one measurement."""
    n = result["requests"]
    figures = {"rps": result.get("rps") or n / result["seconds"],
               "p99_us": result["p99_us"], "p50_us": result["p50_us"]}
    if result["proxy_cpu_ns"]:
        figures["cpu_us"] = result["proxy_cpu_ns"] / n / 1000
    figures["server_cpu_us"] = result["server_cpu_ns"] / n / 1000
    return figures


def _summarize(rounds, base):
    """{contender: {figure: {median, min, max, ratio}}} from {contender: [figures]}."""
    out = {}
    for name, runs in rounds.items():
        out[name] = {}
        for figure in runs[0]:
            values = [r[figure] for r in runs]
            out[name][figure] = summarize(values)
            other = rounds.get(base)
            if other and figure in other[0]:
                out[name][figure]["ratio"] = ratios(values, [r[figure] for r in other])
    return out


def measure_load(settings, stage, noise, problems):
    """{scenario: {contender: figures}} as fast as the client goes (a closed loop)."""
    out = {}
    for scenario in settings.scenarios:
        names = [n for n in stage.contenders if n != SPLICE or scenario == "1m"]
        rounds = {name: [] for name in names}
        for number in range(-1, settings.rounds):
            if number < 0 and settings.smoke:
                continue
            for name in names if number % 2 == 0 else reversed(names):
                c = stage.contenders[name]
                seconds = settings.duration if number >= 0 else WARM_UP

                result = _loaded(stage, c, lambda: load.as_fast_as_it_goes(
                    settings, stage.client.ns, c.pod.address, scenario, seconds),
                    noise if number >= 0 else Noise(), problems)
                if number >= 0:
                    rounds[name].append(_figures(result))
        out[scenario] = _summarize(rounds, SPLICE if scenario == "1m" else BASE)
        print(f"bench: {scenario}: measured", flush=True)
    return out


def measure_rate(settings, stage, problems, rate):
    """{contender: figures} at one rate for all, about half of what the base can do."""
    names = [n for n in stage.contenders if n != SPLICE]
    rounds = {name: [] for name in names}
    for number in range(settings.rounds):
        for name in names if number % 2 == 0 else reversed(names):
            c = stage.contenders[name]
            result = _loaded(stage, c, lambda: load.h2load(
                settings, stage.client.ns, c.pod.address, rate, settings.duration), Noise(),
                problems)
            rounds[name].append(_figures(result) | {"p999_us": result["p999_us"]})
    print("bench: fixed rate: measured", flush=True)
    return {"rate": rate, "contenders": _summarize(rounds, BASE)}


def base_rate(settings, stage, results):
    """Half of the base's requests a second at 1 KiB: as measured, or by a run for this."""
    if results and "1k" in results:
        return results["1k"][BASE]["rps"]["median"] / 2
    run = load.wrk(settings, stage.client.ns, stage.contenders[BASE].pod.address, "1k", 1)
    return run["requests"] / run["seconds"] / 2


def measure_start(settings, stage):
    """{contender: ms}: from exec to the answer of a request that came through the redirect."""
    values = {n: [] for n, c in stage.contenders.items() if c.argv and n != SPLICE}
    for _ in range(settings.starts):
        for name in values:
            c = stage.contenders[name]
            c.stop()
            netns.within(stage.client.ns, lambda c=c: _until_answered(c, values))
    return {name: summarize(v) for name, v in values.items()}


def _until_answered(c, values):
    c.start()
    deadline = time.monotonic() + 20
    while True:
        try:
            load.get_once(c.pod.address)
            break
        except OSError:
            c.proxy.check_alive()
            if time.monotonic() > deadline:
                raise
    values[c.name].append((time.monotonic_ns() - c.proxy.exec_ns) / 1e6)


def measure_memory(settings, stage, problems):
    """Memory of each proxy: fresh, with idle flows (one request made on each), and after them."""
    out = {}
    for name, c in stage.contenders.items():
        if not c.argv or name == SPLICE:
            continue
        c.stop()
        c.start()
        c.wait_ready(stage.client)
        time.sleep(0.5)
        idle = memory_kib(c.pids())
        scrape = Scrape(c) if name == "sluice" else None
        flows = load.IdleFlows(stage.client.ns, c.pod.address, settings.flows)
        try:
            time.sleep(0.5)
            full = memory_kib(c.pids())
            if scrape:
                problems += scrape.check(settings.flows, 0)
        finally:
            flows.close()
        time.sleep(0.1 if settings.smoke else 3)
        after = memory_kib(c.pids())
        out[name] = {"rss_idle_kib": idle[0], "pss_idle_kib": idle[1], "rss_full_kib": full[0],
                     "pss_full_kib": full[1], "rss_after_kib": after[0], "pss_after_kib": after[1],
                     "rss_per_flow_kib": (full[0] - idle[0]) / settings.flows,
                     "flows": settings.flows}
    print("bench: memory: measured", flush=True)
    return out


def noise_text(noise):
    s = noise.summary()
    return f"median {100 * s['median']:.1f} %, most {100 * s['max']:.1f} %"


