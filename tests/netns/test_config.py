# SPDX-License-Identifier: GPL-2.0-or-later
"""Options from files: --config of both programs, @FILE, and what comes before what."""
import pytest

from lib.proc import Process
from lib.sluice import PROXY, USAGE, environment, sluice
from lib.world import PROXY_UID

FILE = """# a pod's redirect
inbound-port = 7100
outbound-exclude-ports = 22, 8000-8999   # ssh and friends
outbound-exclude-ports = 5
outbound-exclude-cidrs=@{cidrs}
drain = 0
"""


@pytest.fixture
def config(tmp_path):
    cidrs = tmp_path / "cidrs"
    cidrs.write_text("10.0.0.0/8\n# documentation\nfd00::/8, 2001:db8::/32\n")
    path = tmp_path / "sluice.conf"
    path.write_text(FILE.format(cidrs=cidrs))
    return path


def plan(world, *args, env=None):
    return sluice(world.pod, "plan", *args, env=env).out


def test_a_file_is_as_good_as_options(world, config):
    assert plan(world, f"--config={config}") == plan(
        world, "--inbound-port=7100", "--outbound-exclude-ports=5,22,8000-8999",
        "--outbound-exclude-cidrs=10.0.0.0/8,fd00::/8,2001:db8::/32")
    assert plan(world, env={"SLUICE_CONFIG": str(config)}) == plan(world, f"--config={config}")


def test_what_comes_before_what(world, config):
    env = {"SLUICE_CONFIG": str(config), "SLUICE_INBOUND_PORT": "7200",
           "SLUICE_OUTBOUND_EXCLUDE_PORTS": "6"}
    assert "dnat to :7100-7115" in plan(world, f"--config={config}")
    out = plan(world, env=env)
    assert "dnat to :7200-7215" in out and "tcp dport 6 return" in out and "8000" not in out
    out = plan(world, "--inbound-port=7300", env=env)
    assert "dnat to :7300-7315" in out and "tcp dport 6 return" in out


def test_it_is_applied(world, config):
    sluice(world.pod, "apply", f"--config={config}")
    sluice(world.pod, "check", f"--config={config}")
    sluice(world.pod, "remove", f"--config={config}")


@pytest.mark.parametrize("text,error", [
    ("inbound-port = 0", "line 1: inbound-port: '0' is out of range"),
    ("\n\nbogus = 1", "line 3: bogus: unknown option"),
    ("outbound-exclude-cidrs = 10.0.0.0/33", "line 1: outbound-exclude-cidrs: '10.0.0.0/33'"),
    ("inbound", "line 1: 'inbound' is no setting"),
    ("netns = 1", "line 1: netns: not an option for a file"),
    ("include-uids = nobody, nobody-at-all", "line 1: include-uids: unknown user"),
])
def test_errors_name_the_file_and_the_line(world, tmp_path, text, error):
    path = tmp_path / "bad.conf"
    path.write_text(text + "\n")
    sluice(world.pod, "apply", f"--config={path}", status=None).one_error(
        USAGE, f"--config: file '{path}', {error}")
    assert world.pod.ruleset() == ""


def test_a_file_that_is_not_there(world):
    sluice(world.pod, "apply", "--config=/no/such", status=None).one_error(
        USAGE, "--config: cannot read '/no/such': No such file or directory")


def test_help_though_everything_else_is_wrong(world):
    env = {"SLUICE_CONFIG": "/no/such", "SLUICE_INBOUND_PORT": "bad"}
    for args in (["apply", "--help"], ["remove", "--help"], ["help"], ["help", "check"]):
        assert "Usage: sluice" in sluice(world.pod, *args, env=env).out


def proxy(world, *args, env=None, uid=PROXY_UID):
    return world.keep(Process([PROXY, *args], env=environment(env), netns=world.pod, uid=uid,
                              caps=()), "end")


def test_the_proxy_reads_one_too(world, tmp_path):
    path = tmp_path / "proxy.conf"
    path.write_text("inbound-port = 7100\nadmin-port=7001 # for Prometheus\nservice-name = shop\n")
    # As root, who alone can read in the test's directory.
    p = proxy(world, f"--config={path}", "--admin-port=7002", uid=0)
    p.wait_line("ready: inbound 7100-7115, outbound 9001, admin 7002")


def test_the_proxy_names_file_and_line(world, tmp_path):
    path = tmp_path / "proxy.conf"
    path.write_text("\nproxy-uid = 5\n")
    p = proxy(world, env={"SLUICE_CONFIG": str(path)}, uid=0)
    assert p.wait() == USAGE
    assert p.lines == [f"sluice-proxy: error: SLUICE_CONFIG: file '{path}', line 2: proxy-uid: "
                       "unknown option"]


def test_proxy_ports_that_overlap(world):
    for args, option in ((["--outbound-port=9200", "--virtual-interfaces=vm0"], "--outbound-port"),
                         (["--admin-port=9016", "--virtual-interfaces=vm0"], "--admin-port"),
                         (["--outbound-port=65521", "--virtual-interfaces=vm0"],
                          "--outbound-port")):
        p = proxy(world, *args)
        assert p.wait() == USAGE
        assert p.lines[0].startswith(f"sluice-proxy: error: {option}: ")
    p = proxy(world, "--outbound-port=65521")
    p.wait_line("ready: ")
