//! A guest that does what a test says, served by guest-scanout-v1 as any VMM would. Its memory are memfds: where a test
//! wants dma-bufs, it has the plugin take these for some (`classify`), so that no kernel has to help.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;
use std::time::Duration;

use fanlight::frame::{
    BufferId, Format, Layout, Memory as Kindness, Modifier, PLANES_MAX, Plane, Rect, Size,
    Transform,
};
use fanlight::serve::{Answer, ConsoleId, Event, GuestInput, Kind, Memory, Options, Server};
use fanlight::sys::{self, ClassifyError, Identity};
use gst::prelude::*;
use gst_allocators::FdMemory;
use gst_check::Harness;
use gst_video::VideoMeta;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::fstat;

/// An emulated machine takes its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const SIZE: Size = Size { width: 64, height: 32 };

/// Starts GStreamer with the plugin of this crate.
pub(crate) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstfanlight::plugin_register_static().unwrap();
    });
}

/// Says of memfds that they are udmabufs.
pub(crate) fn classify(fd: BorrowedFd<'_>) -> Result<Identity, ClassifyError> {
    classify_as(fd, "udmabuf")
}

/// Says of memfds that they are a GPU's.
pub(crate) fn classify_as_gpus(fd: BorrowedFd<'_>) -> Result<Identity, ClassifyError> {
    classify_as(fd, "drm")
}

fn classify_as(fd: BorrowedFd<'_>, exporter: &str) -> Result<Identity, ClassifyError> {
    let mut identity = sys::classify(fd)?;
    identity.memory = Kindness::DmaBuf { exporter: exporter.to_owned() };
    Ok(identity)
}

/// Which file a buffer's memory is, and by which fd; `None` of memory without one.
pub(crate) fn file(buffer: &gst::BufferRef) -> Option<(u64, i32)> {
    file_of(buffer.peek_memory(0))
}

/// The files of all of its memories.
pub(crate) fn files(buffer: &gst::BufferRef) -> Vec<u64> {
    buffer.iter_memories().map(|memory| file_of(memory).expect("a dma-buf").0).collect()
}

fn file_of(memory: &gst::MemoryRef) -> Option<(u64, i32)> {
    let memory = memory.downcast_memory_ref::<FdMemory>()?;
    // SAFETY: the memory holds the fd open, and the buffer the memory.
    #[allow(unsafe_code)]
    let fd = unsafe { BorrowedFd::borrow_raw(memory.fd()) };
    Some((fstat(fd).unwrap().st_ino, memory.fd()))
}

/// Waits for a message of this kind.
pub(crate) fn next_message(pipeline: &gst::Element, kind: gst::MessageType) -> gst::Message {
    let bus = pipeline.bus().unwrap();
    let patience = gst::ClockTime::try_from(PATIENCE).unwrap();
    bus.timed_pop_filtered(patience, &[kind]).expect("a message")
}

/// The first warning or error, as `kind` is, of this pipeline.
pub(crate) fn said(launch: &str, kind: gst::MessageType) -> String {
    init();
    let pipeline = gst::parse::launch(launch).unwrap();
    // Of what fails there is a message.
    let _ = pipeline.set_state(gst::State::Playing);
    let message = next_message(&pipeline, kind);
    pipeline.set_state(gst::State::Null).unwrap();
    match message.view() {
        gst::MessageView::Warning(warning) => warning.error().to_string(),
        gst::MessageView::Error(error) => error.error().to_string(),
        _ => unreachable!("nothing else is asked for"),
    }
}

pub(crate) struct Guest {
    server: Arc<Mutex<Server>>,
    console: ConsoleId,
    pub(crate) path: PathBuf,
    buffers: Vec<(BufferId, std::fs::File, Layout)>,
    /// What else a buffer of several files lies in.
    others: Vec<(usize, Vec<std::fs::File>)>,
    answers: Receiver<(u32, Answer)>,
    pub(crate) inputs: Receiver<GuestInput>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Guest {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fanlight-gst-{}-{number}.sock", std::process::id());
        Self::at(std::env::temp_dir().join(name))
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        let options = Options { answer_limit: PATIENCE, ..Options::default() };
        let mut server = Server::bind(&path, "guest", "", options).unwrap();
        let console = server.add_console(Kind::Graphic, "screen").unwrap();
        let fd = server.as_fd().try_clone_to_owned().unwrap();
        let server = Arc::new(Mutex::new(server));
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let (tell, answers) = channel();
        let (input, inputs) = channel();
        let (theirs, ended) = (Arc::clone(&server), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            loop {
                {
                    let mut server = theirs.lock().unwrap();
                    server.dispatch().unwrap();
                    while let Some(event) = server.next_event() {
                        // A test that has ended listens no more.
                        match event {
                            Event::Answered { frame, answer, .. } => {
                                let _ = tell.send((frame, answer));
                            }
                            Event::Input(_, what) => {
                                let _ = input.send(what);
                            }
                            _ => {}
                        }
                    }
                }
                let mut fds =
                    [PollFd::new(&fd, PollFlags::IN), PollFd::new(&*ended, PollFlags::IN)];
                poll(&mut fds, None).unwrap();
                if !fds[1].revents().is_empty() {
                    return;
                }
            }
        });
        let (buffers, others) = Default::default();
        Self { server, console, path, buffers, others, answers, inputs, stop, thread: Some(thread) }
    }

    pub(crate) fn uri(&self) -> String {
        format!("scanout:{}", self.path.display())
    }

    /// A buffer of this size whose rows are this much longer than they need to be, in bytes.
    pub(crate) fn add(&mut self, size: Size, gap: u32) -> usize {
        let mut planes = [Plane::default(); PLANES_MAX];
        planes[0].stride = size.width * 4 + gap;
        let (format, modifier) = (Format::XRGB8888, Modifier::LINEAR);
        self.add_laid_out(Layout { size, format, modifier, planes, plane_count: 1 })
    }

    /// A buffer that is to be read so.
    pub(crate) fn add_laid_out(&mut self, layout: Layout) -> usize {
        let bytes = sys::page_align(u64::from(layout.planes[0].stride * layout.size.height));
        let memfd = sys::own_memfd("picture", bytes).unwrap();
        let file = std::fs::File::from(memfd.try_clone().unwrap());
        let memory = Memory::Planes(vec![memfd]);
        let id = self.server.lock().unwrap().add_buffer(self.console, layout, memory).unwrap();
        self.buffers.push((id, file, layout));
        self.buffers.len() - 1
    }

    /// So many of the usual size.
    pub(crate) fn with(mut self, count: usize) -> Self {
        for _ in 0..count {
            self.add(SIZE, 0);
        }
        self
    }

    pub(crate) fn inode(&self, buffer: usize) -> u64 {
        self.buffers[buffer].1.metadata().unwrap().ino()
    }

    /// A buffer that is to be read so, with each plane in the file of this number.
    pub(crate) fn add_planes(&mut self, layout: Layout, files: &[usize]) -> usize {
        let count = files.iter().max().map_or(0, |last| last + 1);
        let made: Vec<_> = (0..count).map(|_| sys::own_memfd("plane", 8192).unwrap()).collect();
        let twin = |file: usize| made[file].try_clone().unwrap();
        let memory = Memory::Planes(files.iter().map(|file| twin(*file)).collect());
        let id = self.server.lock().unwrap().add_buffer(self.console, layout, memory).unwrap();
        self.buffers.push((id, std::fs::File::from(twin(0)), layout));
        self.others
            .push((self.buffers.len() - 1, made.into_iter().skip(1).map(Into::into).collect()));
        self.buffers.len() - 1
    }

    /// All files that a buffer lies in.
    pub(crate) fn inodes(&self, buffer: usize) -> Vec<u64> {
        let others = self.others.iter().filter(|(of, _)| *of == buffer).flat_map(|(_, more)| more);
        let others = others.map(|file: &std::fs::File| file.metadata().unwrap().ino());
        [self.inode(buffer)].into_iter().chain(others).collect()
    }

    /// A buffer of the usual size of which only the driver knows how it is laid out.
    pub(crate) fn add_implicit(&mut self) -> usize {
        let linear = self.add(SIZE, 0);
        let layout = self.layout(linear);
        self.add_laid_out(Layout { modifier: Modifier::INVALID, ..layout })
    }

    pub(crate) fn layout(&self, buffer: usize) -> Layout {
        self.buffers[buffer].2
    }

    /// Draws a grey.
    pub(crate) fn paint(&self, buffer: usize, grey: u8) {
        let (_, file, layout) = &self.buffers[buffer];
        let bytes = layout.planes[0].stride * layout.size.height;
        file.write_all_at(&vec![grey; bytes as usize], 0).unwrap();
    }

    /// Has finished a frame in this buffer, which it shows: a number for the answer.
    pub(crate) fn show(&self, buffer: usize) -> u32 {
        self.show_as(buffer, Transform::Normal)
    }

    pub(crate) fn show_as(&self, buffer: usize, transform: Transform) -> u32 {
        let Size { width, height } = self.layout(buffer).size;
        self.show_part(buffer, Rect { x: 0, y: 0, width, height }, transform)
    }

    pub(crate) fn show_part(&self, buffer: usize, part: Rect, transform: Transform) -> u32 {
        let id = self.buffers[buffer].0;
        let mut server = self.server.lock().unwrap();
        server.flip(self.console, id, (part, transform), &[], None).unwrap()
    }

    /// Has changed this part of the buffer that it shows.
    pub(crate) fn update(&self, buffer: usize, damage: Rect) -> u32 {
        let mut server = self.server.lock().unwrap();
        server.update(self.console, self.buffers[buffer].0, &[damage]).unwrap()
    }

    pub(crate) fn serve<T>(&self, act: impl FnOnce(&mut Server, ConsoleId) -> T) -> T {
        act(&mut self.server.lock().unwrap(), self.console)
    }

    /// Waits until it may go on after this frame.
    pub(crate) fn answered(&self, frame: u32) -> Answer {
        loop {
            let (answered, answer) = self.answers.recv_timeout(PATIENCE).expect("an answer");
            if answered == frame {
                return answer;
            }
        }
    }

    /// Whether this frame was answered already.
    pub(crate) fn is_answered(&self, frame: u32) -> bool {
        self.answers.try_iter().any(|(answered, _)| answered == frame)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        rustix::io::write(&*self.stop, &1_u64.to_ne_bytes()).unwrap();
        if let Some(thread) = self.thread.take() {
            // What it failed with was printed.
            let _ = thread.join();
        }
    }
}

/// `fanlightsrc` of this guest's, with these properties, in a harness that keeps time and takes any strides.
pub(crate) fn harness(guest: &Guest, properties: &str) -> Harness {
    init();
    let mut harness = Harness::new_parse(&format!("fanlightsrc uri={} {properties}", guest.uri()));
    harness.use_systemclock();
    harness.add_propose_allocation_meta(VideoMeta::meta_api(), None);
    harness
}

/// The next frame.
pub(crate) fn pull(harness: &mut Harness) -> gst::Buffer {
    harness.pull().expect("a frame")
}

/// What all of a frame is painted in.
pub(crate) fn grey(buffer: &gst::BufferRef) -> u8 {
    let map = buffer.map_readable().unwrap();
    let first = map[0];
    assert!(map.as_chunks::<4>().0.iter().all(|pixel| pixel[..3] == [first; 3]), "a mixed frame");
    first
}

/// The element in a harness.
pub(crate) fn source(harness: &Harness) -> gst::Element {
    let element = harness.element().unwrap();
    match element.downcast::<gst::Bin>() {
        Ok(bin) => bin.iterate_sources().next().unwrap().unwrap(),
        Err(element) => element,
    }
}

/// One of its counters.
pub(crate) fn count(harness: &Harness, name: &str) -> u64 {
    let stats = source(harness).property::<gst::Structure>("stats");
    stats.get::<u64>(name).unwrap_or_else(|_| panic!("{name} of {stats}"))
}
