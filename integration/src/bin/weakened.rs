//! `without-STEP…`, a name of this program beside `rt`: that rt with these steps left out. A test that names it as its
//! runtime should fail; `weakened --steps` says which there are.

use rt_integration::weaken;
use std::path::Path;
use std::process::{Command, exit};

fn main() {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    if words.first().is_some_and(|word| word == "--steps") {
        return weaken::names().for_each(|name| println!("{name}"));
    }
    let name = Path::new(&name);
    let steps = name.file_name().and_then(|name| name.to_str()?.strip_prefix("without-"));
    let Some(steps) = steps else {
        eprintln!("weakened: call it by a name such as without-{}", weaken::names().next().unwrap_or_default());
        exit(2)
    };
    let mut command = Command::new(name.with_file_name("rt"));
    command.args(words);
    match weaken::run(command, &steps.split('+').collect::<Vec<_>>()) {
        Ok(code) => exit(code),
        Err(error) => {
            eprintln!("weakened: {error}");
            exit(2)
        }
    }
}
