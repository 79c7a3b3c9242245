//! A connection to the sound server: PulseAudio's own protocol, which PipeWire speaks too.

use std::io::{self, Cursor, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pulseaudio::protocol::{
    AuthParams, AuthReply, ChannelMap, ChannelPosition, ChannelVolume, Command, DESCRIPTOR_SIZE,
    Descriptor, DescriptorFlags, MAX_VERSION, Prop, Props, ProtocolError, PulseError, SampleFormat,
    SampleSpec, SetClientNameReply, TagStructRead, TagStructReader, Volume, encode_descriptor,
    read_descriptor, write_command_message,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Format, Shared};

/// How long the server may take to answer.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of the secret by which a server knows its user.
const COOKIE_LENGTH: usize = 256;
/// Longest message that a server has a reason to send.
const MESSAGE_MAX: usize = 64 * 1024;

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

/// One connection, for one stream.
pub(super) struct Connection {
    socket: UnixStream,
    version: u16,
    serial: u32,
    /// What came and isn't a whole message yet, and what is yet to be sent.
    read: Vec<u8>,
    unsent: Vec<u8>,
}

/// A message of the server's.
pub(super) enum Message {
    /// To what it is the reply, if it is one; and what comes after the command itself.
    Command(u32, Box<Command>, Cursor<Vec<u8>>),
    /// What was recorded, by which stream.
    Samples(u32, Vec<u8>),
}

impl Connection {
    /// Blocks until the server knows us, or has not answered in time.
    pub(super) fn open(socket: UnixStream) -> Result<Self, SoundError> {
        socket.set_nonblocking(true)?;
        let (read, unsent) = (Vec::new(), Vec::new());
        let mut server = Self { socket, version: MAX_VERSION, serial: 0, read, unsent };
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        // PulseAudio hangs up on any other length, also where it needs none.
        let mut cookie = cookie.unwrap_or_default();
        cookie.resize(COOKIE_LENGTH, 0);
        let (version, supports_shm, supports_memfd) = (MAX_VERSION, false, false);
        let auth = AuthParams { version, supports_shm, supports_memfd, cookie };
        let reply: AuthReply = server.ask(&Command::Auth(auth))?;
        server.version = version.min(reply.version);
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"Fanlight");
        props.set(Prop::ApplicationIconName, c"fanlight");
        props.set(Prop::MediaRole, c"game");
        let _: SetClientNameReply = server.ask(&Command::SetClientName(props))?;
        Ok(server)
    }

    /// Whether it has not taken yet what was sent.
    pub(super) fn is_busy(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Waits for the server or for news.
    pub(super) fn wait(&self, shared: &Shared) {
        let out = if self.is_busy() { PollFlags::OUT } else { PollFlags::empty() };
        let mut fds =
            [PollFd::new(&self.socket, PollFlags::IN | out), PollFd::new(shared, PollFlags::IN)];
        // A signal is as good a reason to look as any.
        let _ = poll(&mut fds, None);
        shared.hear();
    }

    /// Sends samples, as many as a server takes at once.
    pub(super) fn send_block(&mut self, channel: u32, block: &[u8]) {
        let mut head = [0; DESCRIPTOR_SIZE];
        let length = u32::try_from(block.len()).expect("blocks are short");
        let flags = DescriptorFlags::empty();
        encode_descriptor(&mut head, &Descriptor { length, channel, offset: 0, flags });
        self.unsent.extend_from_slice(&head);
        self.unsent.extend_from_slice(block);
    }

    /// Says something; which serial number the reply will have.
    pub(super) fn say(&mut self, command: &Command) -> Result<u32, SoundError> {
        self.serial += 1;
        write_command_message(&mut self.unsent, self.serial, command, self.version)?;
        Ok(self.serial)
    }

    /// Says something and waits for the reply, as long as a server may take.
    pub(super) fn ask<R: TagStructRead>(&mut self, command: &Command) -> Result<R, SoundError> {
        let until = Instant::now() + TIME_LIMIT;
        let serial = self.say(command)?;
        loop {
            self.flush()?;
            while let Some(message) = self.receive()? {
                match message {
                    Message::Command(number, command, mut body) if number == serial => {
                        match *command {
                            Command::Error(error) => return Err(SoundError::Refused(error)),
                            Command::Reply => {
                                return Ok(TagStructReader::new(&mut body, self.version).read()?);
                            }
                            _ => {}
                        }
                    }
                    // Nothing is played or recorded meanwhile.
                    _ => {}
                }
            }
            let out = if self.is_busy() { PollFlags::OUT } else { PollFlags::empty() };
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| SoundError::Silent)?;
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN | out)];
            if poll(&mut fds, Some(&left)) == Ok(0) {
                return Err(SoundError::Silent);
            }
        }
    }

    /// Sends as much as the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), SoundError> {
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
    pub(super) fn receive(&mut self) -> Result<Option<Message>, SoundError> {
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
                    let mut message = std::mem::replace(&mut self.read, rest);
                    message.drain(..DESCRIPTOR_SIZE);
                    if head.channel != u32::MAX {
                        return Ok(Some(Message::Samples(head.channel, message)));
                    }
                    let mut body = Cursor::new(message);
                    let (serial, command) = Command::read_tag_prefixed(&mut body, self.version)?;
                    return Ok(Some(Message::Command(serial, Box::new(command), body)));
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
pub(super) struct Done;

impl TagStructRead for Done {
    fn read(_: &mut TagStructReader<'_>, _: u16) -> Result<Self, ProtocolError> {
        Ok(Self)
    }
}

/// So much sound, at least a frame, in bytes.
pub(super) fn length(time: Duration, format: &Format) -> u32 {
    u32::try_from(format.bytes_in(time).max(format.frame())).unwrap_or(u32::MAX)
}

/// What a guest says of a volume.
pub(super) fn volume(volume: &[u8], format: &Format) -> ChannelVolume {
    let mut all = ChannelVolume::empty();
    for channel in 0..usize::from(format.channels) {
        // What isn't said is as what is said last.
        let of = volume.get(channel).or(volume.last()).copied().unwrap_or(u8::MAX);
        let norm = Volume::NORM.as_u32();
        all.push(Volume::from_u32_clamped(norm * u32::from(of) / u32::from(u8::MAX)));
    }
    all
}

pub(super) fn sample_spec(format: &Format) -> SampleSpec {
    let kind = match (format.float, format.bits, format.big_endian) {
        (true, _, false) => SampleFormat::Float32Le,
        (true, _, true) => SampleFormat::Float32Be,
        (false, 8, _) => SampleFormat::U8,
        (false, 16, false) => SampleFormat::S16Le,
        (false, 16, true) => SampleFormat::S16Be,
        (false, _, false) => SampleFormat::S32Le,
        (false, _, true) => SampleFormat::S32Be,
    };
    SampleSpec { format: kind, channels: format.channels, sample_rate: format.rate }
}

pub(super) fn channel_map(format: &Format) -> ChannelMap {
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
    match format.channels {
        1 => ChannelMap::mono(),
        channels => ChannelMap::new(all.into_iter().take(channels.into())),
    }
}
