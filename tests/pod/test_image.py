# SPDX-License-Identifier: GPL-2.0-or-later
"""The image: what is in it, and how few privileges it takes."""
import hashlib
import json
import re
import tarfile

import pytest

from lib.metrics import Metrics
from lib.pod_images import build_ours, ours, version
from lib.proc import wait_until

HARDENED = ("--rm", "--read-only", "--cap-drop=ALL")
MIB = 1048576


def run(node, *argv, status=0, image=None, command=("sluice", "apply")):
    network = [] if "--pod=script" in argv else ["--network=none"]
    return node.podman("run", *HARDENED, *network, *argv, image or ours(), *command, status=status)


def one_error(done, *parts):
    """One line, of what is missing; returns nothing else."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("sluice: error: "), done
    assert done.stdout == "", done
    for part in parts:
        assert part in lines[0], done


def applied(done):
    return re.fullmatch(r"sluice: applied: \d+ rules, .*\n", done.stdout)


def test_as_documented(node):
    """As root with NET_ADMIN alone, and with no_new_privs."""
    done = run(node, "--user=0", "--cap-add=NET_ADMIN", "--security-opt=no-new-privileges")
    assert applied(done) and done.stderr == "", done


@pytest.mark.parametrize("user", [["--user=0"], []], ids=["root", "its-own-user"])
def test_without_the_capability(node, user):
    one_error(run(node, *user, status=1), "CAP_NET_ADMIN is needed")


@pytest.fixture
def mounted(node):
    """The image's programs, with what their files give, where every user of the node can run them."""
    where = node.podman("image", "mount", ours()).stdout.strip()
    node.run("mkdir", "-p", "/run/image")
    node.run("mount", "--bind", where, "/run/image")
    yield "/run/image/usr/sbin/sluice"
    node.run("umount", "/run/image")
    node.podman("image", "unmount", ours())


def as_its_user(node, program, *how, status=0):
    """With NET_ADMIN in the bounding set and no more, as from a shell in the container.

    podman hands the capability on as an ambient one, and nothing is left for the file to give.
    """
    # The first setpriv keeps what it had until it runs the second.
    return node.run("unshare", "--net", "setpriv", "--reuid=1337", "--regid=1337", "--clear-groups",
                    "--bounding-set=-all,+net_admin", "--inh-caps=-all", *how, "setpriv", program,
                    "apply", status=status)


def test_by_the_file(node, mounted):
    """As its own user the program's file gives the capability, where privileges may be gained."""
    done = as_its_user(node, mounted)
    assert applied(done) and "error" not in done.stderr, done


def test_the_file_may_not(node, mounted):
    """What allowPrivilegeEscalation: false leads to; the message names it."""
    one_error(as_its_user(node, mounted, "--no-new-privs", status=1), "CAP_NET_ADMIN is needed",
              "allowPrivilegeEscalation")


def test_the_variables_of_the_script(node):
    """`sluice-init` where the script was: its manifest needs only another image."""
    variables = {"SERVICE_PORTS": "8080,8081", "UID": "1400", "GID": "1400",
                 "PROXY_INGRESS_PORT": "9300", "PROXY_EGRESS_PORT": "9100"}
    node.podman("pod", "create", "--name=script", "--network=none")
    try:
        told = [f"--env={k}={v}" for k, v in variables.items()]
        privileges = ["--pod=script", "--user=0", "--cap-add=NET_ADMIN"]
        done = run(node, *privileges, *told, image=ours(init=True), command=())
        assert applied(done) and done.stderr == "", done
        options = ["--proxy-uid=1400", "--proxy-gid=1400", "--inbound-port=9300",
                   "--outbound-port=9100", "--inbound-include-ports=8080,8081"]
        run(node, *privileges, command=("sluice", "check", *options))
        run(node, *privileges, command=("sluice", "check", *options[1:]), status=3)
    finally:
        node.podman("pod", "rm", "--force", "--time=0", "script")


def test_the_proxy_in_it(node):
    """By default it is the proxy, as uid 1337 and with nothing."""
    name = node.podman("run", "--detach", *HARDENED, "--security-opt=no-new-privileges",
                       ours()).stdout.strip()
    try:
        wait_until(lambda: "ready" in node.podman("logs", name).stderr +
                   node.podman("logs", name).stdout, "the proxy to be ready")
        state = node.inspect(name)
        status = node.run("cat", f"/proc/{state['State']['Pid']}/status").stdout
        assert re.search(r"^Uid:\s+1337\s+1337\s+1337\s+1337$", status, re.M)
        assert re.search(r"^CapPrm:\s+0+$", status, re.M)
        address = next(iter(state["NetworkSettings"]["Networks"].values()))["IPAddress"] or \
            state["NetworkSettings"]["IPAddress"]
        assert Metrics(node.get(address, 9901, "/metrics")[1].decode()).find("sluice_build_info")
    finally:
        node.podman("rm", "--force", "--time=5", name)


def digest_of(archive):
    """The digest of the manifest in an OCI archive."""
    with tarfile.open(archive) as tar:
        return json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]


def configuration(archive):
    """The image's configuration, in an OCI archive."""
    def blob(tar, digest):
        return json.load(tar.extractfile(f"blobs/{digest.replace(':', '/')}"))

    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]
        return blob(tar, blob(tar, manifest)["config"]["digest"])


def test_what_is_in_it(node):
    """Twice the same; small; every file in the bill of materials; labelled; no other user."""
    first, said = build_ours(node, "/var/tmp/one")
    again, _ = build_ours(node, "/var/tmp/another")
    for name in "sluice.tar", "sluice-init.tar":
        assert digest_of(first / name) == digest_of(again / name)
    assert digest_of(first / "sluice.tar") != digest_of(first / "sluice-init.tar")
    assert (first / "sluice.spdx").read_text() == (again / "sluice.spdx").read_text()

    bill = (first / "sluice.spdx").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^PackageName: (.*)\n(?:.*\n)*?PackageChecksum: SHA256: (\w+)$",
                             bill, re.M))
    with tarfile.open(first / "root.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    assert {"./usr/sbin/sluice", "./usr/sbin/sluice-proxy"} <= set(files)
    for name, data in files.items():
        assert listed[name.rsplit("/", 1)[1]] == hashlib.sha256(data).hexdigest(), name
    assert sum(map(len, files.values())) <= 4 * MIB
    assert (first / "root.tar").stat().st_size <= 4 * MIB
    assert re.search(r"image: \d\.\d\d MiB in all", said)

    for name, command in (("sluice", ["sluice-proxy"]),
                          ("sluice-init", ["sluice", "apply", "--script-environment"])):
        config = configuration(first / f"{name}.tar")["config"]
        assert config["User"] == "1337:1337" and config["Cmd"] == command
        labels = {k.rsplit(".", 1)[1]: v for k, v in config["Labels"].items()
                  if k.startswith("org.opencontainers.image.")}
        assert labels["title"] == "sluice" and labels["version"] == version()
        assert labels["licenses"] == "GPL-2.0-or-later" and labels["description"]
        assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["revision"])
