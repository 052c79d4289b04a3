//! Memory of a plugin that is built without WASI. An instance lives for one call, and growing its memory costs more than the
//! call: so the allocator begins with what is left of the memory that the instance starts with. (The one of the standard library
//! leaves that unused on this target.)

use core::alloc::Layout;
use core::arch::wasm32::{memory_grow, memory_size};

use talc::base::{Talc, binning::Binning};
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

const PAGE: usize = 64 << 10;

#[global_allocator]
static ALLOCATOR: TalcSyncCell<Memory, WasmBinning> =
    TalcSyncCell::new_wasm(Memory { started: false });

unsafe extern "C" {
    /// Where the linker puts nothing more.
    static __heap_base: u8;
}

/// What the instance starts with, and after that as many pages more as are needed.
#[derive(Debug)]
struct Memory {
    started: bool,
}

// SAFETY: nothing here allocates.
unsafe impl Source for Memory {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let (base, size) = if std::mem::replace(&mut talc.source.started, true) {
            // Room for what is asked, however it is aligned, and for the allocator's own notes.
            let wanted = layout.size() + layout.align() + 1024;
            let pages = wanted.div_ceil(PAGE);
            let before = memory_grow::<0>(pages);
            if before == usize::MAX {
                return Err(());
            }
            (before * PAGE, pages * PAGE)
        } else {
            let base = (&raw const __heap_base).addr();
            (base, memory_size::<0>() * PAGE - base)
        };
        // SAFETY: nobody else has this part of the memory: it lies behind what the linker placed, or was just made.
        match unsafe { talc.claim(base as *mut u8, size) } {
            Some(_) => Ok(()),
            None => Err(()),
        }
    }
}
