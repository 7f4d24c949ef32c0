# SPDX-License-Identifier: GPL-2.0-or-later
"""How little `sluice` needs: no files, no root, one capability, and the system calls it lists."""
import subprocess

import pytest

from lib.proc import child_setup
from lib.scratch import Scratch
from lib.sluice import DONE, FAILED, SLUICE, USAGE, environment, sluice

NOBODY = 65534


@pytest.fixture
def scratch(tmp_path):
    return Scratch(tmp_path, "run")


def test_nft_needs_no_file_at_all(world, scratch):
    """No /proc, /run, /etc; a read-only root; not root; CAP_NET_ADMIN alone."""
    little = {"uid": NOBODY, "caps": ["net_admin"]}
    for args in (["apply"], ["apply"], ["apply", "--inbound-exclude-ports=22"], ["check"],
                 ["status"], ["explain", "--live", "--direction=inbound", "--to=10.77.0.2:80"],
                 ["remove"]):
        if args[0] == "check":
            args.append("--inbound-exclude-ports=22")
        done = scratch.sluice(world.pod, *args, env={"SLUICE_BACKEND": "nft"}, **little)
        assert done.status == DONE, (args, done)
    assert "sluice" not in world.pod.run(["nft", "list", "ruleset"])


def test_auto_needs_no_file_either(world, scratch):
    for command in ("apply", "check", "remove"):
        done = scratch.sluice(world.pod, command, uid=NOBODY, caps=["net_admin"])
        assert done.status == DONE, (command, done)


def test_names_need_the_files_that_hold_them(world, scratch):
    """Numbers are never looked up; a name that nobody knows is wrong usage, and changes nothing."""
    assert scratch.sluice(world.pod, "plan", "--exclude-uids=0,65534").status == DONE
    for option in ("--exclude-uids=root", "--exclude-gids=root"):
        scratch.sluice(world.pod, "apply", option).one_error(USAGE, option.split("=")[0], "'root'")
    (scratch.path / "etc").mkdir()
    (scratch.path / "etc/passwd").write_text("sam:x:4711:1::/:/bin/false\n", encoding="ascii")
    done = scratch.sluice(world.pod, "plan", "--exclude-uids=sam")
    assert done.status == DONE and "4711" in done.out, done


def test_the_legacy_tables_need_a_lock_file(world, scratch):
    legacy = {"SLUICE_BACKEND": "iptables", "XTABLES_LOCKFILE": ""}
    scratch.sluice(world.pod, "apply", env=legacy).one_error(
        FAILED, "/run/xtables.lock", "XTABLES_LOCKFILE")
    (scratch.path / "lock").mkdir()
    legacy["XTABLES_LOCKFILE"] = "/lock/xtables"
    for command in ("apply", "remove"):
        done = scratch.sluice(world.pod, command, env=legacy, writable=b"lock")
        assert done.status == DONE, done


def test_options_of_a_file(world, scratch):
    (scratch.path / "ports").write_text("22\n8000-8999\n", encoding="ascii")
    (scratch.path / "config").write_text("inbound-exclude-ports = @/ports\n", encoding="ascii")
    for args in (["--inbound-exclude-ports=@/ports"], ["--config=/config"]):
        done = scratch.sluice(world.pod, "plan", *args)
        assert done.status == DONE and "8000-8999" in done.out, done


COMMANDS = [
    ["help"], ["version"], ["plan", "--format=json"], ["plan", "--format=iptables"],
    ["plan", "--exclude-uids=root,games"], ["apply"], ["check"], ["status", "--format=json"],
    ["explain", "--direction=outbound", "--to=192.0.2.1:80"],
    ["explain", "--live", "--direction=outbound", "--to=192.0.2.1:80"], ["verify"],
    ["apply", "--exclude-gids=root"], ["remove", "--drain=1"], ["remove"],
]


def test_every_command_keeps_to_its_list(world, backend):
    """lib.sluice fails when a call was refused; here is every command, one after the other."""
    for args in COMMANDS:
        if args[0] in ("help", "version"):
            sluice(world.client, *args)
        else:
            sluice(world.pod, *args)


def test_names_may_come_from_anywhere(world, backend, tmp_path):
    """Looking one up takes calls that are not allowed where no option can hold a name."""
    (tmp_path / "users").write_text("games\n")
    (tmp_path / "conf").write_text("exclude-uids = games\n")
    for args, env in ((["--exclude-uids=games"], {}), (["--exclude-uids", "games"], {}),
                      ([f"--exclude-uids=@{tmp_path}/users"], {}),
                      ([f"--config={tmp_path}/conf"], {}), ([], {"SLUICE_EXCLUDE_UIDS": "games"}),
                      ([], {"SLUICE_CONFIG": f"{tmp_path}/conf"})):
        sluice(world.pod, "apply", *args, env={**world.pod.environment, **env})
        sluice(world.pod, "check", "--exclude-uids=5")


def test_entering_a_namespace(world, backend):
    for args in (["apply"], ["check"], ["verify"], ["remove"]):
        sluice(world.client, *args, f"--netns=/proc/self/fd/{world.pod.fd}", pass_fds=[world.pod.fd],
               env=world.pod.environment)


def test_a_namespace_that_forbids_seccomp_is_no_obstacle(world):
    """Where an outer filter lets nobody install one, work goes on, with a warning."""
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=seccomp", "-e",
         "inject=seccomp:error=ENOSYS", SLUICE, "apply"], capture_output=True, text=True,
        check=False, timeout=60, env=environment({"ASAN_OPTIONS": "detect_leaks=0"}),
        preexec_fn=child_setup(world.pod))
    assert done.returncode == DONE and "seccomp" in done.stderr, done
    assert done.stderr.count("\n") == 1
