# SPDX-License-Identifier: GPL-2.0-or-later
"""A node of its own for podman: namespaces, control groups and a tmpfs for all that it writes.

Theory of operation: this file is also a program, the keeper. It makes a control group in each
hierarchy, then a child in new mount, network, pid, IPC, UTS and cgroup namespaces. The child puts a
tmpfs over every directory that podman, buildah and runc write to, and becomes the first process of the
pid namespace: when it ends, whatever way, the kernel kills all that podman started and unmounts
all that it mounted. The keeper waits for the end of its standard input, which is the test's, also
when that is killed; then it kills the child and removes the control groups. Nothing is left, and
any number of nodes live at once. A keeper that is killed leaves its groups to the next one.
"""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from lib.netns import Netns, check, libc
from lib.patience import PATIENCE

PR_SET_PDEATHSIG = 1
#             mount        cgroup       UTS          IPC          pid          network
NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
GROUP = "sluice-node."
# What is empty and writable for podman and its kin; nothing else on the machine changes.
WRITABLE = ("/run", "/var/lib/containers", "/var/tmp", "/dev/shm", "/etc/containers")
CONFIG = {
    # A container may not have more than we do: podman's own defaults are refused on small machines.
    "containers.conf": '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
                       'network_cmd_path = ""\n'
                       '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
                       'log_driver = "k8s-file"\n[network]\nnetwork_backend = "netavark"\n',
    # Nothing can be pulled: there is no registry, and no network.
    "registries.conf": "unqualified-search-registries = []\n",
    "policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
    "storage.conf": '[storage]\ndriver = "overlay"\nrunroot = "/run/containers/storage"\n'
                    'graphroot = "/var/lib/containers/storage"\n',
}


# ---- The keeper ----

def _hierarchies():
    """(directory of our control group, its hierarchy's mount point, type, options), each."""
    ours = {}
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        for line in f:
            _, names, path = line.rstrip("\n").split(":", 2)
            ours[names] = path
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            before, after = line.rstrip("\n").split(" - ")
            root, point = before.split()[3:5]
            kind, _, options = after.split(" ", 2)
            if kind == "cgroup2":
                names, options = "", ""
            elif kind == "cgroup":
                names = next((n for n in ours if n and set(n.split(",")) <= set(options.split(","))),
                             None)
                options = names if names and "=" not in names else f"none,{names}"
            else:
                continue
            if names in ours:
                path = os.path.relpath(ours[names], root)
                yield os.path.normpath(os.path.join(point, path)), point, kind, options


def _make_group(path):
    """Makes a control group that processes can join."""
    os.makedirs(path)
    for name in ("cpuset.cpus", "cpuset.mems"):
        # Of the first version: empty at first, and without them nothing may run.
        with contextlib.suppress(OSError):
            parent = pathlib.Path(path).parent.joinpath(name).read_text(encoding="ascii")
            pathlib.Path(path, name).write_text(parent, encoding="ascii")


def _join(path):
    pathlib.Path(path, "cgroup.procs").write_text("0", encoding="ascii")


def _remove_groups(paths):
    """The kernel lets go of a dead process's group a moment after it."""
    end = time.monotonic() + PATIENCE
    for top in paths:
        while os.path.isdir(top):
            for path, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
            if time.monotonic() > end:
                break
            time.sleep(0.01)


def _remove_left(parents):
    """What a keeper has left that was killed itself: no process has its number any more."""
    for parent in parents:
        for path in pathlib.Path(parent).glob(f"{GROUP}*"):
            number = path.name[len(GROUP):]
            if not number.isdecimal() or os.path.exists(f"/proc/{number}"):
                continue
            for below, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(below)


def _run(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def _mount(*argv):
    _run("mount", *argv)


def _first_process(hierarchies):
    """In the new namespaces: the mounts, the network, and then the reaping of orphans."""
    _mount("--make-rprivate", "/")
    _mount("-t", "proc", "proc", "/proc")
    for _, point, kind, options in hierarchies:
        _run("umount", "--lazy", point)
        _mount("-t", kind, *(["-o", options] if options else []), "cgroup", point)
    for path in WRITABLE:
        os.makedirs(path, exist_ok=True)
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
    for name, text in CONFIG.items():
        pathlib.Path("/etc/containers", name).write_text(text, encoding="ascii")
    _run("ip", "link", "set", "lo", "up")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print("ready", flush=True)
    while True:
        signal.sigwait({signal.SIGCHLD})
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _enter(groups, hierarchies):
    """In a child of the keeper: into the namespaces, with a child of its own, and on until that ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for group in groups:
        _join(group)
    check(libc.unshare(NAMESPACES))
    # Where processes are there can be no limits for groups below: the second version's rule.
    for group in groups:
        _join(os.path.join(group, "init"))
    first = os.fork()
    if first == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _first_process(hierarchies)
    print(f"first process: {first}", flush=True)
    # From here on the output's end is the first process's.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.waitpid(first, 0)


def _keeper():
    """Lives until its standard input ends, and nothing of the node does longer."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    hierarchies = list(_hierarchies())
    _remove_left(path for path, *_ in hierarchies)
    groups = [os.path.join(path, f"{GROUP}{os.getpid()}") for path, *_ in hierarchies]
    child = 0
    try:
        for group in groups:
            _make_group(group)
            _make_group(os.path.join(group, "init"))
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            try:
                _enter(groups, hierarchies)
            finally:
                os._exit(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdin.read()
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        _remove_groups(groups)


# ---- The test's side ----

class Node:
    """`run()` and `podman()` work in the node; `netns` is where its kubelet would be."""

    def __init__(self):
        self._keeper = subprocess.Popen(
            [sys.executable, "-B", "-m", "lib.node"], cwd=pathlib.Path(__file__).parents[1],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._groups = [os.path.join(path, f"{GROUP}{self._keeper.pid}", "init")
                        for path, *_ in _hierarchies()]
        self.netns = None
        try:
            self.pid = int(self._line("first process: "))
            self._line("ready")
        except BaseException:
            self.close()
            raise
        self.netns = Netns(os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    def _line(self, start):
        line = self._keeper.stdout.readline()
        assert line.startswith(start), f"the node's keeper said {line!r}, not {start!r}"
        return line[len(start):]

    def close(self):
        if self.netns:
            self.netns.close()
        self._keeper.stdin.close()
        self._keeper.wait(PATIENCE)
        self._keeper.stdout.close()

    def argv(self, *argv):
        """The command line that runs this one in the node."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--ipc", "--uts",
                "--cgroup", "--", *map(str, argv)]

    def environment(self, extra=None):
        """Nothing that could lead podman to another place than the node's own."""
        kept = {k: v for k, v in os.environ.items()
                if k in ("PATH", "HOME", "LANG", "LC_ALL", "SLUICE_BUILD")}
        return {**kept, "TMPDIR": "/var/tmp", "DISABLE_HC_SYSTEMD": "true", **(extra or {})}

    def join(self):
        """A preexec_fn: into the node's control groups."""
        for group in self._groups:
            _join(group)

    def run(self, *argv, text=None, status=0, timeout=2 * PATIENCE, env=None, cwd="/"):
        """Runs a program to its end: what became of it. `status` None: however it ends."""
        done = subprocess.run(self.argv(*argv), input=text or "", capture_output=True, text=True,
                              timeout=timeout, check=False, env=self.environment(env), cwd=cwd,
                              preexec_fn=self.join)
        assert status is None or done.returncode == status, \
            f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def podman(self, *argv, **kwargs):
        return self.run("podman", *argv, **kwargs)

    def inspect(self, name, kind="container"):
        told = json.loads(self.podman(kind, "inspect", name).stdout)
        return told[0] if isinstance(told, list) else told

    def get(self, address, port, path="/", timeout=PATIENCE, headers=None):
        """A request from the node, as of its kubelet: (status, body)."""
        connection = http.client.HTTPConnection(address, port)
        connection.sock = self.netns.socket()
        connection.sock.settimeout(timeout)
        with contextlib.closing(connection):
            connection.sock.connect((address, port))
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()


if __name__ == "__main__":
    _keeper()
