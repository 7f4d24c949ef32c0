# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables, and the goals beside what was measured."""

from .load import SCENARIO
from .proxying import SPLICE, noise_text
from .settings import BASE

LE, GE = "<=", ">="
BUSY = 0.05  # of the cores' time, with others


def _cell(figure, scale=1.0, digits=1):
    if not figure:
        return "-"
    return f"{figure['median'] * scale:.{digits}f}"


def _ratio(figure):
    r = figure.get("ratio") if figure else None
    return f"{r['median']:.2f} [{r['min']:.2f}-{r['max']:.2f}]" if r else "-"


def _table(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for row in rows:
        first = row[0].ljust(widths[0])
        print("  " + "  ".join([first] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]))


def _load_table(title, base, contenders):
    print(f"\n{title}\n"
          f"(median of the rounds; ratio to {base} of the same round: median [least-most])")
    rows = [("contender", "req/s", "ratio", "p99 ms", "ratio", "CPU us/req", "ratio")]
    for name, f in contenders.items():
        cpu = f.get("cpu_us")
        rows.append((name, _cell(f["rps"], 1, 0), _ratio(f["rps"]), _cell(f["p99_us"], 1e-3, 2),
                     _ratio(f["p99_us"]), _cell(cpu, 1, 2), _ratio(cpu)))
    _table(rows)


def _apply_table(results):
    for case, r in results.items():
        print(f"\nPutting up a redirect: {case} (nft: {r['rules']} rules, {r['elements']} elements)\n"
              "(whole processes, fresh namespaces; part: what sluice takes of it, by the same\n"
              "interface of the kernel, in the same round: median [least-most])")
        rows = [("program", "processes", "CPU ms", "part", "wall ms", "part")]
        for name, f in r["programs"].items():
            ours = name.startswith("sluice")
            cpu, wall = f["cpu_ms"], f["wall_ms"]
            rows.append((name, str(f["processes"] or "-"),
                         _cell(cpu, 1, 2), "" if ours else _ratio(cpu),
                         _cell(wall, 1, 2), "" if ours else _ratio(wall)))
        _table(rows)


def _connect_table(results):
    counts = list(next(iter(results.values())))
    print("\nconnect() through the redirect by the number of excluded CIDRs, us\n"
          f"(ratio to {counts[0]} in the same round)")
    rows = [("rules", *(f"{c}" for c in counts), *(f"{c} : {counts[0]}" for c in counts[1:]))]
    for name, f in results.items():
        rows.append((name, *(_cell(f[c], 1, 1) for c in counts),
                     *(_ratio(f[c]) for c in counts[1:])))
    _table(rows)


def _memory_table(results):
    flows = next(iter(results.values()))["flows"]
    print(f"\nMemory, all processes of the proxy (KiB; {flows} idle HTTP/1 connections)")
    rows = [("contender", "RSS idle", "PSS idle", "RSS with flows", "per flow", "RSS after")]
    for name, m in results.items():
        rows.append((name, f"{m['rss_idle_kib']}", f"{m['pss_idle_kib']}", f"{m['rss_full_kib']}",
                     f"{m['rss_per_flow_kib']:.2f}", f"{m['rss_after_kib']}"))
    _table(rows)


def _start_table(results):
    print("\nStart: from exec to the first answer through the redirect (ms)")
    rows = [("contender", "median", "least", "most")]
    for name, v in results.items():
        rows.append((name, f"{v['median']:.1f}", f"{v['min']:.1f}", f"{v['max']:.1f}"))
    _table(rows)


def _load_ratio(results, scenario, figure, base):
    """sluice's median over the base's; None where one was not measured."""
    found = results.get("load", {}).get(scenario, {})
    if figure not in found.get("sluice", {}) or figure not in found.get(base, {}):
        return None
    if found["sluice"][figure].get("ratio") and base in (BASE, SPLICE):
        return found["sluice"][figure]["ratio"]["median"]
    return found["sluice"][figure]["median"] / found[base][figure]["median"]


def _load_goals(results):
    for size in ("1k", "16k"):
        title = SCENARIO[size]["title"]
        for base, figure, word, way, limit in (
                (BASE, "cpu_us", "CPU per request", LE, 0.95),
                ("haproxy-http", "cpu_us", "CPU per request", LE, 0.60),
                (BASE, "rps", "throughput", GE, 1.00),
                (BASE, "p99_us", "p99", LE, 1.00),
                ("envoy-http", "cpu_us", "CPU per request", LE, 0.22),
                ("envoy-http", "rps", "throughput", GE, 3.0)):
            yield (f"{title}: {word} / {base}", way, limit,
                   _load_ratio(results, size, figure, base))
    for size, base, cpu in (("1m", SPLICE, 0.90), ("new", BASE, 0.95)):
        title = SCENARIO[size]["title"]
        yield (f"{title}: throughput / {base}", GE, 1.10, _load_ratio(results, size, "rps", base))
        yield (f"{title}: CPU / {base}", LE, cpu, _load_ratio(results, size, "cpu_us", base))


    title = SCENARIO["h2"]["title"]
    for base, limit in ((BASE, 2.0), ("haproxy-http", 0.45), ("envoy-http", 0.11)):
        yield (f"{title}: CPU per request / {base}", LE, limit,
               _load_ratio(results, "h2", "cpu_us", base))


def _other_goals(results):
    rate = results.get("rate", {}).get("contenders", {}).get("sluice", {}).get("p99_us", {})
    yield (f"1 KiB at a fixed rate: p99 / {BASE}", LE, 1.00,
           rate["ratio"]["median"] if rate.get("ratio") else None)
    memory = results.get("memory", {})
    ours = memory.get("sluice")
    envoy = memory.get("envoy-http")
    yield "RSS idle, MiB", LE, 3.0, ours and ours["rss_idle_kib"] / 1024
    yield "RSS per idle flow, KiB", LE, 1.0, ours and ours["rss_per_flow_kib"]
    yield ("RSS with idle flows / envoy-http", LE, 0.05,
           ours and envoy and ours["rss_full_kib"] / envoy["rss_full_kib"])
    start = results.get("start", {}).get("sluice")
    yield "start to first answer, ms", LE, 10.0, start and start["median"]
    for case in ("default", "10000 CIDRs"):
        nft = results.get("apply", {}).get(case, {}).get("programs", {}).get("nft -f")
        for figure, word in (("cpu_ms", "CPU"), ("wall_ms", "wall")):
            yield f"apply, {case}: {word} / nft -f", LE, 0.5, nft and nft[figure]["ratio"]["median"]
    for name, counts in results.get("connect", {}).items():
        yield (f"connect(), 10,000 CIDRs / 3: {name}", LE, 1.05, counts[10000]["ratio"]["median"])


def goals(results):
    """[{goal, way, limit, measured, met}]; measured and met are None where it was not measured."""
    out = []
    for goal, way, limit, measured in (*_load_goals(results), *_other_goals(results)):
        met = None
        if measured is not None:
            met = measured <= limit if way == LE else measured >= limit
        out.append({"goal": goal, "way": way, "limit": limit, "measured": measured, "met": met})
    return out


def _goal_table(found):
    if all(g["met"] is None for g in found):
        return
    print("\nGoals")
    rows = [("goal", "reach", "measured", "")]
    for g in found:
        if g["met"] is not None:
            rows.append((g["goal"], f"{g['way']} {g['limit']:.2f}", f"{g['measured']:.2f}",
                         "met" if g["met"] else "missed"))
    _table(rows)


def print_all(results, noise):
    if "apply" in results:
        _apply_table(results["apply"])
    if "connect" in results:
        _connect_table(results["connect"])
    if {"apply", "connect"} & set(results):
        print(f"\nOthers on these cores meanwhile: {100 * results['rules_noise']:.0f} % of their time")
    for scenario, contenders in results.get("load", {}).items():
        s = SCENARIO[scenario]
        _load_table(f"{s['title']}, {s['connections']} connections, as fast as it goes",
                    SPLICE if scenario == "1m" else BASE, contenders)
    if "rate" in results:
        r = results["rate"]
        _load_table(f"HTTP/1.1 keep-alive, 1 KiB, 32 connections, {r['rate']:.0f} requests/s asked",
                    BASE, r["contenders"])
    if "start" in results:
        _start_table(results["start"])
    if "memory" in results:
        _memory_table(results["memory"])
    _goal_table(results["goals"])
    if noise.shares:
        print(f"\nOthers on these cores during the load: {noise_text(noise)} of their time")
        if noise.summary()["median"] > BUSY:
            print("That is a busy machine: of these figures only ratios of CPU mean much.")
