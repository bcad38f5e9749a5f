//! `docs man DIR` and `docs completions DIR`: what `make install` and a change of flags need.

use rt_integration::docs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["man", dir] => docs::write_man_pages(Path::new(dir)),
        ["completions", dir] => docs::write_completions(Path::new(dir)),
        _ => {
            eprintln!("usage: docs man|completions DIR");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docs: {error}");
            ExitCode::FAILURE
        }
    }
}
