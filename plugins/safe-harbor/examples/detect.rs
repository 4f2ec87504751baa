//! Reads labelled texts, one JSON object a line, and writes what the detector finds, for `score.py` of the data sets:
//! `cargo run --release -p safe-harbor --example detect -- GOLD.jsonl > PREDICTED.jsonl`. Offsets are code points.

use std::io::{BufRead, Write};

use nephron_sdk::Plugin;
use safe_harbor::SafeHarbor;

fn label(kind: &str) -> String {
    match kind {
        "age" => "AGE90".to_owned(),
        kind => kind.replace('-', "").to_uppercase(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name a file of JSON lines")?;
    let settings =
        serde_json::from_str(&std::env::args().nth(2).unwrap_or_else(|| "{}".to_owned()))?;
    let detector = SafeHarbor::configure(settings).map_err(|problems| format!("{problems:?}"))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (mut bytes, mut spent) = (0, std::time::Duration::ZERO);
    for line in std::io::BufReader::new(std::fs::File::open(path)?).lines() {
        let record: serde_json::Value = serde_json::from_str(&line?)?;
        let text = record
            .get("text")
            .and_then(serde_json::Value::as_str)
            .ok_or("a record has no `text`")?;
        let before = std::time::Instant::now();
        let found = detector.find(&[text]);
        spent += before.elapsed();
        bytes += text.len();
        let point = |at: usize| text.get(..at).map(|before| before.chars().count());
        let spans: Vec<_> = found
            .iter()
            .flatten()
            .map(|one| {
                serde_json::json!({"start": point(one.start), "end": point(one.end), "label": label(one.kind.as_str()), "rule": one.rule})
            })
            .collect();
        writeln!(
            out,
            "{}",
            serde_json::json!({"id": record.get("id"), "spans": spans})
        )?;
    }
    let micros = u64::try_from(spent.as_micros())?;
    writeln!(
        std::io::stderr(),
        "{bytes} bytes in {spent:?}: {} µs for 2 KB",
        micros * 2048 / u64::try_from(bytes.max(1))?
    )?;
    Ok(())
}
