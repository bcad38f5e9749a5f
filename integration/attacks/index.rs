//! `index` names a test for every attack, and how it is seen that the test can fail. Here: that it is complete, and true.

use rt_integration::weaken;
use std::fs;
use std::path::Path;

struct Row<'a> {
    entry: &'a str,
    test: &'a str,
    bite: &'a str,
}

fn rows(text: &str) -> impl Iterator<Item = Row<'_>> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let mut parts = line.split(" | ");
        let mut next = || parts.next().unwrap_or_else(|| panic!("three parts: {line}"));
        Row { entry: next(), test: next(), bite: next() }
    })
}

/// Whether the sources have this `PROGRAM: TEST`.
fn exists(test: &str) -> bool {
    let Some((program, name)) = test.split_once(": ") else { return false };
    let (module, name) = name.rsplit_once("::").unwrap_or(("", name));
    let file = match program {
        "attacks" => format!("attacks/{module}.rs"),
        program => format!("tests/{program}.rs"),
    };
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
    text.contains(&format!("#[test]\nfn {name}()"))
}

#[test]
fn every_entry_has_its_test_and_every_test_its_bite() {
    let text = include_str!("index");
    let numbers = (1..=25).map(|number| format!("D.{number}"));
    let mut all = numbers.chain(('a'..='j').map(|letter| format!("({letter})")));
    assert_eq!(all.find(|entry| !rows(text).any(|row| row.entry == *entry)), None, "an entry without a row");
    for Row { entry, test, bite } in rows(text) {
        assert!(exists(test), "{entry}: no test {test}");
        let known = |step: &str| weaken::names().any(|name| name == step);
        let shown = match bite.strip_prefix("without ") {
            Some(steps) => steps.split('+').all(known),
            None => exists(bite),
        };
        assert!(shown, "{entry}: {test}: neither a step nor a test: {bite}");
    }
}
