//! Builtins that `regorus` would ask the machine for: time, which is the request's, in UTC; and YAML.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Error, Result, bail};
use jiff::civil::{Date, Weekday};
use jiff::{Span, Timestamp};
use regorus::{Engine, Value};

/// Names of those that are added here.
pub(crate) const NAMES: [&str; 10] = [
    "time.add_date",
    "time.clock",
    "time.date",
    "time.now_ns",
    "time.parse_duration_ns",
    "time.parse_rfc3339_ns",
    "time.weekday",
    "yaml.is_valid",
    "yaml.marshal",
    "yaml.unmarshal",
];

/// Gives them to `engine`. `now` says when the request came.
pub(crate) fn add(engine: &mut Engine, now: &Arc<AtomicI64>) -> Result<()> {
    let now = Arc::clone(now);
    for name in NAMES {
        let now = Arc::clone(&now);
        let count = match name {
            "time.now_ns" => 0,
            "time.add_date" => 4,
            _ => 1,
        };
        let answered = move |arguments: Vec<Value>| answer(name, &arguments, &now);
        engine.add_extension(name.to_owned(), count, Box::new(answered))?;
    }
    Ok(())
}

fn answer(name: &str, arguments: &[Value], now: &AtomicI64) -> Result<Value> {
    let argument = |index: usize| arguments.get(index).context("an argument is missing");
    Ok(match name {
        "time.now_ns" => Value::from(now.load(Ordering::Relaxed)),
        "time.parse_rfc3339_ns" => nanoseconds(text(argument(0)?)?.parse().map_err(Error::msg)?)?,
        "time.parse_duration_ns" => Value::from(duration(text(argument(0)?)?)?),
        "time.date" => {
            let date = moment(argument(0)?)?.date();
            numbers([date.year().into(), date.month().into(), date.day().into()])
        }
        "time.clock" => {
            let time = moment(argument(0)?)?.time();
            numbers([
                time.hour().into(),
                time.minute().into(),
                time.second().into(),
            ])
        }
        "time.weekday" => Value::from(weekday(moment(argument(0)?)?.weekday())),
        "time.add_date" => {
            let added = |index| -> Result<i64> { argument(index)?.as_i64() };
            add_date(argument(0)?, added(1)?, added(2)?, added(3)?)?
        }
        "yaml.is_valid" => {
            let read = text(argument(0)?).map(yaml_serde::from_str::<serde_json::Value>);
            Value::from(matches!(read, Ok(Ok(_))))
        }
        "yaml.marshal" => Value::from(yaml_serde::to_string(argument(0)?)?),
        "yaml.unmarshal" => yaml_serde::from_str::<serde_json::Value>(text(argument(0)?)?)?.into(),
        other => bail!("`{other}` is not answered here"),
    })
}

fn text(value: &Value) -> Result<&str> {
    if let Value::String(text) = value {
        return Ok(text);
    }
    bail!("must be a string")
}

/// Nanoseconds, or an array of them and a time zone, which must be UTC.
fn moment(value: &Value) -> Result<jiff::civil::DateTime> {
    let number = if let Value::Array(parts) = value {
        let zone = parts.get(1).map_or(Ok("UTC"), text)?;
        if !["", "UTC"].contains(&zone) || parts.len() > 2 {
            bail!("no time zone but UTC is known here");
        }
        parts.first().context("an argument is missing")?
    } else {
        value
    };
    let at = Timestamp::from_nanosecond(number.as_i64()?.into()).map_err(Error::msg)?;
    Ok(jiff::tz::Offset::UTC.to_datetime(at))
}

fn nanoseconds(at: Timestamp) -> Result<Value> {
    Ok(Value::from(i64::try_from(at.as_nanosecond())?))
}

fn numbers(parts: [i64; 3]) -> Value {
    Value::from(parts.map(Value::from).to_vec())
}

const fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

/// As Go's `AddDate`: 31 October and a month is 1 December.
fn add_date(from: &Value, years: i64, months: i64, days: i64) -> Result<Value> {
    let from = moment(from)?;
    let date = from.date();
    let months = i64::from(date.month())
        .checked_add(months)
        .and_then(|months| months.checked_sub(1))
        .context("too many months")?;
    let year = i64::from(date.year())
        .checked_add(years)
        .and_then(|year| year.checked_add(months.div_euclid(12)))
        .context("too many years")?;
    let first = Date::new(
        i16::try_from(year)?,
        i8::try_from(months.rem_euclid(12) + 1)?,
        1,
    )
    .map_err(Error::msg)?;
    let days = days
        .checked_add(i64::from(date.day()) - 1)
        .context("too many days")?;
    let days = Span::new().try_days(days).map_err(Error::msg)?;
    let moved = first.checked_add(days).map_err(Error::msg)?;
    let moved = moved.to_datetime(from.time());
    nanoseconds(
        jiff::tz::Offset::UTC
            .to_timestamp(moved)
            .map_err(Error::msg)?,
    )
}

/// As Go writes durations: `1h30m`, `1.5s`, `-250ms`.
fn duration(text: &str) -> Result<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        bail!("is no duration");
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .context("a duration lacks its unit")?;
        let (number, behind) = rest.split_at(end);
        let end = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => bail!("a duration has an unknown unit"),
        };
        total += number.parse::<f64>()? * unit;
        rest = behind;
    }
    // Beyond 2⁵³ ns (104 days) a float would lose nanoseconds, and no duration of a policy has both.
    format!("{:.0}", sign * total)
        .parse()
        .context("the duration is too long")
}
