//! A connection to the sound server: PulseAudio's own protocol, which PipeWire speaks too.

use std::ffi::CString;
use std::io::{self, Cursor, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    AuthParams, AuthReply, ChannelMap, ChannelPosition, ChannelVolume, Command,
    CreatePlaybackStreamReply, DESCRIPTOR_SIZE, Descriptor, DescriptorFlags, MAX_VERSION,
    PlaybackStreamParams, Prop, Props, ProtocolError, PulseError, SampleFormat, SampleSpec,
    SetClientNameReply, SetStreamVolumeParams, TagStructRead, TagStructReader, Volume,
    encode_descriptor, read_descriptor, write_command_message,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Format, Shared};

/// How much sound the server is asked to hold; it may hold more where its device needs that.
const LATENCY: Duration = Duration::from_millis(40);
/// How long the server may take to answer.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Longest message that a server has a reason to send.
const MESSAGE_MAX: usize = 64 * 1024;
/// Most samples that are sent at once.
const BLOCK_MAX: usize = 16 * 1024;

/// Finds a sound server.
pub(super) type Connect = Box<dyn Fn() -> Result<UnixStream, SoundError> + Send>;

/// Why nothing can be heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum SoundError {
    #[error(
        "no sound server was found: start PulseAudio or PipeWire (pipewire-pulse), or name its socket \
         as PULSE_SERVER=unix:/path"
    )]
    None,
    #[error("the sound server can't be reached ({0}): is it running, and as this user?")]
    Unreachable(io::Error),
    #[error("the sound server does not answer")]
    Silent,
    #[error("the sound server refused ({0:?})")]
    Refused(PulseError),
    #[error("the sound server has ended the stream")]
    Ended,
    #[error("the sound server said what is not its protocol ({0})")]
    Protocol(#[from] ProtocolError),
}

impl From<io::Error> for SoundError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

pub(super) fn from_env() -> Result<UnixStream, SoundError> {
    let path = pulseaudio::socket_path_from_env().ok_or(SoundError::None)?;
    Ok(UnixStream::connect(path)?)
}

/// One stream of one connection.
pub(super) struct Stream {
    socket: UnixStream,
    version: u16,
    serial: u32,
    /// What came and isn't a whole message yet, and what is yet to be sent.
    read: Vec<u8>,
    unsent: Vec<u8>,
    channel: u32,
    index: u32,
    channels: u8,
    /// Bytes that the server takes now.
    room: usize,
}

/// A message of the server's.
struct Message(Vec<u8>);

impl Message {
    fn parse(&self, version: u16) -> Result<(u32, Command, Cursor<&[u8]>), SoundError> {
        let mut body = Cursor::new(&self.0[DESCRIPTOR_SIZE..]);
        let (serial, command) = Command::read_tag_prefixed(&mut body, version)?;
        Ok((serial, command, body))
    }
}

impl Stream {
    /// Blocks until the server has answered, or has not in time.
    pub(super) fn open(socket: UnixStream, format: &Format) -> Result<Self, SoundError> {
        socket.set_nonblocking(true)?;
        let version = MAX_VERSION;
        let mut stream = Self {
            socket,
            version,
            serial: 0,
            read: Vec::new(),
            unsent: Vec::new(),
            channel: 0,
            index: 0,
            channels: format.channels,
            room: 0,
        };
        let until = Instant::now() + TIME_LIMIT;
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        let cookie = cookie.unwrap_or_default();
        let auth = AuthParams { version, supports_shm: false, supports_memfd: false, cookie };
        let reply: AuthReply = stream.ask(&Command::Auth(auth), until)?;
        stream.version = version.min(reply.version);
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"Fanlight");
        props.set(Prop::ApplicationIconName, c"fanlight");
        props.set(Prop::MediaRole, c"game");
        let _: SetClientNameReply = stream.ask(&Command::SetClientName(props), until)?;
        let params = params(format);
        let reply: CreatePlaybackStreamReply =
            stream.ask(&Command::CreatePlaybackStream(params), until)?;
        (stream.channel, stream.index) = (reply.channel, reply.stream_index);
        stream.room = reply.requested_bytes as usize;
        Ok(stream)
    }

    /// Plays until there is nothing to be heard any more.
    pub(super) fn play(mut self, shared: &Shared) -> Result<(), SoundError> {
        let frame = shared.format.frame();
        // Also for a server that was started anew meanwhile.
        shared.lock().volume_changed = true;
        loop {
            let mut state = shared.lock();
            if state.ended || state.is_muted() {
                return Ok(());
            }
            let volume = std::mem::take(&mut state.volume_changed).then(|| state.volume.clone());
            let room = self.room - self.room % frame;
            let block =
                if self.unsent.is_empty() { room.min(BLOCK_MAX / frame * frame) } else { 0 };
            let block: Vec<u8> = {
                let block = block.min(state.waiting.len());
                state.waiting.drain(..block).collect()
            };
            let done = !state.playing && state.waiting.is_empty();
            drop(state);
            if let Some(volume) = volume.filter(|volume| !volume.is_empty()) {
                self.set_volume(&volume)?;
            }
            if !block.is_empty() {
                self.send_block(&block);
            }
            if done {
                return self.drain();
            }
            self.flush()?;
            if self.room < frame || shared.lock().waiting.is_empty() || !self.unsent.is_empty() {
                self.wait(shared)?;
            }
        }
    }

    /// Waits for the server or for news.
    fn wait(&mut self, shared: &Shared) -> Result<(), SoundError> {
        let out = if self.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let mut fds =
            [PollFd::new(&self.socket, PollFlags::IN | out), PollFd::new(shared, PollFlags::IN)];
        // A signal is as good a reason to look as any.
        let _ = poll(&mut fds, None);
        shared.hear();
        while let Some(message) = self.receive()? {
            let (_, command, _) = message.parse(self.version)?;
            match command {
                Command::Request(request) if request.channel == self.channel => {
                    self.room = self.room.saturating_add(request.length as usize);
                }
                Command::PlaybackStreamKilled(_) => return Err(SoundError::Ended),
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets the server play what it has.
    fn drain(&mut self) -> Result<(), SoundError> {
        let drained: Result<Nothing, _> = {
            let until = Instant::now() + TIME_LIMIT;
            self.ask(&Command::DrainPlaybackStream(self.channel), until)
        };
        drained.map(drop)
    }

    fn set_volume(&mut self, volume: &[u8]) -> Result<(), SoundError> {
        let mut all = ChannelVolume::empty();
        for channel in 0..usize::from(self.channels) {
            // What isn't said is as what is said last.
            let of = volume.get(channel).or(volume.last()).copied().unwrap_or(u8::MAX);
            let norm = Volume::NORM.as_u32();
            all.push(Volume::from_u32_clamped(norm * u32::from(of) / u32::from(u8::MAX)));
        }
        let params = SetStreamVolumeParams { index: self.index, volume: all };
        self.say(&Command::SetSinkInputVolume(params)).map(drop)
    }

    fn send_block(&mut self, block: &[u8]) {
        let mut head = [0; DESCRIPTOR_SIZE];
        let length = block.len() as u32; // At most BLOCK_MAX.
        let flags = DescriptorFlags::empty();
        let channel = self.channel;
        encode_descriptor(&mut head, &Descriptor { length, channel, offset: 0, flags });
        self.unsent.extend_from_slice(&head);
        self.unsent.extend_from_slice(block);
        self.room -= block.len();
    }

    /// Says something; which serial number the reply will have.
    fn say(&mut self, command: &Command) -> Result<u32, SoundError> {
        self.serial += 1;
        write_command_message(&mut self.unsent, self.serial, command, self.version)?;
        Ok(self.serial)
    }

    /// Says something and waits for the reply.
    fn ask<R: TagStructRead>(
        &mut self,
        command: &Command,
        until: Instant,
    ) -> Result<R, SoundError> {
        let serial = self.say(command)?;
        loop {
            self.flush()?;
            while let Some(message) = self.receive()? {
                match message.parse(self.version)? {
                    (number, Command::Error(error), _) if number == serial => {
                        return Err(SoundError::Refused(error));
                    }
                    (number, Command::Reply, mut body) if number == serial => {
                        return Ok(TagStructReader::new(&mut body, self.version).read()?);
                    }
                    // Nothing is played meanwhile.
                    _ => {}
                }
            }
            let out = if self.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| SoundError::Silent)?;
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN | out)];
            if poll(&mut fds, Some(&left)) == Ok(0) {
                return Err(SoundError::Silent);
            }
        }
    }

    /// Sends as much as the socket takes.
    fn flush(&mut self) -> Result<(), SoundError> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next message that has come whole.
    fn receive(&mut self) -> Result<Option<Message>, SoundError> {
        loop {
            if self.read.len() >= DESCRIPTOR_SIZE {
                let head = read_descriptor(&mut &self.read[..DESCRIPTOR_SIZE])?;
                let length = head.length as usize;
                if length > MESSAGE_MAX {
                    let sentence = format!("a message of {length} bytes");
                    return Err(ProtocolError::Invalid(sentence).into());
                }
                if self.read.len() >= DESCRIPTOR_SIZE + length {
                    let rest = self.read.split_off(DESCRIPTOR_SIZE + length);
                    let message = std::mem::replace(&mut self.read, rest);
                    // Samples are for who records.
                    if head.channel == u32::MAX {
                        return Ok(Some(Message(message)));
                    }
                    continue;
                }
            }
            let mut block = [0; 4096];
            match self.socket.read(&mut block) {
                Ok(0) => return Err(SoundError::Ended),
                Ok(n) => self.read.extend_from_slice(&block[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A reply that says only that it is done.
struct Nothing;

impl TagStructRead for Nothing {
    fn read(_: &mut TagStructReader<'_>, _: u16) -> Result<Self, ProtocolError> {
        Ok(Self)
    }
}

fn params(format: &Format) -> PlaybackStreamParams {
    let kind = match (format.float, format.bits, format.big_endian) {
        (true, _, false) => SampleFormat::Float32Le,
        (true, _, true) => SampleFormat::Float32Be,
        (false, 8, _) => SampleFormat::U8,
        (false, 16, false) => SampleFormat::S16Le,
        (false, 16, true) => SampleFormat::S16Be,
        (false, _, false) => SampleFormat::S32Le,
        (false, _, true) => SampleFormat::S32Be,
    };
    let all = [
        ChannelPosition::FrontLeft,
        ChannelPosition::FrontRight,
        ChannelPosition::FrontCenter,
        ChannelPosition::Lfe,
        ChannelPosition::RearLeft,
        ChannelPosition::RearRight,
        ChannelPosition::SideLeft,
        ChannelPosition::SideRight,
    ];
    let channel_map = match format.channels {
        1 => ChannelMap::mono(),
        channels => ChannelMap::new(all.into_iter().take(channels.into())),
    };
    let latency = u32::try_from(format.bytes_in(LATENCY).max(format.frame())).unwrap_or(u32::MAX);
    PlaybackStreamParams {
        sample_spec: SampleSpec {
            format: kind,
            channels: format.channels,
            sample_rate: format.rate,
        },
        channel_map,
        sink_name: Some(CString::from(pulseaudio::protocol::DEFAULT_SINK)),
        buffer_attr: BufferAttr {
            max_length: latency.saturating_mul(4),
            target_length: latency,
            // After a pause it waits for half of it, so that it doesn't stutter.
            pre_buffering: latency / 2,
            minimum_request_length: u32::MAX,
            ..BufferAttr::default()
        },
        flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
        ..PlaybackStreamParams::default()
    }
}
