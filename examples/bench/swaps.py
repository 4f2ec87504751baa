#!/usr/bin/env python3
"""What swaps cost: latency of `activate`, p99 of requests with and without swaps, and beside a shadow, memory over many of them,
and how many judgements a second of one core makes, live and in `what-if`.

Run it beside a gateway that `up.sh` started; the load generator is that of `shared/peers`. Two configurations, which differ in
one limit, are staged and activated in turn, one every so many seconds; phases with swaps and without alternate, so that noise hits both. Times in
milliseconds, memory in MiB; each phase stands by itself.

usage: PEERS=DIR KEY=nph_... examples/bench/swaps.py [--rounds 3] [--seconds 8] [--connections 16] [--every 1] [--memory 1000]
"""
import argparse, datetime, json, os, pathlib, socket, statistics, subprocess, threading, time

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("--rounds", type=int, default=3)
args.add_argument("--seconds", type=int, default=8)
args.add_argument("--connections", type=int, default=16)
args.add_argument("--every", type=float, default=1, help="seconds from one swap to the next; 0: without a pause")
args.add_argument("--memory", type=int, default=1000, help="swaps over which memory is read")
args = args.parse_args()

peers = pathlib.Path(os.environ["PEERS"])
key = os.environ["KEY"]
shared = pathlib.Path(os.environ.get("SHARED", "/work/shared/peers"))
folder = peers / "gateway/bench"
configuration = folder / "gateway.toml"
pid = int((peers / "gateway.pid").read_text())
text = configuration.read_text()
connector = 'component = "openai-compatible"\n'
assert text.count(connector) == 1


def ask(what, asked="plugins", answered="plugins"):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(folder / "data/host/control"))
        stream.sendall(json.dumps({asked: what}).encode() + b"\n")
        answer = b"".join(iter(lambda: stream.recv(1 << 16), b"")).splitlines()[-1]
    answer = json.loads(answer)
    if answered not in answer:
        raise SystemExit(f"refused: {answer}")
    return answer[answered]


def stage(fuel):
    limits = f"{connector}\n[plugin.limits]\nfuel = {fuel}\n"
    return stage_text(text.replace(connector, limits))


def stage_text(candidate):
    configuration.write_text(candidate)
    began = time.perf_counter()
    standing = ask({"stage": {"file": str(configuration), "by": "ann", "reason": "measuring"}})
    return (time.perf_counter() - began) * 1000, standing["staged"]["generation"]


def activate(generation):
    began = time.perf_counter()
    ask({"activate": {"generation": generation, "by": "ben", "reason": "measuring"}})
    return (time.perf_counter() - began) * 1000


def load(seconds):
    command = [str(peers / "load/release/load"), "8443", "/v1/chat/completions", str(args.connections), str(seconds)]
    command += [str(shared / "body_ns.json"), "--warm", "1", "--header", f"authorization: Bearer {key}"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def resident():
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def with_limits(candidate):
    """The same deciders and detectors under other limits."""
    for name in ("cedar-policy", "safe-harbor"):
        line = f'component = "{name}"\n'
        assert candidate.count(line) == 1
        candidate = candidate.replace(line, f"{line}limits = {{ fuel = 900_000_000 }}\n")
    return candidate


def processor():
    """Seconds of processor time that the gateway has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def what_if(seconds):
    """The judgements of a phase of load, then the same ones by a candidate: how many, and processor seconds live and again."""
    since = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    live = processor()
    load(seconds)
    live = processor() - live
    candidate = folder / "candidate.toml"
    candidate.write_text(with_limits(text))
    again, began = processor(), time.perf_counter()
    what = {"what-if": {"candidate": str(candidate), "since": since}}
    ran = ask({"what": what, "by": "ann", "reason": "measuring"}, "rerun", "ran")
    return ran["judgements"], live, processor() - again, time.perf_counter() - began, ran


def shadowed(seconds):
    """Load while the same deciders and detectors, under other limits, are asked beside."""
    stage_text(with_limits(text))
    ask({"shadow": {"percent": 100, "by": "ann", "reason": "measuring"}})
    measured = load(seconds)
    findings = ask("look")["shadow"]["findings"]
    ask({"retire": {"by": "ann", "reason": "measuring"}})
    return measured, findings


fuels = [900_000_000, 800_000_000]
count = 0


def swap():
    global count
    count += 1
    staged, generation = stage(fuels[count % 2])
    return staged, activate(generation)


try:
    # First, for it reads the whole log.
    judgements, live, again, took, ran = what_if(args.seconds)
    print(
        f"what-if: {judgements} judgements in {took:.1f} s; per second of one core {judgements / again:.0f}, "
        f"live with everything else that a request costs {judgements / live:.0f}; "
        f"{judgements - ran['same']} differ, {sum(ran['not-run'].values())} not run",
        flush=True,
    )
    swap(), swap()
    for round in range(args.rounds):
        still = load(args.seconds)
        stages, activations, over = [], [], threading.Event()

        def swaps():
            while not over.wait(args.every):
                staged, activated = swap()
                stages.append(staged)
                activations.append(activated)

        thread = threading.Thread(target=swaps)
        thread.start()
        moving = load(args.seconds)
        over.set()
        thread.join()
        if not activations:
            raise SystemExit("no swap came into a phase: make --seconds longer than --every")
        print(
            f"round {round}: p50 {still['p50_us'] / 1000:.2f} -> {moving['p50_us'] / 1000:.2f}, p99 {still['p99_us'] / 1000:.2f} -> "
            f"{moving['p99_us'] / 1000:.2f} (x{moving['p99_us'] / still['p99_us']:.2f}), errors {still['err']} -> {moving['err']}; "
            f"{len(activations)} swaps, stage p50 {statistics.median(stages):.1f}, activate p50 {statistics.median(activations):.2f}, "
            f"most {max(activations):.2f}",
            flush=True,
        )
    for round in range(args.rounds):
        still = load(args.seconds)
        beside, findings = shadowed(args.seconds)
        print(
            f"shadow, round {round}: p50 {still['p50_us'] / 1000:.2f} -> {beside['p50_us'] / 1000:.2f}, p99 {still['p99_us'] / 1000:.2f} -> "
            f"{beside['p99_us'] / 1000:.2f} (x{beside['p99_us'] / still['p99_us']:.2f}); "
            f"{findings['compared']} compared, {findings['differing']} differ, {findings['skipped']} skipped",
            flush=True,
        )
    quiet = [swap()[1] for _ in range(50)]
    print(f"without load: activate p50 {statistics.median(quiet):.2f}, most {max(quiet):.2f}")
    for _ in range(0, args.memory, max(1, args.memory // 5)):
        before = resident()
        for _ in range(max(1, args.memory // 5)):
            swap()
        print(f"after {count} swaps: {before} -> {resident()} MiB", flush=True)
finally:
    configuration.write_text(text)
    (folder / "candidate.toml").unlink(missing_ok=True)
