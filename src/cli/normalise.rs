//! One canonical shape for every argv that callers write.
//!
//! runc's flags are those of Go's flag package, and callers use all of it: one dash or two, `-x=v`, `--switch=false`,
//! flags after the container id, globals given twice. All of that is settled here, so that the parser behind
//! it sees a list of flags that the tables know, a list of positional arguments, and nothing else.

use super::table::{Flag, GLOBALS, Kind, Verb, verb};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One flag of an argv.
pub(super) enum Seen {
    /// With its value if it got one.
    Known(&'static Flag, Option<OsString>),
    /// As written.
    Unknown(OsString),
}

/// An argv taken apart.
#[derive(Default)]
pub(super) struct Words {
    pub program: OsString,
    pub globals: Vec<Seen>,
    pub command: Option<OsString>,
    /// The command's own flags, in order.
    pub flags: Vec<Seen>,
    pub positionals: Vec<OsString>,
}

/// Rewrites `argv` so that its globals come first, its command second, then the command's flags, `--` and the rest.
pub fn normalise(argv: Vec<OsString>) -> Vec<OsString> {
    let words = split(argv);
    let mut out = vec![words.program];
    out.extend(words.globals.into_iter().map(Seen::canonical));
    if let Some(command) = words.command {
        out.push(command);
        out.extend(words.flags.into_iter().map(Seen::canonical));
        out.push("--".into());
        out.extend(words.positionals);
    }
    out
}

pub(super) fn split(argv: Vec<OsString>) -> Words {
    let mut argv = argv.into_iter();
    let mut words = Words { program: argv.next().unwrap_or_default(), ..Words::default() };
    while let Some(word) = argv.next() {
        if word == "--" {
            continue;
        }
        if !is_flag(&word) {
            words.command = Some(word);
            break;
        }
        if let Err(unknown) = take(&word, &[GLOBALS], &mut argv, &mut words.globals) {
            words.globals.push(Seen::Unknown(unknown));
        }
    }
    match words.command.as_deref().and_then(OsStr::to_str).and_then(verb) {
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
            words.flags.push(Seen::Unknown(unknown));
        }
    }
}

/// A negative number is none: no flag begins with a digit.
fn is_flag(word: &OsStr) -> bool {
    match word.as_bytes() {
        [b'-', rest @ ..] => !rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Moves one flag, with its value, from the argv to `out`; gives the word back if `flags` does not know it.
fn take(
    word: &OsStr,
    flags: &[&'static [Flag]],
    rest: &mut impl Iterator<Item = OsString>,
    out: &mut Vec<Seen>,
) -> Result<(), OsString> {
    let bytes = word.as_bytes();
    let bare = bytes.strip_prefix(b"--").unwrap_or(&bytes[1..]);
    let (name, value) = match bare.iter().position(|&b| b == b'=') {
        Some(at) => (&bare[..at], Some(&bare[at + 1..])),
        None => (bare, None),
    };
    let long = flags.iter().copied().flatten().find(|flag| flag.long.as_bytes() == name);
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
    out: &mut Vec<Seen>,
) -> Result<(), OsString> {
    let letters = &word.as_bytes()[1..];
    let mut found = Vec::new();
    for (at, &letter) in letters.iter().enumerate() {
        let known = flags.iter().copied().flatten().find(|flag| flag.short == Some(letter as char));
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

fn put(flag: &'static Flag, value: Option<Vec<u8>>, rest: &mut impl Iterator<Item = OsString>, out: &mut Vec<Seen>) {
    let value = match (flag.kind, value) {
        (Kind::Switch, None) => None,
        (Kind::Switch, Some(value)) => match go_bool(&value) {
            Some(true) => None,
            // The last word counts: an earlier occurrence is taken back.
            Some(false) => {
                out.retain(|seen| !seen.is(flag.long));
                return;
            }
            None => Some(OsString::from_vec(value)),
        },
        (_, Some(value)) => Some(OsString::from_vec(value)),
        (_, None) => rest.next(),
    };
    out.push(Seen::Known(flag, value));
}

impl Seen {
    pub fn is(&self, long: &str) -> bool {
        matches!(self, Seen::Known(flag, _) if flag.long == long)
    }

    fn canonical(self) -> OsString {
        match self {
            Seen::Unknown(word) => word,
            Seen::Known(flag, None) => format!("--{}", flag.long).into(),
            Seen::Known(flag, Some(value)) => {
                let mut word = OsString::from(format!("--{}=", flag.long));
                word.push(value);
                word
            }
        }
    }
}

/// The spellings that Go's strconv.ParseBool takes.
fn go_bool(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}
