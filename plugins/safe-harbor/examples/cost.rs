//! Looks for identifiers in one text file, many times, for an instruction counter to look on:
//! `valgrind --tool=callgrind target/release/examples/cost NOTE.txt 100`.

use nephron_sdk::Plugin;
use safe_harbor::SafeHarbor;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let text = std::fs::read_to_string(arguments.next().ok_or("name a text file")?)?;
    let calls: u32 = arguments
        .next()
        .ok_or("say how many calls to make")?
        .parse()?;
    let detector = SafeHarbor::configure(serde_json::from_str("{}")?)
        .map_err(|problems| format!("{problems:?}"))?;
    for _ in 0..calls {
        std::hint::black_box(detector.find(&[std::hint::black_box(&text)]));
    }
    Ok(())
}
