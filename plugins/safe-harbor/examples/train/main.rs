//! Trains the model of `src/tagger.rs`: `cargo xtask train OUTIS.jsonl`, which writes `words/model.bin`.
//!
//! Logistic regression by stochastic gradients (AdaGrad) on labelled notes, changed in what they name and how they are
//! written, and on sentences of our own with words from the lists. Seeded; the same input gives the same bytes.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    clippy::string_slice,
    reason = "a tool of development that may fail"
)]

mod lists;
mod random;
mod rewrite;
mod sentences;

use std::error::Error;
use std::io::BufRead;

use nephron_sdk::Plugin;
use safe_harbor::SafeHarbor;
use safe_harbor::training::{SCALE, SIZE, examples};

use lists::Lists;
use random::Random;

/// A text and the words in it that are names or places.
#[derive(Clone, Debug, Default)]
struct Labelled {
    text: String,
    /// Bytes, and 1 for a name, 2 for a place, none for what is neither way.
    spans: Vec<(usize, usize, Option<u8>)>,
}

impl Labelled {
    fn tag(&self, start: usize, end: usize) -> Option<u8> {
        self.spans
            .iter()
            .find(|(from, to, _)| *from < end && start < *to)
            .map_or(Some(0), |(_, _, tag)| *tag)
    }

    fn push(&mut self, text: &str, tag: Option<u8>) {
        let start = self.text.len();
        self.text.push_str(text);
        if tag != Some(0) {
            self.spans.push((start, self.text.len(), tag));
        }
    }
}

/// How many features in a hundred an example goes without, so that none is leaned on.
const DROPPED: usize = 15;

/// Weights for one tag, and the sum of their squared gradients.
struct Weights {
    of: Vec<f32>,
    squares: Vec<f32>,
}

/// `e` to the power of `x`, by multiplication alone: the same on every machine.
fn power(x: f32) -> f32 {
    let mut power = 1.0 + x.clamp(-30.0, 30.0) / 1024.0;
    for _ in 0..10 {
        power *= power;
    }
    power
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let notes = arguments.next().ok_or("name the labelled notes")?;
    let model = arguments.next().ok_or("name the file for the model")?;
    let detector = SafeHarbor::configure(serde_json::from_str("{}")?)
        .map_err(|problems| format!("{problems:?}"))?;
    let lists = Lists::read();
    let frames = sentences::Frames::read();
    let mut random = Random::new(164_514);
    let mut weights: Vec<Weights> = (0..2)
        .map(|_| Weights {
            of: vec![0.0; SIZE],
            squares: vec![0.0; SIZE],
        })
        .collect();
    let labelled: Vec<Labelled> = std::io::BufReader::new(std::fs::File::open(notes)?)
        .lines()
        .map(|line| read(&line?))
        .collect::<Result<_, _>>()?;
    for round in 0..8 {
        let (mut seen, mut wrong) = (0u32, 0u32);
        for (note, given) in labelled.iter().enumerate() {
            // One note in four, and as much of our own as there is of them.
            let mut texts = Vec::new();
            if note % 4 == round % 4 {
                texts.push(rewrite::rewrite(given, &lists, &mut random));
            }
            texts.push(frames.text(&lists, &mut random));
            texts.push(frames.text(&lists, &mut random));
            for text in texts {
                let text = rewrite::write_otherwise(text, &mut random);
                let mut forget = Random::new(random.next());
                let mut dropped = Random::new(random.next());
                let unlisted = random.next() as u32;
                for example in examples(
                    &detector,
                    &text.text,
                    |start, end| text.tag(start, end),
                    || forget.below(6) == 0,
                    unlisted,
                ) {
                    if let Some(tag) = example.tag {
                        let mut features = example.features;
                        features.retain(|_| dropped.below(100) >= DROPPED);
                        seen += 1;
                        wrong += u32::from(learn(&mut weights, &features, tag));
                    }
                }
            }
        }
        eprintln!("round {round}: {wrong} of {seen} wrong");
    }
    let quantised = |weight: f32| {
        let whole = (weight * SCALE as f32).round().clamp(-127.0, 127.0);
        (whole as i8).cast_unsigned()
    };
    let bytes: Vec<u8> = (0..SIZE)
        .flat_map(|bucket| {
            [
                quantised(weights[0].of[bucket]),
                quantised(weights[1].of[bucket]),
            ]
        })
        .collect();
    eprintln!(
        "{} of {} weights are not nought",
        bytes.iter().filter(|byte| **byte != 0).count(),
        bytes.len()
    );
    std::fs::write(model, bytes)?;
    Ok(())
}

/// One step; says whether the tag was another.
fn learn(weights: &mut [Weights], features: &[u32], tag: u8) -> bool {
    const RATE: f32 = 0.08;
    const DECAY: f32 = 1e-4;
    let score = |weights: &Weights| -> f32 {
        features
            .iter()
            .map(|bucket| weights.of[*bucket as usize])
            .sum()
    };
    let powers = [1.0, power(score(&weights[0])), power(score(&weights[1]))];
    let whole: f32 = powers.iter().sum();
    let best = usize::from(powers[1] > 1.0 || powers[2] > 1.0)
        * if powers[1] >= powers[2] { 1 } else { 2 };
    for (place, weights) in weights.iter_mut().enumerate() {
        let wanted = f32::from(u8::from(usize::from(tag) == place + 1));
        let error = powers[place + 1] / whole - wanted;
        if error.abs() < 0.01 {
            continue;
        }
        for bucket in features {
            let bucket = *bucket as usize;
            let gradient = error + DECAY * weights.of[bucket];
            weights.squares[bucket] += gradient * gradient;
            weights.of[bucket] -= RATE * gradient / (weights.squares[bucket].sqrt() + 0.3);
        }
    }
    best != usize::from(tag)
}

fn read(line: &str) -> Result<Labelled, Box<dyn Error>> {
    let record: serde_json::Value = serde_json::from_str(line)?;
    let text = record["text"].as_str().ok_or("no text")?.to_owned();
    let offsets: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let mut spans = Vec::new();
    for span in record["spans"].as_array().ok_or("no spans")? {
        let place = |key: &str| span[key].as_u64().map(|at| offsets[at as usize]);
        let (start, end) = place("start").zip(place("end")).ok_or("no offsets")?;
        let tag = match span["label"].as_str().ok_or("no label")? {
            "NAME" => Some(1),
            "GEO" => Some(2),
            _ => None,
        };
        spans.push((start, end, tag));
    }
    spans.sort_unstable();
    Ok(Labelled { text, spans })
}
