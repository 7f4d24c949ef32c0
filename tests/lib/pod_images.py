# SPDX-License-Identifier: GPL-2.0-or-later
"""The images of the pod tests: ours by scripts/image, an application's of this machine's programs."""
import io
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile

from .patience import PATIENCE
from .sluice import PROXY, ROOT, SLUICE

SOURCE = pathlib.Path(os.environ.get("SLUICE_SOURCE", ROOT)).resolve()
APP = "localhost/app:1"
APP_SOURCE = pathlib.Path(__file__).parents[1] / "pod" / "app.py"
# What an application's server never imports, and is large.
LEFT_OUT = {"test", "idlelib", "lib2to3", "ensurepip", "distutils", "pydoc_data", "tkinter",
            "turtledemo", "dist-packages", "site-packages", "unittest", "asyncio", "sqlite3"}
# podman makes a shell's call of curl of an httpGet probe, and one of nc of a tcpSocket probe.
PROGRAMS = {"/usr/sbin/nginx": "usr/sbin/nginx", "/usr/bin/curl": "usr/bin/curl",
            "/bin/nc.openbsd": "bin/nc", "/bin/dash": "bin/sh", "/bin/sleep": "bin/sleep",
            "/bin/true": "bin/true", "/bin/false": "bin/false"}
NGINX = """
daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr warn;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    upstream api { server api:8080; keepalive 4; }
    server {
        listen 8080;
        location / { proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }
        location = /own { return 200 "own\\n"; }
    }
}
"""
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n",
    "etc/group": "root:x:0:\napp:x:1000:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/nginx.conf": NGINX,
}


def _linked(*programs):
    """The libraries that they are linked with, and the loader."""
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(/\S+) \(0x", told))


def _add_text(tar, name, data, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def _application(path):
    """A root file system with nginx, curl, nc, a shell, python3 and app.py."""
    stdlib = pathlib.Path(sysconfig.get_path("stdlib"))
    python = os.path.realpath(sys.executable)
    modules = sorted((stdlib / "lib-dynload").glob("*.so"))
    with tarfile.open(path, "w", dereference=True) as tar:
        for directory, mode in (("tmp", 0o1777), ("run", 0o755), ("bin", 0o755)):
            info = tarfile.TarInfo(directory)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        for name in _linked(python, *PROGRAMS, *modules):
            tar.add(name, name.lstrip("/"))
        for name, target in {python: "usr/bin/python3", **PROGRAMS}.items():
            tar.add(name, target)
        tar.add(stdlib, str(stdlib).lstrip("/"), filter=lambda info: None if info.isdir() and (
            os.path.basename(info.name) in LEFT_OUT or "/config-" in info.name) else info)
        for name, text in FILES.items():
            _add_text(tar, name, text.encode())
        _add_text(tar, "app.py", APP_SOURCE.read_bytes())


def build_ours(node, directory="/var/tmp/build", **env):
    """Runs scripts/image in the node on the programs under test; the directory of what it wrote,
    as seen from outside, and what it said."""
    node.run("mkdir", "-p", directory)
    node.run("cp", SLUICE, PROXY, directory)
    said = node.run(SOURCE / "scripts/image", timeout=4 * PATIENCE,
                    env={"SLUICE_BUILD": directory, "ENGINE": "buildah", **env}).stderr
    return pathlib.Path(f"/proc/{node.pid}/root{directory}/image"), said


def version():
    told = (SOURCE / "include/version.h").read_text(encoding="utf-8")
    return re.search(r'#define VERSION "(.*)"', told)[1]


def ours(init=False):
    return f"localhost/sluice{'-init' if init else ''}:{version()}"


def load_all(node):
    """Both into the node's storage."""
    build_ours(node)
    _application(f"/proc/{node.pid}/root/var/tmp/app.tar")
    node.podman("import", "--quiet", "--change=ENV PATH=/usr/sbin:/usr/bin:/bin", "/var/tmp/app.tar", APP)
    node.run("rm", "/var/tmp/app.tar")
