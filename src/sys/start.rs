//! The entry point. Rust's own would install handlers for stack overflows and a second stack, a dozen system calls that
//! nobody here needs; what of it matters is done below.

use nix::errno::Errno;
use rt::Strings;
use rt::fault::{During, Fault};
use std::ffi::{CStr, OsString};
use std::os::unix::ffi::OsStringExt;

/// What the C library calls.
#[unsafe(no_mangle)]
pub extern "C" fn main(count: i32, arguments: *const *const libc::c_char) -> i32 {
    make_stack_present();
    open_standard_fds();
    let settled = settle_signals();
    // SAFETY: the C library passes `count` pointers to C strings that live as long as the process, and a NULL.
    let words = (0..count.max(0) as usize).map(|i| unsafe { CStr::from_ptr(*arguments.add(i)) });
    let begun = settled.and_then(|()| match rt::seal::is_needed(words.clone().skip(1)) {
        // SAFETY: as above.
        true => rt::seal::ensure(&unsafe { Strings::given(arguments) }),
        false => Ok(()),
    });
    let code = rt::main(words.map(|word| OsString::from_vec(word.to_bytes().to_vec())).collect(), begun);
    // What the C library would do at the end lies in pages of its own, and nobody has left it anything to do.
    // SAFETY: nothing runs after it.
    unsafe { libc::_exit(code.into()) }
}

/// How much of the stack the common commands use.
const STACK: usize = 28 << 10;

/// Page by page it would take three times as long.
fn make_stack_present() {
    let here = 0_u8;
    let top = (&raw const here as usize) / 4096 * 4096;
    // SAFETY: the kernel has mapped more than that for the stack. An old one may not know the advice; nothing is lost.
    unsafe { libc::madvise((top - STACK) as *mut libc::c_void, STACK, libc::MADV_POPULATE_WRITE) };
}

/// A closed pipe is an error of write(2), not the end of us; and where the caller ignores SIGCHLD, children would be reaped
/// behind our back.
fn settle_signals() -> Result<(), Fault> {
    for (signal, disposition) in [(libc::SIGPIPE, libc::SIG_IGN), (libc::SIGCHLD, libc::SIG_DFL)] {
        // SAFETY: a valid disposition of a valid signal.
        let before = Errno::result(unsafe { libc::signal(signal, disposition) });
        before.during("signals", || format!("cannot set what signal {signal} does"))?;
    }
    Ok(())
}

/// A caller may have closed 0, 1 or 2: the next file that we open must not become our standard output.
fn open_standard_fds() {
    let mut fds = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: `fds` is three pollfds, and outlives the call.
    let polled = Errno::result(unsafe { libc::poll(fds.as_mut_ptr(), 3, 0) });
    if polled.is_ok() {
        for _ in fds.iter().filter(|fd| fd.revents & libc::POLLNVAL != 0) {
            // SAFETY: a static string; the lowest free number is the one that is missing.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
}
