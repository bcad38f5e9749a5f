//! The last call: execve(2) and execveat(2).

use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A NULL-terminated array of C strings, made before the calls that must not allocate.
pub struct Strings<'a> {
    pointers: Pointers,
    _owner: std::marker::PhantomData<&'a CStr>,
}

enum Pointers {
    Own(Vec<*const libc::c_char>),
    /// What the C library was started with, or keeps as the environment.
    Given(*const *const libc::c_char),
}

impl<'a> Strings<'a> {
    pub fn new(strings: &'a [CString]) -> Strings<'a> {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Strings { pointers: Pointers::Own(pointers), _owner: std::marker::PhantomData }
    }

    /// The arguments as the C library passed them to `main`.
    ///
    /// # Safety
    /// `arguments` is NULL-terminated, and it and its strings live as long as the process.
    pub unsafe fn given(arguments: *const *const libc::c_char) -> Strings<'static> {
        Strings { pointers: Pointers::Given(arguments), _owner: std::marker::PhantomData }
    }

    /// The environment of this process.
    pub fn environment() -> Strings<'static> {
        unsafe extern "C" {
            static environ: *const *const libc::c_char;
        }
        // SAFETY: the C library keeps it NULL-terminated; rt never changes its environment.
        unsafe { Strings::given(environ) }
    }

    /// Where the kernel has put the program's arguments, if these are they, its environment, and before both the pointers to
    /// them (the comment above `create_elf_tables` in fs/binfmt_elf.c draws it).
    pub fn on_the_stack(&self) -> OnTheStack {
        let arguments = self.as_ptr();
        // SAFETY: AT_EXECFN is the name that the program was started by, right behind the environment; both lists end in
        // NULL, and one follows the other.
        unsafe {
            let end = libc::getauxval(libc::AT_EXECFN);
            let count = (0..).take_while(|i| !(*arguments.add(*i)).is_null()).count();
            let or_end = |pointer: *const libc::c_char| if pointer.is_null() { end } else { pointer as u64 };
            let (first, next) = (or_end(*arguments), or_end(*arguments.add(count + 1)));
            let start = arguments as u64 - size_of::<usize>() as u64;
            OnTheStack { start, arguments: first..next, environment: next..end }
        }
    }

    fn as_ptr(&self) -> *const *const libc::c_char {
        match &self.pointers {
            Pointers::Own(pointers) => pointers.as_ptr(),
            Pointers::Given(pointers) => *pointers,
        }
    }
}

/// What [`Strings::on_the_stack`] finds: addresses.
pub struct OnTheStack {
    pub start: u64,
    pub arguments: Range<u64>,
    pub environment: Range<u64>,
}

/// execve(2). Returns only on failure; makes no other system call.
pub fn execve(path: &CStr, args: &Strings, env: &Strings) -> Errno {
    // SAFETY: all three end in NUL or NULL and outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Errno::last()
}

/// execveat(2) of the file that `file` is open on.
pub fn execve_fd(file: BorrowedFd, args: &Strings, env: &Strings) -> Errno {
    let (args, env) = (args.as_ptr(), env.as_ptr());
    // SAFETY: as above; the path is a static empty string.
    unsafe { libc::syscall(libc::SYS_execveat, file.as_raw_fd(), c"".as_ptr(), args, env, libc::AT_EMPTY_PATH) };
    Errno::last()
}

/// exit_group(2), without running anything of ours.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(code) }
}
