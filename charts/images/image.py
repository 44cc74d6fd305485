#!/usr/bin/env python3
"""Makes a container image from programs and files of this machine, without a container engine, root or a network.

    image.py OUT.tar REFERENCE [options] ENTRYPOINT [ARGUMENT…]

The archive is an OCI layout and a docker archive at once: `ctr images import`, `skopeo copy oci-archive:` and `docker
load` take it. The same inputs give the same bytes, whoever owns them and whenever they were written.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import re
import stat
import subprocess
import sys
import tarfile
import time

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Nobody's: what does not say otherwise runs as this user, which owns nothing.
USER = 65532
OCI = "application/vnd.oci.image."


def fail(message):
    sys.exit(f"image.py: {message}")


def libraries(program):
    """The loader and the shared libraries of a program, by their place in the image; none if it is static."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if "not a dynamic executable" in said.stderr or "statically linked" in said.stdout:
        return {}
    if said.returncode:
        fail(f"ldd cannot read {program}: {said.stderr.strip()}")
    if missing := re.findall(r"(\S+) => not found", said.stdout):
        fail(f"{program} needs {', '.join(missing)}: install them, or name their folder in LD_LIBRARY_PATH")
    found = dict(re.findall(r"(\S+) => (/\S+)", said.stdout))
    # The loader looks where the C library lies, whatever folder of this machine the others are from.
    folder = os.path.dirname(found.get("libc.so.6", "/lib/libc.so.6"))
    placed = {f"{folder}/{name}": path for name, path in found.items()}
    loader = re.search(r"^\s*(/\S+) \(0x", said.stdout, re.M)
    return {**placed, loader[1]: loader[1]} if loader else placed


def base():
    """What any program may look for: certificates, its own user, how names are resolved, a place for scratch files."""
    certificates = "/etc/ssl/certs/ca-certificates.crt"
    if not os.path.exists(certificates):
        fail(f"there is no {certificates}: install the package ca-certificates")
    return {
        "/etc/group": (f"root:x:0:\nnonroot:x:{USER}:\n".encode(), 0o644),
        "/etc/nsswitch.conf": (b"hosts: files dns\n", 0o644),
        "/etc/passwd": (
            f"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/sbin/nologin\n".encode(),
            0o644,
        ),
        certificates: (read(certificates), 0o644),
        "/tmp/": (None, 0o1777),
    }


def read(path):
    with open(path, "rb") as file:
        return file.read()


def layer(entries):
    """A layer's bytes: its entries and their folders by name."""
    whole = dict(entries)
    for path in entries:
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts)):
            whole.setdefault("/" + "/".join(parts[:depth]) + "/", (None, 0o755))
    return archive(((path.strip("/"), *whole[path]) for path in sorted(whole)))


def archive(entries):
    """A tar of (name, bytes or none for a folder, mode): all root's, and of no time, as a layer is what it holds."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in entries:
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def encoded(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def whole(reference):
    """A reference with its registry, as container runtimes look it up."""
    first, _, rest = reference.partition("/")
    if not rest:
        return f"docker.io/library/{reference}"
    return reference if re.search(r"[.:]|^localhost$", first) else f"docker.io/{reference}"


def image(options, layers):
    """The archive's bytes, of a configuration and layers that lie by their digests."""
    blobs = {}

    def put(content, kind):
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"{OCI}{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(options.created))
    labels = dict(label.split("=", 1) for label in options.label)
    labels["org.opencontainers.image.created"] = created
    placed = [put(content, "layer.v1.tar") for content in layers]
    configuration = {
        "architecture": options.architecture,
        "os": "linux",
        "created": created,
        "config": {
            "Entrypoint": options.entrypoint,
            "Env": ["PATH=/"],
            "Labels": labels,
            "User": options.user,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in placed]},
        "history": [{"created": created, "created_by": "charts/images"} for _ in placed],
    }
    config = put(encoded(configuration), "config.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}manifest.v1+json",
        "config": config,
        "layers": placed,
        "annotations": labels,
    }
    index = put(encoded(manifest), "manifest.v1+json")
    index["platform"] = {"architecture": options.architecture, "os": "linux"}
    index["annotations"] = {
        "io.containerd.image.name": whole(options.reference),
        "org.opencontainers.image.ref.name": options.reference.rpartition(":")[2],
    }

    def blob(one):
        return f"blobs/sha256/{one['digest'].removeprefix('sha256:')}"

    docker = [{"Config": blob(config), "RepoTags": [options.reference], "Layers": [blob(one) for one in placed]}]
    entries = {
        "blobs": None,
        "blobs/sha256": None,
        "index.json": encoded({"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": [index]}),
        "manifest.json": encoded(docker),
        "oci-layout": encoded({"imageLayoutVersion": "1.0.0"}),
        **{f"blobs/sha256/{digest}": content for digest, content in blobs.items()},
    }
    modes = ((name, entries[name], 0o755 if entries[name] is None else 0o644) for name in sorted(entries))
    return archive(modes)


def arguments():
    parser = argparse.ArgumentParser(prog="image.py", description=__doc__.partition("\n")[0])
    place = {"action": "append", "default": [], "metavar": "FILE:PLACE"}
    parser.add_argument("--program", **place, help="an executable, with the shared libraries that it needs")
    parser.add_argument("--file", **place, help="any other file")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--user", default=f"{USER}:{USER}", help="default: %(default)s, which owns nothing")
    parser.add_argument("--created", type=int, default=0, metavar="SECONDS", help="since 1970")
    parser.add_argument("--architecture", default=ARCHITECTURES.get(platform.machine(), platform.machine()))
    parser.add_argument("out")
    parser.add_argument("reference", help="name and tag, such as headroom/engine:0.1.0")
    parser.add_argument("entrypoint", nargs="+")
    options = parser.parse_args()
    if ":" not in options.reference.rpartition("/")[2]:
        fail(f"{options.reference} has no tag: write {options.reference}:TAG")
    return options


def main():
    options = arguments()
    below, above = base(), {}
    for place in options.program + options.file:
        path, _, target = place.rpartition(":")
        if not target.startswith("/") or not os.path.isfile(path):
            fail(f"{place}: FILE:PLACE is a file that is there, and an absolute path in the image")
        executable = place in options.program
        above[target] = (read(path), 0o755 if executable or os.stat(path).st_mode & stat.S_IXUSR else 0o644)
        for name, library in libraries(path).items() if executable else ():
            below[name] = (read(library), 0o755)
    # What seldom changes lies below, so that a new version of the program moves only the program.
    content = image(options, [layer(below), layer(above)])
    with open(options.out, "wb") as file:
        file.write(content)


main()
