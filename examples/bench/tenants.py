#!/usr/bin/env python3
"""What a tenant costs: resident memory of a gateway with many tenants that are all open, and with as many of which one is open and the
others rest, each held against a gateway with one; and how long the first request of one that rests takes beside the next.

usage: examples/bench/tenants.py [--nephron target/release/nephron] [--open 100] [--resting 2000]
"""
import argparse, json, os, pathlib, shutil, socket, statistics, subprocess, tempfile, time, urllib.request

here = pathlib.Path(__file__).resolve().parent
args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("--nephron", default=str(here.parent.parent / "target/release/nephron"))
args.add_argument("--open", type=int, default=100)
args.add_argument("--resting", type=int, default=2000)
args = args.parse_args()

first = '[[tenant]]\nid = "st-marys"\n'
text = (here / "gateway.toml").read_text()
assert text.count(first) == 1
environment = {**os.environ, "NEPHRON_PASSPHRASE": "only-for-measuring"}


def serve(folder, tenants, may_be_open):
    """Resident MiB once it serves, and milliseconds of two requests to each of the last tenants."""
    names = [f"clinic-{number}" for number in range(tenants - 1)]
    keys, configuration = {}, text.replace(first, first + "".join(f'[[tenant]]\nid = "{name}"\n' for name in names))
    for name in names[-5:]:
        command = [args.nephron, "api-key", "new", "--id", name, "--tenant", name, "--caller", "load", "--role", "physician"]
        key, _, *table = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        keys[name], configuration = key, "\n".join([configuration, *table])
    configuration += f"\n[limits]\nopen-tenants = {may_be_open}\n"
    (folder / "run/gateway.toml").write_text(configuration)
    with open(folder / "serve.log", "w") as log:
        process = subprocess.Popen([args.nephron, "serve"], cwd=folder / "run", env=environment, stderr=log, stdout=log)
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit((folder / "serve.log").read_text())
            try:
                socket.create_connection(("127.0.0.1", 8443)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
        took = ([], [])
        for name, key in keys.items():
            for times in took:
                body = json.dumps({"point": "ingress", "action": "chat", "target": "any", "facts": {"messages": 1, "bytes": 9, "blobs": 0}})
                request = urllib.request.Request("http://127.0.0.1:8443/v1/decide", body.encode(), {"authorization": f"Bearer {key}"})
                began = time.perf_counter()
                urllib.request.urlopen(request).read()
                times.append((time.perf_counter() - began) * 1000)
        return resident, [statistics.median(times) for times in took if times]
    finally:
        process.terminate()
        process.wait()


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    shutil.copytree(here.parent / "policies", folder / "policies")
    (folder / "run/data").mkdir(parents=True)
    (folder / "run/data").chmod(0o700)
    serve(folder, 1, 1)  # compiles the plugins
    alone, _ = serve(folder, 1, 1)
    opened, _ = serve(folder, args.open, args.open)
    rest, (woken, awake) = serve(folder, args.resting, 1)
    print(f"one tenant: {alone:.0f} MiB")
    print(f"{args.open} open: {opened:.0f} MiB, {(opened - alone) / (args.open - 1) * 1024:.0f} KiB for each more")
    print(f"{args.resting}, one open: {rest:.0f} MiB, {(rest - alone) / (args.resting - 1) * 1024:.1f} KiB for each that rests")
    print(f"`/v1/decide` of one that rested (and had no folder yet): {woken:.0f} ms; again: {awake:.1f} ms")
