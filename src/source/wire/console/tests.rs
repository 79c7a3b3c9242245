use super::*;
use crate::sys::classify;
use std::os::unix::net::UnixStream;

/// Without: a frame is read while the guest's GPU still draws it; or nobody wakes when it is done. A pipe
/// stands in for the sync_file, which only a GPU's driver makes: both are readable when it is time.
#[test]
fn what_follows_a_fence_waits_for_it_and_is_woken_by_it() {
    let (socket, _backend) = UnixStream::pair().unwrap();
    let mut console = Console::new(classify, Arc::new(Acks::new(socket).unwrap()));
    let (fence, gpu) = rustix::pipe::pipe().unwrap();
    console.push(SourceEvent::Swap(None)).unwrap();
    console.queue.push_back(Queued::Fence(fence));
    console.push(SourceEvent::Disabled).unwrap();
    assert!(console.fence().is_none(), "something comes before it");
    assert!(matches!(console.next_event(), Some(SourceEvent::Swap(None))));
    assert!(console.next_event().is_none() && console.next_event().is_none());
    let fence = console.fence().expect("what to wait for");
    assert!(!is_signalled(&fence));
    rustix::io::write(&gpu, &[0]).unwrap();
    assert!(is_signalled(&fence));
    assert!(matches!(console.next_event(), Some(SourceEvent::Disabled)));
    assert!(console.next_event().is_none() && console.fence().is_none());
}
