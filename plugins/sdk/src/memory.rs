//! Allocator of a plugin that is built without WASI. An instance lives for one call, and growing its memory costs more than the call. So
//! the allocator first uses the unused part of the initial memory, which the standard library's allocator ignores on this target.

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
    /// End of the data that the linker placed.
    static __heap_base: u8;
}

/// Provides the rest of the initial memory first, and then new pages as needed.
#[derive(Debug)]
struct Memory {
    started: bool,
}

// SAFETY: nothing here allocates.
unsafe impl Source for Memory {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let (base, size) = if std::mem::replace(&mut talc.source.started, true) {
            // The requested size at any alignment, plus the allocator's own metadata.
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
        // SAFETY: this memory is not in use: it lies behind the linker's data, or was just added by `memory_grow`.
        match unsafe { talc.claim(base as *mut u8, size) } {
            Some(_) => Ok(()),
            None => Err(()),
        }
    }
}
