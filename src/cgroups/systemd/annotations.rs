//! Properties that a configuration adds to its unit: annotations `org.systemd.property.NAME` with a value in GVariant's
//! text form (GLib, "GVariant Text Format"), as runc and crun take them. What properties of units are made of is read:
//! truth values, numbers, strings, and arrays of one of these.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use super::properties::Property;
use super::wire::Value;

const PREFIX: &str = "org.systemd.property.";

/// rt itself decides these: with another value there would be no container in the unit.
const OWN: [&str; 4] = ["PIDs", "PIDFDs", "Slice", "Delegate"];

/// The properties that annotations ask for, in the order of their names.
pub fn properties(annotations: Option<&HashMap<String, String>>) -> Result<Vec<Property>> {
    let named = |(key, text)| Some((str::strip_prefix(key, PREFIX)?, text));
    let mut asked: Vec<(&str, &String)> =
        annotations.into_iter().flatten().filter_map(|(key, text): (&String, _)| named((key.as_str(), text))).collect();
    asked.sort();
    asked
        .into_iter()
        .map(|(name, text)| property(name, text).with_context(|| format!("annotations[\"{PREFIX}{name}\"]")))
        .collect()
}

fn property(name: &str, text: &str) -> Result<Property> {
    let letters = name.len() >= 3 && name.bytes().all(|b| b.is_ascii_alphabetic());
    ensure!(letters, "a property's name has three letters at least, and nothing but letters");
    ensure!(!OWN.contains(&name), "{name} is set by the runtime itself");
    let value = parse(text)?;
    // `TimeoutStopSec` is a setting of unit files; on the bus there is only `TimeoutStopUSec`.
    match name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase())) {
        Some(stem) => Ok((format!("{stem}USec"), microseconds(&value)?)),
        None => Ok((name.to_owned(), value)),
    }
}

fn microseconds(seconds: &Value) -> Result<Value> {
    let seconds = match seconds {
        Value::Int32(n) => u64::try_from(*n).ok(),
        Value::Int64(n) => u64::try_from(*n).ok(),
        Value::Uint32(n) => Some(u64::from(*n)),
        Value::Uint64(n) => Some(*n),
        Value::Byte(n) => Some(u64::from(*n)),
        _ => None,
    };
    let micros = seconds.and_then(|n| n.checked_mul(1_000_000));
    Ok(Value::Uint64(micros.context("a whole number of seconds is needed")?))
}

/// One value and nothing after it.
fn parse(text: &str) -> Result<Value> {
    let mut rest = text.trim();
    let value = value(&mut rest).with_context(|| format!("{text:?} is no GVariant text that is understood here"))?;
    ensure!(rest.trim().is_empty(), "{text:?}: {:?} is left over", rest.trim());
    Ok(value)
}

fn value(rest: &mut &str) -> Result<Value> {
    *rest = rest.trim_start();
    match rest.chars().next().context("it ends too early")? {
        '[' => array(rest),
        quote @ ('\'' | '"') => string(rest, quote),
        '@' => {
            let (signature, after) = rest[1..].split_once(char::is_whitespace).context("a type has no value")?;
            *rest = after;
            typed(signature, rest)
        }
        _ => {
            let end = rest.find(|c: char| c.is_whitespace() || ",]".contains(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            *rest = after;
            match word {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                "boolean" | "byte" | "int32" | "uint32" | "int64" | "uint64" | "string" => typed(word, rest),
                _ => number("int32", word),
            }
        }
    }
}

/// A value whose type is said before it: `uint64 5`, `@t 5`, `@as []`.
fn typed(kind: &str, rest: &mut &str) -> Result<Value> {
    *rest = rest.trim_start();
    match (kind, rest.chars().next()) {
        ("as", Some('[')) => match array_of(rest)? {
            Value::Array(_, values) if values.is_empty() => Ok(Value::Array("s", values)),
            array @ Value::Array("s", _) => Ok(array),
            _ => bail!("it is no array of strings"),
        },
        ("string" | "s", Some(quote @ ('\'' | '"'))) => string(rest, quote),
        ("boolean" | "b", _) => match value(rest)? {
            Value::Bool(value) => Ok(Value::Bool(value)),
            _ => bail!("it is neither true nor false"),
        },
        _ => {
            let end = rest.find(|c: char| c.is_whitespace() || ",]".contains(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            *rest = after;
            number(kind, word)
        }
    }
}

fn number(kind: &str, word: &str) -> Result<Value> {
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (radix, digits) = match unsigned.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None => (10, unsigned),
    };
    let number = i128::from_str_radix(digits, radix).with_context(|| format!("{word:?} is no number"))?;
    let number = if unsigned == word { number } else { -number };
    let out = || format!("{word} is no {kind}");
    Ok(match kind {
        "byte" | "y" => Value::Byte(number.try_into().with_context(out)?),
        "int32" | "i" => Value::Int32(number.try_into().with_context(out)?),
        "uint32" | "u" => Value::Uint32(number.try_into().with_context(out)?),
        "int64" | "x" => Value::Int64(number.try_into().with_context(out)?),
        "uint64" | "t" => Value::Uint64(number.try_into().with_context(out)?),
        _ => bail!("values of type {kind:?} are not understood"),
    })
}

fn string(rest: &mut &str, quote: char) -> Result<Value> {
    let mut text = String::new();
    let mut chars = rest[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => text.push(match chars.next().context("a string has no end")?.1 {
                'n' => '\n',
                't' => '\t',
                plain @ ('\\' | '\'' | '"') => plain,
                other => bail!("\\{other} is not understood"),
            }),
            c if c == quote => {
                *rest = &rest[1 + at + c.len_utf8()..];
                return Ok(Value::Text(text));
            }
            c => text.push(c),
        }
    }
    bail!("a string has no end")
}

fn array(rest: &mut &str) -> Result<Value> {
    let array = array_of(rest)?;
    ensure!(!matches!(&array, Value::Array(_, values) if values.is_empty()), "an empty array needs its type: @as []");
    Ok(array)
}

fn array_of(rest: &mut &str) -> Result<Value> {
    *rest = &rest[1..];
    let mut values: Vec<Value> = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(']') {
            *rest = after;
            break;
        }
        ensure!(values.is_empty() || rest.starts_with(','), "between the elements of an array is a comma");
        *rest = rest.strip_prefix(',').unwrap_or(rest);
        values.push(value(rest)?);
    }
    let element = match values.first() {
        None | Some(Value::Text(_)) => "s",
        Some(Value::Bool(_)) => "b",
        Some(Value::Byte(_)) => "y",
        Some(Value::Int32(_)) => "i",
        Some(Value::Uint32(_)) => "u",
        Some(Value::Int64(_)) => "x",
        Some(Value::Uint64(_)) => "t",
        Some(_) => bail!("arrays of arrays are not understood"),
    };
    ensure!(values.iter().all(|value| value.signature() == element), "the elements of an array have one type");
    Ok(Value::Array(element, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Result<Property> {
        let annotations =
            HashMap::from([(format!("{PREFIX}{name}"), text.to_owned()), ("other".to_owned(), "?".to_owned())]);
        properties(Some(&annotations)).map(|mut list| list.remove(0))
    }

    #[test]
    fn values() {
        let is = |text: &str, value: Value| assert_eq!(one("Foo", text).unwrap(), ("Foo".to_owned(), value), "{text}");
        is("true", Value::Bool(true));
        is("5", Value::Int32(5));
        is("-0x1", Value::Int32(-1));
        is("uint64 5", Value::Uint64(5));
        is("@t 18446744073709551615", Value::Uint64(u64::MAX));
        is("byte 0xff", Value::Byte(255));
        is(r"'it\'s'", Value::text("it's"));
        is("\"inactive-or-failed\"", Value::text("inactive-or-failed"));
        is("['a', \"b]\"]", Value::Array("s", vec![Value::text("a"), Value::text("b]")]));
        is("@as []", Value::Array("s", vec![]));
        is("[uint32 1,uint32 2]", Value::Array("u", vec![Value::Uint32(1), Value::Uint32(2)]));
    }

    #[test]
    fn seconds_are_microseconds_on_the_bus() {
        assert_eq!(
            one("TimeoutStopSec", "uint64 2").unwrap(),
            ("TimeoutStopUSec".to_owned(), Value::Uint64(2_000_000))
        );
        assert_eq!(one("TimeoutStopUSec", "uint64 2").unwrap(), ("TimeoutStopUSec".to_owned(), Value::Uint64(2)));
        assert!(one("TimeoutStopSec", "'2'").is_err());
        assert!(one("TimeoutStopSec", "-2").is_err());
    }

    #[test]
    fn what_is_no_property() {
        for (name, text) in [
            ("Fo", "1"),
            ("Fo1", "1"),
            ("PIDs", "[uint32 1]"),
            ("Slice", "'a.slice'"),
            ("Foo", ""),
            ("Foo", "1 2"),
            ("Foo", "'a"),
            ("Foo", "[]"),
            ("Foo", "[1, 'a']"),
            ("Foo", "[1 2]"),
            ("Foo", "uint32 -1"),
            ("Foo", "nothing"),
            ("Foo", "1.5"),
            ("Foo", "[[1]]"),
            ("Foo", "@"),
            ("Foo", "["),
            ("Foo", "{'a': 1}"),
            ("Foo", "é"),
            ("Foo", "'\\"),
        ] {
            let error = format!("{:#}", one(name, text).unwrap_err());
            assert!(error.starts_with(&format!("annotations[\"org.systemd.property.{name}\"]: ")), "{error}");
        }
    }
}
