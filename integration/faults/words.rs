//! What an error line must say: at which step, and why.

/// What rt puts before every error of a command.
const COMMANDS: &[&str] = &["rt create failed: ", "rt run failed: ", "rt check failed: ", "exec failed: "];

/// What is wrong with the lines that a failed command printed; `errno` is what had been injected.
pub fn judge(stderr: &str, errno: Option<i32>) -> Option<String> {
    let errors: Vec<_> = errors(stderr).collect();
    if stderr.contains("panicked") {
        return Some(format!("panicked: {stderr}"));
    }
    let [error] = errors.as_slice() else {
        return Some(match errors.len() {
            0 => format!("failed without a word of its own: {stderr:?}"),
            n => format!("{n} errors: {stderr:?}"),
        });
    };
    let text = COMMANDS.iter().find_map(|command| error.strip_prefix(command)).unwrap_or(error);
    if begins_with_errno(text) {
        return Some(format!("names no step: {error:?}"));
    }
    let says_errno = errno.is_some_and(|errno| text.to_lowercase().contains(&words(errno)));
    // A sentence that gives another reason has parts: what, why, what may help.
    let says_why = says_errno
        || text.contains(": ")
        || text.contains(" (")
        || text.contains("killed")
        || text.contains("died")
        || text.contains("stopped");
    (!says_why).then(|| format!("gives no reason: {error:?}"))
}

/// The error lines among those printed, without rt's name in front.
pub fn errors(stderr: &str) -> impl Iterator<Item = &str> {
    let ours = stderr.lines().filter_map(|line| line.strip_prefix("rt: "));
    ours.filter(|line| !line.starts_with("warning: ") && !line.starts_with("debug: "))
}

/// The errno's words, in lower case.
fn words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn begins_with_errno(text: &str) -> bool {
    const LAST: i32 = 133;
    let lower = text.to_lowercase();
    let name = text.split([':', ' ']).next().unwrap_or_default();
    let is_name = name.len() > 2 && name.starts_with('E') && name.bytes().all(|byte| byte.is_ascii_uppercase());
    is_name || (1..=LAST).any(|errno| lower.starts_with(&words(errno)))
}
