#!/usr/bin/env python3
"""to_jsonl.py FILE...: labelled blocks as JSON lines {id, text, spans}, as the data sets have them."""
import json, os, re, sys

MARK = re.compile(r"\[\[([A-Z0-9]+):(.*?)\]\]", re.S)
for path in sys.argv[1:]:
    stem = os.path.splitext(os.path.basename(path))[0]
    blocks = re.findall(r"^## (\S+)\n(.*?)\n--$", open(path, encoding="utf-8").read(), re.S | re.M)
    for number, (category, marked) in enumerate(blocks):
        text, spans, at = "", [], 0
        for mark in MARK.finditer(marked):
            text += marked[at:mark.start()]
            spans.append({"start": len(text), "end": len(text) + len(mark[2]), "label": mark[1]})
            text, at = text + mark[2], mark.end()
        text += marked[at:]
        print(json.dumps({"id": f"{stem}-{category}-{number}", "text": text, "spans": spans}, ensure_ascii=False))
