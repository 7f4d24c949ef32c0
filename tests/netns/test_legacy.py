# SPDX-License-Identifier: GPL-2.0-or-later
"""What is particular to the legacy tables: others' rules, the lock, and no trace of a look."""
import fcntl
import re
import signal
import subprocess
import threading

import pytest

from lib.machine import not_in_a_chroot
from lib.proc import Process, child_setup, wait_until
from lib.sluice import DRIFT, FAILED, SLUICE, environment, sluice
from lib.world import ANY, APP_UID, OUTSIDE, POD

IPTABLES = ["--backend=iptables"]
LONG = ["--backend=iptables", "--heartbeat-timeout=60s"]
FOREIGN = """*nat
:KUBE - [0:0]
[11:111] -A PREROUTING -p tcp -m tcp --dport 1 -j KUBE
[22:222] -A OUTPUT -p tcp -m tcp --dport 2 -j KUBE
[33:333] -A KUBE -p tcp -m tcp --dport 1 -m comment --comment SLUICE_OUTBOUND -j REDIRECT --to-ports 3
[44:444] -A KUBE -j RETURN
COMMIT
*raw
[55:555] -A OUTPUT -p udp -m udp --dport 9211 -j ACCEPT
COMMIT
"""


def saved(pod, counters=False):
    """Everything in the legacy tables of both families, without dates; policies count nothing."""
    flags = ["-c"] if counters else []
    text = pod.run(["iptables-legacy-save", *flags]) + pod.run(["ip6tables-legacy-save", *flags])
    return [re.sub(r"^(:.*) \[\d+:\d+\]", r"\1", line) for line in text.splitlines()
            if not line.startswith("#")]


def registered(pod):
    """Names of the legacy tables that this namespace has."""
    return pod.run(["cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]).split()


def restore(pod, text, program="iptables-legacy-restore", counters=True):
    flags = ["-n", "-c"] if counters else ["-n"]
    done = subprocess.run([program, *flags], input=text, text=True, capture_output=True,
                          check=False, timeout=60, preexec_fn=child_setup(pod))
    assert done.returncode == 0, done


def only_ours(lines):
    return [line for line in lines if "SLUICE_" in line and "comment SLUICE_" not in line]


@pytest.fixture
def foreign(world):
    """A pod in which somebody else has rules in all four tables."""
    restore(world.pod, FOREIGN)
    restore(world.pod, FOREIGN, "ip6tables-legacy-restore")
    return world


def test_the_fixture_backend_is_the_one_that_is_used(world, backend):
    sluice(world.pod, "apply")
    assert bool(only_ours(saved(world.pod))) == (backend == "iptables")
    assert ("table inet sluice" in world.pod.ruleset()) == (backend == "nft")


def test_others_rules_stay_with_their_order_and_counters(foreign):
    pod = foreign.pod
    before = saved(pod, counters=True)
    for options in ([], ["--outbound-exclude-ports=1-100"], ["--inbound=off"]):
        sluice(pod, "apply", *IPTABLES, *options)
        now = saved(pod, counters=True)
        assert [line for line in now if line not in only_ours(now)] == before
        sluice(pod, "check", *IPTABLES, *options)
    sluice(pod, "remove")
    assert saved(pod, counters=True) == before


def test_ours_come_first_and_come_back_there(foreign):
    pod = foreign.pod
    sluice(pod, "apply", *IPTABLES)

    def first(chain):
        return next(line for line in saved(pod) if line.startswith(f"-A {chain} "))

    for chain in ("PREROUTING", "OUTPUT"):
        assert "-j SLUICE_" in first(chain)
    pod.run(["ip6tables-legacy", "-t", "nat", "-I", "OUTPUT", "-p", "tcp", "--dport", "9",
             "-j", "RETURN"])
    done = sluice(pod, "check", *IPTABLES, status=DRIFT)
    assert done.out.startswith("moved rule: IPv6 nat, chain OUTPUT: ") and done.out.count("\n") == 1
    sluice(pod, "apply", *IPTABLES)
    sluice(pod, "check", *IPTABLES)
    assert sum("--dport 9 -j RETURN" in line for line in saved(pod)) == 1


def test_applying_twice_writes_nothing(world):
    """A commit would set our counters back."""
    world.witness().listen_proxy()
    sluice(world.pod, "apply", *LONG)
    world.beat()
    world.outbound("127.0.0.1", 9001)
    before = saved(world.pod, counters=True)
    assert any(re.match(r"\[[1-9].* -A SLUICE_HEARTBEAT", line) for line in before)
    again = sluice(world.pod, "apply", *LONG)
    assert again.out.startswith("sluice: nothing to change: ")
    assert saved(world.pod, counters=True) == before


@pytest.mark.parametrize("steps", [
    [["apply"], ["apply", "--inbound=off"], ["check", "--inbound=off"], ["remove"]],
    [["plan", "--format=iptables"], ["plan", "--format=ip6tables"]],
    [["remove"]], [["remove", "--backend=iptables"]],
    [["check", "--backend=iptables"]], [["check"]],
], ids=lambda steps: " ".join(steps[0]))
def test_looking_leaves_no_trace(world, steps):
    """Whoever opens a legacy table makes it, for good."""
    for step in steps:
        sluice(world.pod, *step, status=None)
    assert registered(world.pod) == []


def test_every_change_is_seen_named_and_repaired(world):
    options = [*IPTABLES, "--outbound-exclude-ports=22,8000-8999", "--exclude-uids=7-9",
               "--outbound-include-cidrs=10.0.0.0/8,fd00::/8", "--inbound-exclude-ports=2222"]
    sluice(world.pod, "apply", *options)
    deleted = 0
    for table in ("raw", "nat"):
        for line in world.pod.run(["iptables-legacy-save", "-t", table]).splitlines():
            if not line.startswith("-A ") or "SLUICE_" not in line:
                continue
            world.pod.run(["iptables-legacy", "-t", table, *line.replace("-A", "-D", 1).split()])
            done = sluice(world.pod, "check", *options, status=DRIFT)
            assert f"missing rule: IPv4 {table}, chain {line.split()[1]}" in done.out
            assert line.split(" ", 2)[2] in done.out
            sluice(world.pod, "apply", *options)
            sluice(world.pod, "check", *options)
            deleted += 1
    assert deleted > 20


@pytest.mark.parametrize("change,named", [
    (["-I", "SLUICE_OUTBOUND", "2", "-p", "tcp", "--dport", "4711", "-j", "ACCEPT"],
     "extra rule: IPv4 nat, chain SLUICE_OUTBOUND, number 2: -p tcp -m tcp --dport 4711 -j ACCEPT"),
    (["-R", "SLUICE_INBOUND", "1", "-i", "lo", "-m", "comment", "--comment", "in-local", "-j",
      "ACCEPT"], "changed rule: IPv4 nat, chain SLUICE_INBOUND, in-local, number 1: has -i lo"),
    (["-N", "SLUICE_OTHER"], "extra chain: IPv4 nat, SLUICE_OTHER"),
    (["-A", "OUTPUT", "-p", "udp", "-j", "SLUICE_OUTBOUND"],
     "extra rule: IPv4 nat, chain OUTPUT, number 2: -p udp -j SLUICE_OUTBOUND"),
])
def test_what_was_added_is_named_and_goes(world, change, named):
    sluice(world.pod, "apply", *IPTABLES)
    before = saved(world.pod)
    world.pod.run(["iptables-legacy", "-t", "nat", *change])
    assert named in sluice(world.pod, "check", *IPTABLES, status=DRIFT).out
    sluice(world.pod, "apply", *IPTABLES)
    assert saved(world.pod) == before


def test_a_chain_that_others_use_is_not_torn_away(world):
    sluice(world.pod, "apply", *IPTABLES)
    world.pod.run(["iptables-legacy", "-t", "nat", "-N", "THEIRS"])
    world.pod.run(["iptables-legacy", "-t", "nat", "-A", "THEIRS", "-j", "SLUICE_OUTBOUND"])
    before = saved(world.pod)
    sluice(world.pod, "remove", status=None).one_error(FAILED, "SLUICE_OUTBOUND", "others")
    assert saved(world.pod) == before
    world.pod.run(["iptables-legacy", "-t", "nat", "-F", "THEIRS"])
    sluice(world.pod, "remove")
    assert not only_ours(saved(world.pod))


@pytest.mark.parametrize("identity", [{"uid": 0, "caps": ["net_admin"]},
                                      {"uid": 65534, "caps": ["net_admin"]}],
                         ids=["root", "nobody"])
def test_without_net_raw(world, identity, tmp_path):
    tmp_path.chmod(0o755)
    env = {"XTABLES_LOCKFILE": str(tmp_path / "lock")}
    done = sluice(world.pod, "apply", *IPTABLES, status=None, env=env, **identity)
    done.one_error(FAILED, "CAP_NET_RAW", "--backend=nft")
    assert registered(world.pod) == []


def test_net_admin_and_net_raw_are_enough(world, tmp_path):
    """For a user that is not root, too, given a lock file that it may open."""
    lock = tmp_path / "lock"
    lock.touch()
    lock.chmod(0o666)
    for parent in list(lock.parents)[:-2]:
        parent.chmod(0o755)
    nobody = {"uid": 65534, "caps": ["net_admin", "net_raw"],
              "env": {"XTABLES_LOCKFILE": str(lock)}}
    sluice(world.pod, "apply", *IPTABLES, **nobody)
    sluice(world.pod, "check", *IPTABLES)
    sluice(world.pod, "check", *IPTABLES, **nobody)
    sluice(world.pod, "remove", *IPTABLES, **nobody)
    assert not only_ours(saved(world.pod))


@pytest.fixture
def held(tmp_path):
    """A lock file that somebody holds; the environment that names it."""
    lock = tmp_path / "lock"
    with lock.open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield {"XTABLES_LOCKFILE": str(lock)}


@pytest.mark.parametrize("command", ["apply", "remove"])
def test_a_lock_that_stays_taken(world, held, command):
    sluice(world.pod, "apply", *IPTABLES)
    before = saved(world.pod)
    options = [*IPTABLES, "--lock-timeout=50ms"] + (["--inbound=off"] if command == "apply" else [])
    done = sluice(world.pod, command, *options, status=None, env=held)
    done.one_error(FAILED, held["XTABLES_LOCKFILE"], "--lock-timeout")
    assert saved(world.pod) == before


def test_looking_needs_no_lock(world, held):
    sluice(world.pod, "apply", *IPTABLES)
    sluice(world.pod, "check", *IPTABLES, env=held)
    done = sluice(world.pod, "apply", "--backend=nft", "--lock-timeout=50ms", env=held, status=None)
    done.one_error(FAILED, "an older one stays in the legacy tables", "--lock-timeout")
    sluice(world.pod, "remove")
    sluice(world.pod, "remove", env=held)


def test_a_lock_that_is_released_in_time(world, tmp_path):
    lock = tmp_path / "lock"
    with lock.open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        waiting = Process([SLUICE, "apply", *IPTABLES, "--lock-timeout=30s"], netns=world.pod,
                          env=environment({"XTABLES_LOCKFILE": str(lock)}))
        world.keep(waiting, "end")
        assert only_ours(saved(world.pod)) == []
    assert waiting.wait() == 0, waiting.output
    sluice(world.pod, "check", *IPTABLES)


@not_in_a_chroot
def test_a_read_only_run(world):
    script = 'mount -t tmpfs -o ro none /run && exec "$@"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "--", SLUICE, "apply", *IPTABLES],
                          capture_output=True, text=True, check=False, timeout=60,
                          env=environment({"XTABLES_LOCKFILE": ""}),
                          preexec_fn=child_setup(world.pod))
    assert done.returncode == FAILED and done.stdout == "" and done.stderr.count("\n") == 1, done
    assert "/run/xtables.lock" in done.stderr and "XTABLES_LOCKFILE" in done.stderr
    assert registered(world.pod) == []


def pod_with_listeners(world):
    for family in (4, 6):
        world.witness(world.client).listen(ANY[family], 80)
        world.witness().listen(ANY[family], 80)
    world.witness().listen_proxy()


class Connections:
    """Connections in both directions and families, until the block ends; whose answers differ."""

    def __init__(self, world):
        self._world = world
        self._stop = threading.Event()
        self.answers = []
        self._threads = [threading.Thread(target=self._run, args=(f,)) for f in (4, 6)]

    def _run(self, family):
        while not self._stop.is_set():
            self.answers.append(self._world.inbound(POD[family], 80)["by"])
            self.answers.append(self._world.outbound(OUTSIDE[family], 80)["by"])

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for t in self._threads:
            t.join()

    def strays(self):
        return [a for a in self.answers if a not in ("inbound", "outbound")]


@pytest.mark.parametrize("order", [["nft", "iptables"], ["iptables", "nft"]],
                         ids=["to-iptables", "to-nft"])
def test_switching_backends_leaves_no_gap(world, order):
    """Under load, with a proxy that beats: every connection finds one of the two plans."""
    pod_with_listeners(world)
    beating = threading.Event()

    def beat():
        while not beating.wait(0.05):
            world.beat()

    beater = threading.Thread(target=beat)
    # Patient: that a proxy which starves lets connections go direct is told elsewhere.
    alive = "--heartbeat-timeout=20s"
    sluice(world.pod, "apply", f"--backend={order[0]}", alive)
    world.beat()
    beater.start()
    try:
        with Connections(world) as c:
            for n in range(4):
                sluice(world.pod, "apply", f"--backend={order[(n + 1) % 2]}", alive)
                sluice(world.pod, "check", alive)
    finally:
        beating.set()
        beater.join()
    assert len(c.answers) > 100 and c.strays() == []


def test_connections_survive_a_switch(world, family):
    world.keep(world.pod.listen(ANY[family], 80))
    proxy = world.keep(world.pod.listen(ANY[family], 9211))
    sluice(world.pod, "apply", "--backend=nft", "--heartbeat-timeout=30s")
    world.beat()
    c = world.keep(world.client.socket(family))
    c.connect((POD[family], 80))
    s = world.keep(proxy.accept()[0])
    for backend in ("iptables", "nft", "iptables"):
        sluice(world.pod, "apply", f"--backend={backend}", "--heartbeat-timeout=20ms")
        c.sendall(b"x")
        assert s.recv(1) == b"x"
        s.sendall(b"y")
        assert c.recv(1) == b"y"


def test_both_at_once_is_drift_and_remove_takes_both(world):
    sluice(world.pod, "apply", *IPTABLES)
    ours = world.pod.run([SLUICE, "plan", "--format=nft"])
    world.pod.nft(ours)
    for options in ([], ["--backend=nft"], ["--backend=iptables"]):
        assert "extra rules: in " in sluice(world.pod, "check", *options, status=DRIFT).out
    sluice(world.pod, "remove")
    assert world.pod.ruleset() == "" and not only_ours(saved(world.pod))


@pytest.mark.parametrize("last", ["nft", "iptables"])
def test_two_who_switch_backends_at_once(world, last):
    """One waits for a beat before it takes the other's out: the next one has to wait for it."""
    first = "iptables" if last == "nft" else "nft"
    sluice(world.pod, "apply", f"--backend={last}", "--heartbeat-timeout=1s")
    switching = world.keep(Process([SLUICE, "apply", f"--backend={first}", "--heartbeat-timeout=1s"],
                                   netns=world.pod, env=environment(world.pod.environment)), "end")
    wait_until(lambda: world.pod.ruleset() if first == "nft" else only_ours(saved(world.pod)),
               "rules in both")
    sluice(world.pod, "apply", f"--backend={last}", "--heartbeat-timeout=1s", "--lock-timeout=30s")
    assert switching.wait() == 0, switching.output
    sluice(world.pod, "check", f"--backend={last}", "--heartbeat-timeout=1s")


@pytest.mark.parametrize("command", ["apply", "remove"])
def test_a_turn_that_stays_taken(world, held, command):
    """It is given back with the process that has it, however that ends."""
    def attempt(what):
        return sluice(world.pod, what, "--backend=nft", "--lock-timeout=50ms", status=None)

    sluice(world.pod, "apply", *IPTABLES)
    waiting = world.keep(Process([SLUICE, "apply", *IPTABLES, "--lock-timeout=5m"],
                                 netns=world.pod, env=environment(held)), "end")
    wait_until(lambda: attempt("remove").status == FAILED, "the other one's turn")
    attempt(command).one_error(FAILED, "another sluice", "@sluice-rules", "--lock-timeout")
    sluice(world.client, "remove", "--lock-timeout=50ms")  # each namespace has turns of its own
    sluice(world.pod, "check", *IPTABLES)  # who looks takes none
    waiting.signal(signal.SIGKILL)
    waiting.wait()
    sluice(world.pod, command, "--backend=nft")


@pytest.mark.parametrize("caps", [["net_admin"], ["net_admin", "net_raw"]],
                         ids="+".join)
def test_a_plan_that_cannot_be_seen(world, caps):
    """Only root may list the tables, and to open one would make it: that is said, not passed over."""
    unseen = "the legacy tables here hold another plan cannot be seen"
    nobody = {"uid": 65534, "caps": caps}
    sluice(world.pod, "apply", *IPTABLES)
    for command in ("apply", "check", "remove"):
        done = sluice(world.pod, command, **nobody)
        assert unseen in done.err and done.err.count("\n") == 1, done
        # Each pod's initContainer applies: there it is no warning.
        assert ("warning" in done.err) == (command != "apply"), done
    assert only_ours(saved(world.pod))


def test_others_who_restore_at_the_same_time(foreign):
    """Under the lock nobody's change is lost: neither theirs nor ours."""
    pod = foreign.pod
    stop, rounds = threading.Event(), []

    def rewrite():
        while not stop.is_set():
            n = len(rounds)
            restore(pod, f"*nat\n-A KUBE -p tcp -m tcp --dport {10000 + n} -j RETURN\nCOMMIT\n")
            rounds.append(n)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        for n in range(40):
            options = [*IPTABLES, f"--outbound-exclude-ports={n + 1}-2000"]
            sluice(pod, "apply", *options)
            sluice(pod, "check", *options)
    finally:
        stop.set()
        thread.join()
    text = "\n".join(saved(pod))
    assert len(rounds) > 20
    assert [n for n in rounds if f"--dport {10000 + n} -j RETURN" not in text] == []


def test_others_who_ignore_the_lock(world, tmp_path):
    """Then a change can be lost, but ours is written again until it stays, and is never partial."""
    pod = world.pod
    env = {"XTABLES_LOCKFILE": str(tmp_path / "theirs")}
    stop = threading.Event()

    def rewrite():
        n = 0
        while not stop.is_set():
            n += 1
            subprocess.run(["iptables-legacy-restore", "-n"], check=False, text=True,
                           capture_output=True, preexec_fn=child_setup(pod),
                           env=environment(env), input="*nat\n:THEIRS - [0:0]\n" +
                           f"-A THEIRS -p tcp --dport {n} -j RETURN\n" * (n % 3) + "COMMIT\n")

    sluice(pod, "apply", *IPTABLES)
    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        for n in range(40):
            sluice(pod, "apply", *IPTABLES, f"--outbound-exclude-ports={n + 1}-2000")
    finally:
        stop.set()
        thread.join()
    sluice(pod, "apply", *IPTABLES)
    sluice(pod, "check", *IPTABLES)


def test_the_switch_ends_a_second_after_the_last_beat(world, family):
    """xt_recent counts whole seconds: 300 ms become one."""
    pod_with_listeners(world)
    sluice(world.pod, "apply", *IPTABLES)
    assert world.inbound(POD[family], 80)["by"] == "app"
    wait_until(lambda: world.beat() and world.inbound(POD[family], 80)["by"] == "inbound",
               "a connection within a second of a beat")
    wait_until(lambda: world.inbound(POD[family], 80)["by"] == "app", "the switch to open")


def test_a_changed_plan_does_not_disarm(world, family):
    pod_with_listeners(world)
    sluice(world.pod, "apply", *LONG)
    world.beat()
    for n in range(20):
        sluice(world.pod, "apply", *LONG, f"--outbound-exclude-ports={1000 + n}-2000")
        assert world.inbound(POD[family], 80)["by"] == "inbound"
        assert world.outbound(OUTSIDE[family], 80, uid=APP_UID)["by"] == "outbound"


@not_in_a_chroot
def test_a_user_namespace_that_does_not_own_the_network(world):
    """xt_owner looks at the caller's user namespace: one line that says so, nothing left half."""
    sleeper = world.keep(Process(["unshare", "-U", "-n", "-r", "sh", "-c",
                                  "echo in; exec sleep 600"]), "end")
    sleeper.wait_line("in")
    done = sluice(world.pod, "apply", *IPTABLES, f"--netns={sleeper.pid}", status=None)
    done.one_error(FAILED, "user namespace")
    here = subprocess.run(["nsenter", "-t", str(sleeper.pid), "-n", "iptables-legacy-save"],
                          capture_output=True, text=True, check=True, timeout=60)
    assert "SLUICE" not in here.stdout
