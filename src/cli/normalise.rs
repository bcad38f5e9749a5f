//! One canonical shape for every argv that callers write.
//!
//! runc's flags are those of Go's flag package, and callers use all of it: one dash or two, `-x=v`, `--switch=false`,
//! flags after the container id, globals given twice. All of that is settled here, so that the parser behind
//! it sees only `--flag`, `--flag=value`, then `--` and the positional arguments.

use super::table::{Flag, GLOBALS, Kind, Verb, verb};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// An argv taken apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Words {
    pub program: OsString,
    /// Global flags, canonical, in order.
    pub globals: Vec<OsString>,
    pub command: Option<OsString>,
    /// The command's own flags, canonical, in order.
    pub flags: Vec<OsString>,
    pub positionals: Vec<OsString>,
}

/// Rewrites `argv` so that its globals come first, its command second, then the command's flags, `--` and the rest.
pub fn normalise(argv: Vec<OsString>) -> Vec<OsString> {
    let words = split(argv);
    let mut out = vec![words.program];
    out.extend(words.globals);
    if let Some(command) = words.command {
        out.push(command);
        out.extend(words.flags);
        out.push("--".into());
        out.extend(words.positionals);
    }
    out
}

pub(super) fn split(argv: Vec<OsString>) -> Words {
    let mut argv = argv.into_iter();
    let mut words = Words {
        program: argv.next().unwrap_or_default(),
        ..Words::default()
    };
    while let Some(word) = argv.next() {
        if word == "--" {
            continue;
        }
        if !is_flag(&word) {
            words.command = Some(word);
            break;
        }
        if let Err(unknown) = take(&word, &[GLOBALS], &mut argv, &mut words.globals) {
            words.globals.push(unknown);
        }
    }
    match words
        .command
        .as_deref()
        .and_then(OsStr::to_str)
        .and_then(verb)
    {
        Some(verb) => split_rest(verb, &mut argv, &mut words),
        // The parser names the unknown command; its flags mean nothing to us.
        None => words.positionals.extend(argv),
    }
    words
}

fn split_rest(verb: &Verb, argv: &mut impl Iterator<Item = OsString>, words: &mut Words) {
    while let Some(word) = argv.next() {
        if word == "--" {
            words.positionals.extend(argv);
            return;
        }
        if !is_flag(&word) {
            words.positionals.push(word);
            if verb.passes_rest {
                words.positionals.extend(argv);
                return;
            }
            continue;
        }
        // The command's flags shadow globals of the same name: `spec --rootless` is not `--rootless WHEN`.
        let Err(word) = take(&word, verb.flags, argv, &mut words.flags) else {
            continue;
        };
        if let Err(unknown) = take(&word, &[GLOBALS], argv, &mut words.globals) {
            words.flags.push(unknown);
        }
    }
}

fn is_flag(word: &OsStr) -> bool {
    word.len() > 1 && word.as_bytes()[0] == b'-'
}

/// Moves one flag, with its value, from the argv to `out`; gives the word back if `flags` does not know it.
fn take(
    word: &OsStr,
    flags: &[&'static [Flag]],
    rest: &mut impl Iterator<Item = OsString>,
    out: &mut Vec<OsString>,
) -> Result<(), OsString> {
    let bytes = word.as_bytes();
    let bare = bytes.strip_prefix(b"--").unwrap_or(&bytes[1..]);
    let (name, value) = match bare.iter().position(|&b| b == b'=') {
        Some(at) => (&bare[..at], Some(&bare[at + 1..])),
        None => (bare, None),
    };
    let long = flags
        .iter()
        .copied()
        .flatten()
        .find(|flag| flag.long.as_bytes() == name);
    if let Some(flag) = long {
        put(flag, value.map(<[u8]>::to_vec), rest, out);
        return Ok(());
    }
    if bytes.starts_with(b"--") {
        return Err(word.to_owned());
    }
    cluster(word, flags, rest, out)
}

/// Short flags: `-d`, `-dt`, `-b DIR`, `-bDIR`, `-b=DIR`. The word is taken whole or not at all.
fn cluster(
    word: &OsStr,
    flags: &[&'static [Flag]],
    rest: &mut impl Iterator<Item = OsString>,
    out: &mut Vec<OsString>,
) -> Result<(), OsString> {
    let letters = &word.as_bytes()[1..];
    let mut found = Vec::new();
    for (at, &letter) in letters.iter().enumerate() {
        let known = flags
            .iter()
            .copied()
            .flatten()
            .find(|flag| flag.short == Some(letter as char));
        let Some(flag) = known else {
            return Err(word.to_owned());
        };
        let tail = &letters[at + 1..];
        let assigned = tail.strip_prefix(b"=");
        let ends = !matches!(flag.kind, Kind::Switch) || assigned.is_some();
        let value = (ends && !tail.is_empty()).then(|| assigned.unwrap_or(tail).to_vec());
        found.push((flag, value));
        if ends {
            break;
        }
    }
    for (flag, value) in found {
        put(flag, value, rest, out);
    }
    Ok(())
}

fn put(
    flag: &Flag,
    value: Option<Vec<u8>>,
    rest: &mut impl Iterator<Item = OsString>,
    out: &mut Vec<OsString>,
) {
    let bare = OsString::from(format!("--{}", flag.long));
    let value = match (flag.kind, value) {
        (Kind::Switch, None) => return out.push(bare),
        (Kind::Switch, Some(value)) => match go_bool(&value) {
            Some(true) => return out.push(bare),
            // The last word counts: an earlier occurrence is taken back.
            Some(false) => return out.retain(|word| *word != bare),
            None => OsString::from_vec(value),
        },
        (_, Some(value)) => OsString::from_vec(value),
        (_, None) => match rest.next() {
            Some(value) => value,
            // The parser says which value is missing.
            None => return out.push(bare),
        },
    };
    let mut word = bare;
    word.push("=");
    word.push(value);
    out.push(word);
}

/// The spellings that Go's strconv.ParseBool takes.
fn go_bool(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}
