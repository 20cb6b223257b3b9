#!/usr/bin/env python3
"""What the binary is made of, from cargo's own account of it, without anything from the network.

    packaging/sbom.py FOLDER    writes FOLDER/chasqui.cdx.json (CycloneDX 1.5) and FOLDER/LICENCIAS.txt

Counted is what is linked into the program for this machine: no proc macros, nothing for tests, but the C sources that a build
script compiles in (OpenSSL). The same Cargo.lock gives the same files.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid

# Crates of build scripts whose sources end up in the binary.
COMPILED_IN = {"openssl-src"}
TEXTS = re.compile(r"^(licen[cs]e|copying|notice|copyright|unlicense)", re.I)
TEXT_BYTES_MAX = 256 * 1024


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(triple):
    """(name, version) of every crate in the binary."""
    def tree(edges):
        said = cargo("tree", "--locked", "--package", "chasqui", "--target", triple, "--edges", edges, "--prefix", "none", "--format", "{p}")
        return {(m[1], m[2]) for m in re.finditer(r"^(\S+) v(\S+)", said, re.M)}
    return tree("normal,no-proc-macro") | {crate for crate in tree("normal,build") if crate[0] in COMPILED_IN}


def packages(triple):
    wanted = linked(triple)
    told = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", triple))
    found = [p for p in told["packages"] if (p["name"], p["version"]) in wanted]
    missing = wanted - {(p["name"], p["version"]) for p in found}
    if missing:
        sys.exit(f"cargo metadata does not know {sorted(missing)}")
    ids = {p["id"]: ref(p) for p in found}
    needs = {ids[n["id"]]: sorted(ids[d] for d in n["dependencies"] if d in ids) for n in told["resolve"]["nodes"] if n["id"] in ids}
    return sorted(found, key=lambda p: (p["name"], p["version"])), needs


def ref(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def expression(package):
    return (package["license"] or "").replace("/", " OR ") or None


def component(package, checksums):
    made = {"type": "library", "bom-ref": ref(package), "name": package["name"], "version": package["version"], "purl": ref(package)}
    if package["description"]:
        made["description"] = " ".join(package["description"].split())
    if expression(package):
        made["licenses"] = [{"expression": expression(package)}]
    digest = checksums.get((package["name"], package["version"]))
    if digest:
        made["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def inside(package):
    """What a crate brings that is not Rust, or not a crate."""
    if package["name"] == "openssl-src" and "+" in package["version"]:
        version = package["version"].split("+", 1)[1]
        yield {"type": "library", "bom-ref": f"pkg:generic/openssl@{version}", "name": "openssl", "version": version,
               "purl": f"pkg:generic/openssl@{version}", "licenses": [{"expression": "Apache-2.0"}]}


FONTS = {"type": "library", "bom-ref": "pkg:generic/ibm-plex", "name": "ibm-plex", "purl": "pkg:generic/ibm-plex",
         "description": "Typefaces of the documents that chasqui draws", "licenses": [{"expression": "OFL-1.1"}]}


def sbom(own, others, needs, checksums):
    components = [component(p, checksums) for p in others] + [c for p in others for c in inside(p)] + [FONTS]
    needs = dict(needs)
    for p in others:
        needs[ref(p)] = needs.get(ref(p), []) + [c["bom-ref"] for c in inside(p)]
    needs[ref(own)] = needs.get(ref(own), []) + [FONTS["bom-ref"]]
    # What build scripts compile in has no edge of its own from the program.
    compiled = [ref(p) for p in others if p["name"] in COMPILED_IN]
    needs[ref(own)] = sorted(set(needs[ref(own)] + compiled))
    body = {"metadata": {"component": component(own, {}) | {"type": "application"}}, "components": components,
            "dependencies": [{"ref": r, "dependsOn": d} for r, d in sorted(needs.items())]}
    serial = uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest())
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1} | body


def texts(folder):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if TEXTS.match(name) and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                yield file.read(TEXT_BYTES_MAX).strip()


def licences(own, others):
    """Everyone's licence, and each text once with those whose it is."""
    lines = [f"chasqui {own['version']} ({expression(own)}) se distribuye con estos componentes de terceros.", ""]
    lines += [f"{p['name']} {p['version']}: {expression(p) or 'véase su texto'}" for p in others]
    lines += ["IBM Plex (tipos de letra): OFL-1.1", ""]
    whose = {}
    for p in others:
        for text in texts(os.path.dirname(p["manifest_path"])):
            whose.setdefault(text, []).append(f"{p['name']} {p['version']}")
    with open("assets/fonts/LICENSE.txt", encoding="utf-8") as file:
        whose.setdefault(file.read().strip(), []).append("IBM Plex")
    for text, names in whose.items():
        lines += ["=" * 78, "De: " + ", ".join(dict.fromkeys(names)), "-" * 78, text, ""]
    return "\n".join(lines) + "\n"


def main(folder):
    triple = re.search(r"^host: (\S+)", subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout, re.M)[1]
    every, needs = packages(triple)
    own = next(p for p in every if p["name"] == "chasqui")
    others = [p for p in every if p is not own]
    with open("Cargo.lock", "rb") as file:
        checksums = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.load(file)["package"]}
    unnamed = [ref(p) for p in others if not expression(p) and not p["license_file"]]
    if unnamed:
        sys.exit(f"without a licence: {unnamed}")
    with open(os.path.join(folder, "chasqui.cdx.json"), "w", encoding="utf-8") as file:
        json.dump(sbom(own, others, needs, checksums), file, indent=1, ensure_ascii=False, sort_keys=True)
        file.write("\n")
    with open(os.path.join(folder, "LICENCIAS.txt"), "w", encoding="utf-8") as file:
        file.write(licences(own, others))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
