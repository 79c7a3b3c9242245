//! What the guest plays, on its way to the sound server.

use std::ffi::CString;
use std::time::Duration;

use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    Command, CreatePlaybackStreamReply, DEFAULT_SINK, PlaybackStreamParams, SetStreamVolumeParams,
};

use super::server::{Connection, Done, Message, SoundError};
use super::{Format, Shared, server};

/// How much sound the server is asked to hold; it may hold more where its device needs that.
const LATENCY: Duration = Duration::from_millis(40);
/// Most samples that are sent at once.
const BLOCK_MAX: usize = 16 * 1024;

/// Plays until there is nothing to be heard any more.
pub(super) fn serve(mut server: Connection, shared: &Shared) -> Result<(), SoundError> {
    let frame = shared.format.frame();
    let create = Command::CreatePlaybackStream(params(&shared.format));
    let stream: CreatePlaybackStreamReply = server.ask(&create)?;
    // Bytes that the server takes now.
    let mut room = stream.requested_bytes as usize;
    // Also for a server that was started anew meanwhile.
    shared.lock().volume_changed = true;
    loop {
        // What came with the last reply, too.
        while let Some(message) = server.receive()? {
            let Message::Command(_, command, _) = message else { continue };
            match *command {
                Command::Request(request) if request.channel == stream.channel => {
                    room = room.saturating_add(request.length as usize);
                }
                Command::PlaybackStreamKilled(_) => return Err(SoundError::Ended),
                _ => {}
            }
        }
        let mut state = shared.lock();
        if state.ended || state.is_muted() {
            return Ok(());
        }
        let volume = state.take_volume();
        let whole = room.min(BLOCK_MAX).min(state.waiting.len()) / frame * frame;
        let count = if server.is_busy() { 0 } else { whole };
        let block: Vec<u8> = state.waiting.drain(..count).collect();
        let done = !state.running && state.waiting.is_empty();
        drop(state);
        if let Some(volume) = volume {
            let volume = server::volume(&volume, &shared.format);
            let params = SetStreamVolumeParams { index: stream.stream_index, volume };
            server.say(&Command::SetSinkInputVolume(params))?;
        }
        if !block.is_empty() {
            room -= block.len();
            server.send_block(stream.channel, &block);
        }
        if done {
            // What the server has is still to be heard.
            return server.ask(&Command::DrainPlaybackStream(stream.channel)).map(|Done| ());
        }
        server.flush()?;
        if room < frame || shared.lock().waiting.is_empty() || server.is_busy() {
            server.wait(shared);
        }
    }
}

fn params(format: &Format) -> PlaybackStreamParams {
    let latency = server::length(LATENCY, format);
    PlaybackStreamParams {
        sample_spec: server::sample_spec(format),
        channel_map: server::channel_map(format),
        sink_name: Some(CString::from(DEFAULT_SINK)),
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
