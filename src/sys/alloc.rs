//! The allocator: rt lives for a millisecond, so memory is handed out in one row and given back by exit.
//!
//! musl's own spreads sizes over separately mapped pages, and each page first touched costs 3 microseconds. Here what is
//! allocated together lies together. The newest block can grow, shrink and be freed in place, which is what building
//! strings and vectors needs; loops that go on for long must not allocate.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;

/// What the kernel is asked for at a time.
const CHUNK: usize = 1 << 20;

/// How much of a chunk is made present at once: page by page it would cost three times as much.
const STEP: usize = 16 << 10;

/// As malloc(3) aligns: C structures are laid into buffers of bytes (cmsg(3)).
const ALIGNED: usize = 16;

/// The row: where the next block goes, and where the mapping ends; up to where it is present, and from where on no
/// block has ever been, so that it is zero.
#[derive(Clone, Copy)]
struct Row {
    next: usize,
    end: usize,
    present: usize,
    fresh: usize,
}

impl Row {
    const EMPTY: Row = Row { next: 0, end: 0, present: 0, fresh: 0 };

    /// Lets the newest block end at `end`.
    fn advance(&mut self, end: usize) {
        if end > self.present {
            self.make_present(end);
        }
        self.next = end;
        self.fresh = self.fresh.max(end);
    }

    #[cold]
    fn make_present(&mut self, end: usize) {
        let (from, size) = (self.present, (self.end - self.present).min(STEP));
        self.present = end.next_multiple_of(4096).max(from + size);
        // Who asks for much at once may not use it all.
        if end <= from + size {
            // SAFETY: the range lies in our mapping. An old kernel may not know the advice; nothing is lost.
            unsafe { libc::madvise(from as *mut libc::c_void, size, libc::MADV_POPULATE_WRITE) };
        }
    }
}

pub struct Bump(UnsafeCell<Row>);

// SAFETY: one thread allocates. The only other one there ever is (sys::thread, which hands over a seccomp listener) does
// not.
unsafe impl Sync for Bump {}

impl Bump {
    pub const fn new() -> Bump {
        Bump(UnsafeCell::new(Row::EMPTY))
    }
}

// SAFETY: every block lies in a private mapping of its own, aligned and at least as large as asked for; blocks overlap
// only after the earlier one was freed or moved. The row is touched by one thread only.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and no reference to the row outlives a call.
        let row = unsafe { &mut *self.0.get() };
        let start = row.next.next_multiple_of(layout.align().max(ALIGNED));
        match start.checked_add(layout.size()) {
            Some(end) if end <= row.end => {
                row.advance(end);
                start as *mut u8
            }
            _ => another_chunk(row, layout),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let Row { end, fresh, .. } = unsafe { *self.0.get() };
        // SAFETY: the caller's layout.
        let block = unsafe { self.alloc(layout) };
        // SAFETY: as in `alloc`. Another chunk is as the kernel gave it.
        let used = match unsafe { &*self.0.get() }.end == end {
            true => fresh.saturating_sub(block as usize).min(layout.size()),
            false => 0,
        };
        if !block.is_null() {
            // SAFETY: at most `layout.size()` bytes of the new block.
            unsafe { block.write_bytes(0, used) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        let row = unsafe { &mut *self.0.get() };
        if block as usize + layout.size() == row.next {
            row.next = block as usize;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let row = unsafe { &mut *self.0.get() };
        let start = block as usize;
        let newest = start + layout.size() == row.next;
        if newest && start.checked_add(size).is_some_and(|end| end <= row.end) {
            row.advance(start + size);
            return block;
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller's layout is valid, and so is one of its alignment with the size it asks for.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks are at least `layout.size()` long, and do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(block, new, layout.size()) };
        }
        new
    }
}

/// A block that does not fit gets a new chunk, or a mapping as large as itself.
#[cold]
fn another_chunk(row: &mut Row, layout: Layout) -> *mut u8 {
    let Some(wanted) = layout.size().checked_add(layout.align().max(ALIGNED)) else { return std::ptr::null_mut() };
    let size = wanted.max(CHUNK).next_multiple_of(4096);
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    let (at, start) = (at as usize, (at as usize).next_multiple_of(layout.align()));
    *row = Row { next: start, end: at + size, present: at, fresh: start };
    row.advance(start + layout.size());
    start as *mut u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn the_newest_block_grows_and_goes_in_place() {
        let row = Bump::new();
        // SAFETY: layouts are passed as they were asked for, and nothing is used after it is freed.
        unsafe {
            let first = row.alloc(layout(10, 1));
            assert_eq!(row.realloc(first, layout(10, 1), 500), first);
            let second = row.alloc(layout(8, 64));
            assert_eq!(second as usize % 64, 0);
            first.write_bytes(7, 500);
            let moved = row.realloc(first, layout(500, 1), 1000);
            assert_ne!(moved, first);
            assert!(std::slice::from_raw_parts(moved, 500).iter().all(|byte| *byte == 7));
            row.dealloc(moved, layout(1000, 1));
            assert_eq!(row.alloc(layout(3, 1)), moved);
        }
    }

    #[test]
    fn zeroed_blocks_are_zero_where_another_was_before() {
        let row = Bump::new();
        // SAFETY: as above.
        unsafe {
            let first = row.alloc(layout(100, 1));
            first.write_bytes(7, 100);
            row.dealloc(first, layout(100, 1));
            for size in [300, 40_000, 3 << 20] {
                let zeroed = row.alloc_zeroed(layout(size, 1));
                assert!(std::slice::from_raw_parts(zeroed, size).iter().all(|byte| *byte == 0));
                zeroed.write_bytes(7, size);
                row.dealloc(zeroed, layout(size, 1));
            }
        }
    }

    #[test]
    fn large_blocks_and_many_chunks() {
        let row = Bump::new();
        // SAFETY: as above.
        unsafe {
            let large = row.alloc(layout(5 << 20, 4096));
            large.add((5 << 20) - 1).write(1);
            for _ in 0..40 {
                let block = row.alloc(layout(100_000, 8));
                block.add(99_999).write(1);
            }
        }
    }
}
