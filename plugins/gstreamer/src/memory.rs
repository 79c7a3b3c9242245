//! Memory that is lent to the pipeline again and again.
//!
//! Elements keep what they have imported with the `GstMemory` that they have imported it from, so a frame has
//! to come in the same one each time. Whoever has the last reference gives it back: the memory's `dispose`
//! takes it home instead of freeing it, as GStreamer's own allocators of hardware memory do. So it is known
//! exactly when nobody downstream reads a frame any more, also where its buffer was copied or taken apart.

use std::fmt;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use fanlight::frame::CommitId;
use fanlight::sys;
use gst::glib::translate::{IntoGlib, from_glib_full};
use gst::glib::{self, ffi::gpointer};
use gst_allocators::prelude::*;
use gst_allocators::{DmaBufAllocator, FdAllocator, FdMemoryFlags};

use crate::inbox::{Inbox, News};
use crate::lock::lock;

/// Under this name each memory knows to whom it belongs.
static OWNER: LazyLock<glib::Quark> = LazyLock::new(|| glib::Quark::from_str("fanlight-owner"));

/// One memory. Ends when this is dropped and nobody downstream has it any more.
pub(crate) struct Lendable(Arc<Shared>);

struct Shared {
    place: Mutex<Place>,
    inbox: Arc<Inbox>,
}

enum Place {
    /// Nobody else has it: this is the only reference.
    Home(gst::Memory),
    /// Downstream has it.
    Lent(CommitId),
    /// When it comes back it is freed.
    Ending(CommitId),
    Gone,
}

impl fmt::Debug for Lendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lendable").field("home", &self.is_home()).finish()
    }
}

impl Lendable {
    /// A dma-buf (or what is taken for one) of `size` bytes. Takes the fd, and maps it once at most.
    pub(crate) fn dmabuf(fd: OwnedFd, size: usize, inbox: &Arc<Inbox>) -> Option<Self> {
        let allocator = DmaBufAllocator::new();
        let flags = FdMemoryFlags::KEEP_MAPPED;
        // SAFETY: the fd is open, ours, and given away here: the memory closes it when it is freed.
        #[allow(unsafe_code)]
        let memory = unsafe { allocator.alloc_dmabuf_with_flags(fd.into_raw_fd(), size, flags) };
        memory.ok().map(|memory| Self::new(memory, inbox))
    }

    /// So many bytes of our own, all zero: in a memfd, which sinks can pass on to another process as it is.
    ///
    /// # Errors
    /// If the system has no more memory or no more fds.
    pub(crate) fn bytes(size: usize, inbox: &Arc<Inbox>) -> io::Result<Self> {
        let memfd = sys::own_memfd("fanlight-copy", size as u64)?;
        let flags = FdMemoryFlags::KEEP_MAPPED;
        // SAFETY: the fd is open, ours, and given away here: the memory closes it when it is freed.
        #[allow(unsafe_code)]
        let memory = unsafe { FdAllocator::new().alloc_fd(memfd.into_raw_fd(), size, flags) };
        let memory = memory.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self::new(memory, inbox))
    }

    /// `memory` must be the only reference to it.
    fn new(memory: gst::Memory, inbox: &Arc<Inbox>) -> Self {
        let place = Mutex::new(Place::Gone);
        let shared = Arc::new(Shared { place, inbox: Arc::clone(inbox) });
        let owner = Box::into_raw(Box::new(Arc::clone(&shared)));
        let object = memory.as_mut_ptr().cast::<gst::ffi::GstMiniObject>();
        // SAFETY: the memory is valid and nobody else has it yet, so that its fields may be written. `free_owner` gets
        // what `owner` was made of, once, when the memory is freed.
        #[allow(unsafe_code)]
        unsafe {
            (*object).dispose = Some(come_home);
            (*object).flags |= gst::MemoryFlags::READONLY.bits();
            gst::ffi::gst_mini_object_set_qdata(
                object,
                OWNER.into_glib(),
                owner.cast(),
                Some(free_owner),
            );
        }
        *shared.lock() = Place::Home(memory);
        Self(shared)
    }

    /// Whether it could be lent.
    pub(crate) fn is_home(&self) -> bool {
        matches!(*self.0.lock(), Place::Home(_))
    }

    /// Gives it to a frame. [`News::Returned`] says when it is back; `None` while it is out.
    pub(crate) fn lend(&self, commit: CommitId) -> Option<gst::Memory> {
        let mut place = self.0.lock();
        match std::mem::replace(&mut *place, Place::Lent(commit)) {
            Place::Home(memory) => Some(memory),
            other => {
                *place = other;
                None
            }
        }
    }

    /// Writes into it; does nothing, and says so by `None`, while it is out or where it can't be mapped.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
        let mut place = self.0.lock();
        let Place::Home(memory) = &mut *place else { return None };
        set_read_only(memory.get_mut()?, false);
        let written = {
            let mut map = memory.get_mut()?.map_writable().ok()?;
            write(&mut map)
        };
        set_read_only(memory.get_mut()?, true);
        Some(written)
    }
}

/// Read-only memory is copied by whoever wants to draw on a frame, and a frame may be the guest's own memory, or the
/// base of the next frame's copy.
fn set_read_only(memory: &mut gst::MemoryRef, read_only: bool) {
    let object = memory.as_mut_ptr().cast::<gst::ffi::GstMiniObject>();
    let flag = gst::MemoryFlags::READONLY.bits();
    // SAFETY: the exclusive reference says that nobody else has this memory.
    #[allow(unsafe_code)]
    unsafe {
        if read_only {
            (*object).flags |= flag;
        } else {
            (*object).flags &= !flag;
        }
    }
}

impl Drop for Lendable {
    fn drop(&mut self) {
        let mut place = self.0.lock();
        let was = std::mem::replace(&mut *place, Place::Gone);
        if let Place::Lent(commit) = was {
            *place = Place::Ending(commit);
        }
        // Freeing calls `come_home`, which takes the lock.
        drop(place);
        drop(was);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Place> {
        lock(&self.place)
    }
}

/// Called when the last reference is gone, on any thread. Says whether the memory is to be freed.
#[allow(unsafe_code)]
unsafe extern "C" fn come_home(object: *mut gst::ffi::GstMiniObject) -> glib::ffi::gboolean {
    // SAFETY: GStreamer calls this with the memory that it was set on, whose data `Lendable::new` has set before
    // anybody else had it, and which is freed only after this.
    let shared = unsafe {
        let owner = gst::ffi::gst_mini_object_get_qdata(object, OWNER.into_glib());
        Arc::clone(&*owner.cast::<Arc<Shared>>())
    };
    let mut place = shared.lock();
    let (commit, freed) = match *place {
        Place::Lent(commit) => {
            // SAFETY: this is the only reference from now on: the one that is going away was the last, and what
            // `dispose` takes one of is not freed.
            let memory = unsafe {
                gst::ffi::gst_mini_object_ref(object);
                from_glib_full(object.cast::<gst::ffi::GstMemory>())
            };
            *place = Place::Home(memory);
            (commit, false)
        }
        Place::Ending(commit) => (commit, true),
        Place::Home(_) | Place::Gone => return glib::ffi::GTRUE,
    };
    drop(place);
    shared.inbox.tell(News::Returned(commit));
    freed.into_glib()
}

/// Called once, when the memory is freed.
#[allow(unsafe_code)]
unsafe extern "C" fn free_owner(owner: gpointer) {
    // SAFETY: it is the box that `Lendable::new` gave away.
    drop(unsafe { Box::from_raw(owner.cast::<Arc<Shared>>()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> Arc<Inbox> {
        gst::init().unwrap();
        Arc::new(Inbox::new().unwrap())
    }

    fn returned(inbox: &Inbox) -> Vec<u64> {
        std::iter::from_fn(|| inbox.take())
            .map(|news| match news {
                News::Returned(CommitId(commit)) => commit,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn buffer_of(memory: gst::Memory) -> gst::Buffer {
        let mut buffer = gst::Buffer::new();
        buffer.get_mut().unwrap().append_memory(memory);
        buffer
    }

    #[test]
    fn it_comes_back_as_the_same_when_the_last_one_lets_go() {
        let inbox = inbox();
        let lendable = Lendable::bytes(16, &inbox).unwrap();
        let first = lendable.lend(CommitId(1)).unwrap();
        let identity = first.as_ptr();
        assert!(lendable.lend(CommitId(2)).is_none());
        let buffer = buffer_of(first);
        // A copy of the buffer shares it, and so does whoever takes it out.
        let copy = buffer.copy();
        let taken = copy.memory(0).unwrap();
        drop(buffer);
        drop(copy);
        assert!(returned(&inbox).is_empty());
        drop(taken);
        assert_eq!(returned(&inbox), [1]);
        let second = lendable.lend(CommitId(2)).unwrap();
        assert_eq!(second.as_ptr(), identity);
        drop(second);
        assert_eq!(returned(&inbox), [2]);
    }

    #[test]
    fn nobody_downstream_can_write_and_we_can() {
        let inbox = inbox();
        let lendable = Lendable::bytes(16, &inbox).unwrap();
        lendable.write(|bytes| bytes.fill(7)).unwrap();
        let mut buffer = buffer_of(lendable.lend(CommitId(1)).unwrap());
        assert!(lendable.write(|_| ()).is_none());
        // Who may write the buffer gets a copy of what it holds.
        buffer.get_mut().unwrap().map_writable().unwrap().fill(9);
        assert_eq!(returned(&inbox), [1]);
        assert_eq!(lendable.write(|bytes| bytes.to_vec()).unwrap(), [7; 16]);
    }

    #[test]
    fn it_is_freed_once_when_both_ends_are_done() {
        let inbox = inbox();
        let freed = Arc::new(());
        struct Held(#[expect(dead_code)] Arc<()>, Vec<u8>);
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.1
            }
        }
        let make = || {
            let held = Held(Arc::clone(&freed), vec![0; 8]);
            Lendable::new(gst::Memory::from_slice(held), &inbox)
        };
        drop(make());
        assert_eq!(Arc::strong_count(&freed), 1);
        let lendable = make();
        let lent = lendable.lend(CommitId(3)).unwrap();
        drop(lendable);
        assert_eq!(Arc::strong_count(&freed), 2);
        drop(lent);
        assert_eq!((Arc::strong_count(&freed), returned(&inbox)), (1, vec![3]));
    }
}
