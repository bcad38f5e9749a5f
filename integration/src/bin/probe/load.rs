//! Loads that run into limits: processor time, processes, disks, huge pages.

use crate::process::fork;
use crate::syscalls::errno_name;
use crate::{Outcome, arg, of, parsed, signals};
use std::fs::OpenOptions;
use std::io::{Error, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// Uses this much processor time, however long that takes.
pub fn burn(args: &[String]) -> Outcome {
    let wanted = Duration::from_secs_f64(parsed(args, 0, "SECONDS")?);
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        // SAFETY: a place for the answer.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut used) };
        if Duration::new(used.tv_sec as u64, used.tv_nsec as u32) >= wanted {
            return Ok(());
        }
        (0..1000).for_each(|_| std::hint::spin_loop());
    }
}

/// Asks to run on one processor alone, and says on which it runs then.
pub fn pin(args: &[String]) -> Outcome {
    let cpu: usize = parsed(args, 0, "CPU")?;
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is live, and CPU_SET passes over numbers that it has no bit for.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is live and as long as said.
    let answer = match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => "ok".to_owned(),
        _ => errno_name(Error::last_os_error().raw_os_error().unwrap_or(0)),
    };
    // SAFETY: takes nothing.
    println!("{answer} {}", unsafe { libc::sched_getcpu() });
    Ok(())
}

/// Forks children that wait, until the kernel refuses one or there are N.
pub fn forks(args: &[String]) -> Outcome {
    let most: u32 = parsed(args, 0, "N")?;
    for made in 0..most {
        match fork() {
            Ok(true) => {
                let _ = signals::pause(&[]);
                std::process::exit(0);
            }
            Ok(false) => {}
            Err(why) => {
                println!("{made} {why}");
                return Ok(());
            }
        }
    }
    println!("{most}");
    Ok(())
}

pub fn zombies(args: &[String]) -> Outcome {
    for _ in 0..parsed(args, 0, "N")? {
        if fork()? {
            std::process::exit(0);
        }
    }
    Ok(())
}

/// Without end: each child does as its parent.
pub fn fork_bomb(_: &[String]) -> Outcome {
    println!("lit");
    loop {
        let _ = fork();
    }
}

const BLOCK: usize = 4096;

#[repr(align(4096))]
struct Block([u8; BLOCK]);

/// Moves blocks between memory and the disk, around the page cache; says how many milliseconds that took.
pub fn disk(args: &[String]) -> Outcome {
    let (way, path): (&str, &str) = (arg(args, 0, "r|w")?, arg(args, 1, "PATH")?);
    let blocks: usize = parsed(args, 2, "BLOCKS")?;
    let mut options = OpenOptions::new();
    options.read(way == "r").write(way == "w").custom_flags(libc::O_DIRECT);
    let mut file = of(path, options.open(path))?;
    let mut block = Box::new(Block([0; BLOCK]));
    let began = Instant::now();
    for _ in 0..blocks {
        of(path, if way == "r" { file.read_exact(&mut block.0) } else { file.write_all(&block.0) })?;
    }
    println!("{}", began.elapsed().as_millis());
    Ok(())
}

/// Reads through the page cache.
pub fn read(args: &[String]) -> Outcome {
    let (path, blocks): (&str, u64) = (arg(args, 0, "PATH")?, parsed(args, 1, "BLOCKS")?);
    let mut file = of(path, std::fs::File::open(path))?.take(blocks * BLOCK as u64);
    let got = of(path, std::io::copy(&mut file, &mut std::io::sink()))?;
    println!("{}", got / BLOCK as u64);
    Ok(())
}

/// Maps and touches huge pages of 2 MB.
pub fn huge(args: &[String]) -> Outcome {
    let pages: usize = parsed(args, 0, "PAGES")?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a mapping of our own, wherever the kernel puts it.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), pages << 21, protection, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        println!("{}", errno_name(Error::last_os_error().raw_os_error().unwrap_or(0)));
        return Ok(());
    }
    for page in 0..pages {
        // SAFETY: within the mapping.
        unsafe { at.cast::<u8>().add(page << 21).write_volatile(1) };
    }
    println!("ok");
    Ok(())
}
