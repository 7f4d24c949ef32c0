# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input and missing privileges: one line that names the culprit, and nothing changed."""
import subprocess

import pytest

from lib.proc import Process, child_setup, wait_until
from lib.sluice import FAILED, USAGE, sluice

BAD = [
    ("--inbound-exclude-ports=0", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=70000", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=65536", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=80-", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=-80", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=90-80", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=80,,81", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=80,", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=80x", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=+80", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=0x50", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=99999999999999999999", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=*", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=http", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=", "--inbound-exclude-ports"),
    ("--outbound-exclude-cidrs=10.0.0.0/33", "--outbound-exclude-cidrs"),
    ("--outbound-exclude-cidrs=10.0.0.0/", "--outbound-exclude-cidrs"),
    ("--outbound-exclude-cidrs=10.0.0/8", "--outbound-exclude-cidrs"),
    ("--outbound-exclude-cidrs=10.0.0.256", "--outbound-exclude-cidrs"),
    ("--outbound-exclude-cidrs=fd00::/129", "--outbound-exclude-cidrs"),
    ("--outbound-exclude-cidrs=fd00:::/64", "--outbound-exclude-cidrs"),
    ("--outbound-exclude-cidrs=example.com", "--outbound-exclude-cidrs"),
    ("--inbound-exclude-cidrs=*", "--inbound-exclude-cidrs"),
    ("--exclude-interfaces=a-name-longer-than-15", "--exclude-interfaces"),
    ("--exclude-interfaces=eth/0", "--exclude-interfaces"),
    ("--exclude-uids=no-such-user", "--exclude-uids"),
    ("--exclude-gids=no-such-group", "--exclude-gids"),
    ("--include-uids=4294967295", "--include-uids"),
    ("--proxy-uid=-1", "--proxy-uid"),
    ("--inbound-port=0", "--inbound-port"),
    ("--inbound-port=65536", "--inbound-port"),
    ("--inbound-port=65530", "--inbound-port"),  # its successors do not fit
    ("--outbound-port=9211", "port"),  # one of the inbound ports
    ("--outbound-port=9220", "port"),
    ("--admin-port=9001", "port"),
    ("--inbound=maybe", "--inbound"),
    ("--inbound-closed=drop", "--inbound-closed"),
    ("--fail=safe", "--fail"),
    ("--heartbeat-timeout=300", "--heartbeat-timeout"),
    ("--heartbeat-timeout=1ms", "--heartbeat-timeout"),
    ("--heartbeat-timeout=1d", "--heartbeat-timeout"),
    ("--inbound-port=9211 --inbound-port=9211", "--inbound-port"),
    ("--no-such-option", "--no-such-option"),
    ("--no-such-option=1", "--no-such-option"),
    ("--format=json", "--format"),
    ("-p", "-p"),
    ("operand", "operand"),
    ("--inbound-port", "--inbound-port"),
    ("--netns=/no/such/netns", "--netns"),
    ("--netns=/etc/passwd", "--netns"),
    ("--netns=99999999", "--netns"),
    ("--netns=0", "--netns"),
    ("--netns=", "--netns"),
    ("--inbound-exclude-ports=@/no/such/file", "--inbound-exclude-ports"),
    ("--inbound-exclude-ports=@/", "--inbound-exclude-ports"),
]


@pytest.mark.parametrize("options,named", BAD, ids=[b[0] for b in BAD])
def test_bad_input(world, options, named):
    sluice(world.pod, "apply", "--outbound-exclude-ports=443")
    before = world.pod.ruleset()
    sluice(world.pod, "apply", *options.split(), status=USAGE).one_error(USAGE, named)
    assert world.pod.ruleset() == before


@pytest.mark.parametrize("name,value", [("SLUICE_INBOUND_PORT", "70000"),
                                        ("SLUICE_OUTBOUND_EXCLUDE_CIDRS", "10.0.0.0/33"),
                                        ("SLUICE_PROXY_UID", "no-such-user"),
                                        ("SLUICE_EXCLUDE_UIDS", "@/no/such/file")])
def test_bad_environment(world, name, value):
    sluice(world.pod, "apply", env={name: value}, status=None).one_error(USAGE, name)
    assert world.pod.ruleset() == ""


@pytest.mark.parametrize("text,line", [("80\n81\n70000\n", "line 3"), ("80-\n", "line 1")])
def test_bad_line_of_a_file(world, tmp_path, text, line):
    listed = tmp_path / "ports"
    listed.write_text(text)
    done = sluice(world.pod, "apply", f"--inbound-exclude-ports=@{listed}", status=None)
    done.one_error(USAGE, "--inbound-exclude-ports", str(listed), line)
    assert world.pod.ruleset() == ""


@pytest.mark.parametrize("option", ["--include-uids", "--outbound-include-cidrs",
                                    "--outbound-include-ports", "--inbound-include-ports"])
def test_an_include_of_an_empty_file_is_not_everything(world, tmp_path, option):
    listed = tmp_path / "none"
    listed.write_text("# nobody\n\n")
    done = sluice(world.pod, "apply", f"{option}=@{listed}", status=None)
    done.one_error(USAGE, option, f"file '{listed}' holds no values")
    assert world.pod.ruleset() == ""


@pytest.mark.parametrize("command", [[], ["aplly"], ["--apply"], [""]])
def test_bad_command(world, command):
    done = sluice(world.pod, *command, status=USAGE)
    assert done.out == "" and done.err.startswith("sluice: error: ") or done.err.startswith("usage")


@pytest.mark.parametrize("command", ["apply", "remove", "plan", "check"])
def test_an_unknown_option_of_each_command(world, command):
    sluice(world.pod, command, "--bogus", status=USAGE).one_error(USAGE, "--bogus")


@pytest.mark.parametrize("command", ["apply", "remove", "check"])
@pytest.mark.parametrize("identity", [{"uid": 65534, "caps": []}, {"uid": 0, "caps": ["net_raw"]}],
                         ids=["nobody", "root-without-net-admin"])
def test_without_net_admin(world, command, identity):
    sluice(world.pod, "apply")
    before = world.pod.ruleset()
    done = sluice(world.pod, command, *(["--inbound=off"] if command != "remove" else []),
                  status=None, **identity)
    done.one_error(FAILED, "CAP_NET_ADMIN")
    assert world.pod.ruleset() == before


def test_net_admin_alone_is_enough(world):
    nobody = {"uid": 65534, "caps": ["net_admin"]}
    sluice(world.pod, "apply", **nobody)
    assert "table inet sluice" in world.pod.ruleset()
    sluice(world.pod, "check", **nobody)
    again = sluice(world.pod, "apply", **nobody)
    assert again.out.startswith("sluice: nothing to change: ")
    sluice(world.pod, "remove", **nobody)
    assert world.pod.ruleset() == ""


@pytest.mark.parametrize("caps,missing", [(["net_admin"], "CAP_SYS_ADMIN"),
                                          (["net_admin", "sys_admin"], None)])
def test_another_namespace_needs_more(world, caps, missing):
    """Entering one by path; one line says what is missing."""
    here = world.netns()
    fd = world.pod.fd
    done = sluice(here, "apply", f"--netns=/proc/self/fd/{fd}", caps=caps, status=None,
                  pass_fds=[fd])
    if missing:
        done.one_error(FAILED, missing)
    assert ("sluice" in world.pod.ruleset()) == (missing is None)


def test_another_users_process_needs_more(world):
    """Its namespace is behind a ptrace check."""
    sleeper = world.keep(Process(["sleep", "600"], netns=world.pod), "end")
    done = sluice(world.netns(), "apply", f"--netns={sleeper.pid}", uid=65534,
                  caps=["net_admin", "sys_admin"], status=None)
    done.one_error(FAILED, "CAP_SYS_PTRACE")
    assert world.pod.ruleset() == ""
    sluice(world.netns(), "apply", f"--netns={sleeper.pid}", uid=65534,
           caps=["net_admin", "sys_admin", "sys_ptrace"])
    assert "sluice" in world.pod.ruleset()


@pytest.mark.parametrize("format_", ["text", "nft", "json"])
def test_plan_needs_no_privilege(world, format_):
    done = sluice(world.pod, "plan", f"--format={format_}", uid=65534, caps=[])
    assert done.out and not done.err
    assert world.pod.ruleset() == ""


@pytest.mark.parametrize("command", ["apply", "remove"])
def test_a_table_that_another_process_owns(world, command):
    with subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                          preexec_fn=child_setup(world.pod)) as owner:
        owner.stdin.write("add table inet sluice { flags owner; }\n")
        owner.stdin.flush()
        wait_until(lambda: "flags owner" in world.pod.ruleset(), "nft to own the table")
        sluice(world.pod, command, status=None).one_error(FAILED, "belongs to another process")
        owner.stdin.close()
    sluice(world.pod, command)


@pytest.mark.parametrize("netns", ["/no/such/netns", "/proc/self/ns/net"])
@pytest.mark.parametrize("args", [["plan"], ["explain", "--to=10.0.0.1:80"]], ids=lambda a: a[0])
def test_a_plan_is_of_no_namespace(world, args, netns):
    sluice(world.pod, *args, f"--netns={netns}", status=None).one_error(USAGE, "--netns")


@pytest.mark.parametrize("args", [["help"], ["--help"], ["apply", "--help"], ["check", "--help"],
                                  ["remove", "--help"], ["plan", "--help"], ["version"]])
def test_help_and_version_go_to_stdout(world, args):
    done = sluice(world.pod, *args, uid=65534, caps=[])
    assert done.out and not done.err
