//! What the guest records, on its way from the sound server.

use std::ffi::CString;
use std::time::Duration;

use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    Command, CreateRecordStreamReply, DEFAULT_SOURCE, RecordStreamParams, SetStreamVolumeParams,
};

use super::server::{Connection, Message, SoundError};
use super::{Format, Shared, server};

/// How much sound the server sends at once.
const FRAGMENT: Duration = Duration::from_millis(10);

/// Records until the guest doesn't any more, or nobody may hear it.
pub(super) fn serve(mut server: Connection, shared: &Shared) -> Result<(), SoundError> {
    let create = Command::CreateRecordStream(params(&shared.format));
    let stream: CreateRecordStreamReply = server.ask(&create)?;
    tracing::info!("the guest hears you");
    // Also for a server that was started anew meanwhile.
    shared.lock().volume_changed = true;
    loop {
        // What came with the last reply, too.
        while let Some(message) = server.receive()? {
            match message {
                Message::Samples(channel, samples) if channel == stream.channel => {
                    let mut state = shared.lock();
                    // It may have been muted while they were on their way.
                    if shared.wants_stream(&state) {
                        state.live = true;
                        state.keep(&shared.format, &samples);
                    }
                }
                Message::Command(_, command, _)
                    if matches!(*command, Command::RecordStreamKilled(_)) =>
                {
                    return Err(SoundError::Ended);
                }
                _ => {}
            }
        }
        let mut state = shared.lock();
        if state.ended || !shared.wants_stream(&state) {
            tracing::info!("the guest hears you no more");
            state.waiting.clear();
            return Ok(());
        }
        let volume = state.take_volume();
        drop(state);
        if let Some(volume) = volume {
            let volume = server::volume(&volume, &shared.format);
            let params = SetStreamVolumeParams { index: stream.stream_index, volume };
            server.say(&Command::SetSourceOutputVolume(params))?;
        }
        server.flush()?;
        server.wait(shared);
    }
}

fn params(format: &Format) -> RecordStreamParams {
    let fragment = server::length(FRAGMENT, format);
    RecordStreamParams {
        sample_spec: server::sample_spec(format),
        channel_map: server::channel_map(format),
        source_name: Some(CString::from(DEFAULT_SOURCE)),
        buffer_attr: BufferAttr {
            max_length: fragment.saturating_mul(8),
            fragment_size: fragment,
            ..BufferAttr::default()
        },
        flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
        ..RecordStreamParams::default()
    }
}
