//! Man pages and completion scripts, from the same tables as the command line itself.

use clap_complete::Shell;
use std::fs;
use std::io;
use std::path::Path;

/// The shells, with the names under which they look for the script of `rt`.
pub const COMPLETIONS: &[(Shell, &str)] = &[(Shell::Bash, "rt.bash"), (Shell::Zsh, "_rt"), (Shell::Fish, "rt.fish")];

pub fn completion(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut rt::cli::command_for_docs(), "rt", &mut script);
    script
}

/// Writes all scripts into a directory.
///
/// # Errors
/// What the filesystem said.
pub fn write_completions(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (shell, name) in COMPLETIONS {
        fs::write(dir.join(name), completion(*shell))?;
    }
    Ok(())
}

/// Writes rt.8 and a page for each command into a directory.
///
/// # Errors
/// What the filesystem said.
pub fn write_man_pages(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut top = rt::cli::command_for_docs();
    top.build();
    let pages = top.get_subcommands().map(|sub| (format!("rt-{}", sub.get_name()), sub.clone()));
    let pages: Vec<_> = pages.collect();
    for (name, command) in [("rt".to_owned(), top)].into_iter().chain(pages) {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).title(name.clone()).section("8").render(&mut page)?;
        fs::write(dir.join(format!("{name}.8")), page)?;
    }
    Ok(())
}
