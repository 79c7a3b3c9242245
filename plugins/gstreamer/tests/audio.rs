//! `fanlightaudiosrc` between a **fake** QEMU (`tests/support/fake_audio.rs`) and a clock that stands still until the test
//! moves it, so that nothing here depends on how fast it runs. What a real QEMU plays is tested in the test machine.

#[path = "../../../tests/support/fake_audio.rs"]
mod fake_audio;
#[path = "../../../tests/support/fake_qemu.rs"]
mod fake_qemu;

#[path = "audio/stage.rs"]
mod stage;

use std::os::unix::net::UnixListener;
use std::time::Instant;

use fake_audio::OUT;
use fake_qemu::VM;
use fake_qemu::listener::FakeListener;
use gst::prelude::*;

use stage::{MS, Machine, STEREO, Sent, Stage, ms, patience};

fn write(out: &mut FakeListener, samples: &[u8]) {
    out.call(OUT, "Write", &(1_u64, samples)).unwrap();
}

/// A tone of 440 Hz in one channel, of 550 in the other.
fn tone(frames: usize) -> Vec<u8> {
    let sample = |at: usize, hertz: f64| {
        let angle = at as f64 / 48_000.0 * hertz * std::f64::consts::TAU;
        ((angle.sin() * 20_000.0) as i16).to_le_bytes()
    };
    (0..frames).flat_map(|at| [sample(at, 440.0), sample(at, 550.0)]).flatten().collect()
}

/// A second of a tone arrives sample by sample, one buffer behind the other, whatever the jitter on the way.
#[test]
fn what_a_guest_plays_arrives_whole_and_without_a_gap() {
    let machine = Machine::with_sound();
    let (stage, mut out) = machine.with_voice();
    let tone = tone(48_000);
    let mut heard = Vec::new();
    for (number, chunk) in (0_u64..).zip(tone.chunks(10 * MS)) {
        // Up to 30 ms late.
        let jitter = number * 7 % 31;
        stage.clock.set_time(ms((number + 1) * 10 + jitter).max(stage.clock.time()));
        write(&mut out, chunk);
        let buffer = stage.buffer();
        assert_eq!((buffer.at, buffer.length), (ms(number * 10), ms(10)));
        assert_eq!(buffer.flags.contains(gst::BufferFlags::DISCONT), number == 0);
        heard.extend(buffer.bytes);
    }
    assert!(heard == tone, "what is heard is what was played");
    let stats = stage.element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("frames"), Ok(48_000), "{stats}");
    assert_eq!(stats.get::<u64>("silent-frames"), Ok(0), "{stats}");
    assert_eq!(stats.get::<u64>("dropped-frames"), Ok(0), "{stats}");
}

/// Before, between and behind what the guest plays the stream goes on: with silence, and not a sample is missing or twice.
#[test]
fn what_a_guest_does_not_play_is_silence() {
    let machine = Machine::with_sound();
    let (stage, mut out) = machine.playing("");
    assert!(stage.caps().contains("rate=(int)48000"));
    for number in 0..3 {
        let buffer = stage.silence();
        assert_eq!((buffer.at, buffer.length), (ms(number * 20), ms(20)));
        assert_eq!(buffer.bytes, vec![0; 20 * MS]);
    }
    stage.waits();
    out.call(OUT, "Init", &STEREO).unwrap();
    // It was played from 75 ms on.
    stage.clock.set_time(ms(85));
    write(&mut out, &vec![1; 10 * MS]);
    let (gap, played) = (stage.buffer(), stage.buffer());
    assert!(gap.is_silence() && !played.is_silence());
    assert_eq!((gap.at, gap.length, gap.bytes.len()), (ms(60), ms(15), 15 * MS));
    assert_eq!((played.at, played.bytes), (ms(75), vec![1; 10 * MS]));
    // It says that it plays, and there is nothing: that is waited for, as long as the latency is.
    let buffer = stage.silence();
    assert_eq!((buffer.at, stage.clock.time()), (ms(85), ms(85 + 60)));
    out.call(OUT, "SetEnabled", &(1_u64, false)).unwrap();
    // Now it rests, so that nothing is waited for any more.
    assert_eq!(stage.silence().at, ms(105));
    assert_eq!((stage.buffer().at, stage.buffer().at), (ms(125), ms(145)));
    // Eight at once, of which the first was heard from 155 ms on: none is heard more than 40 ms later than it should be.
    out.call(OUT, "SetEnabled", &(1_u64, true)).unwrap();
    for _ in 0..8 {
        write(&mut out, &vec![2; 10 * MS]);
    }
    for at in [165, 175, 185, 195] {
        let buffer = stage.buffer();
        assert_eq!((buffer.at, buffer.bytes), (ms(at), vec![2; 10 * MS]));
    }
    stage.waits();
    let stats = stage.element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("dropped-frames"), Ok(4 * 480), "{stats}");
}

/// The guest takes another format, louder or not at all: the caps go before it, and no time is lost.
#[test]
fn another_format_is_negotiated_where_it_begins() {
    let machine = Machine::with_sound();
    let (stage, mut out) = machine.with_voice();
    stage.clock.set_time(ms(10));
    write(&mut out, &vec![1; 10 * MS]);
    assert_eq!(stage.buffer().at, ms(0));
    out.call(OUT, "Init", &(1_u64, 8_u8, false, false, 8000_u32, 1_u8, 1_u32, 8000_u32, false))
        .unwrap();
    stage.clock.set_time(ms(20));
    write(&mut out, &[0x81; 80]);
    let caps = stage.caps();
    assert!(
        caps.contains("U8") && caps.contains("(int)8000") && caps.contains("channels=(int)1"),
        "{caps}"
    );
    let buffer = stage.buffer();
    assert_eq!((buffer.at, buffer.length, buffer.bytes), (ms(10), ms(10), vec![0x81; 80]));
    // Silence is in the middle.
    out.call(OUT, "SetVolume", &(1_u64, true, &[255_u8][..])).unwrap();
    stage.clock.set_time(ms(30));
    write(&mut out, &[0xff; 80]);
    assert_eq!(stage.buffer().bytes, [0x80; 80]);
    out.call(OUT, "Init", &(2_u64, 32_u8, true, true, 44_100_u32, 6_u8, 24_u32, 0_u32, true))
        .unwrap();
    stage.clock.set_time(ms(40));
    out.call(OUT, "Write", &(2_u64, &[0_u8; 24 * 441][..])).unwrap();
    let caps = stage.caps();
    assert!(
        caps.contains("F32BE") && caps.contains("channel-mask=(bitmask)0x000000000000003f"),
        "{caps}"
    );
    assert_eq!((stage.buffer().at, stage.waits()), (ms(30), ()));
}

/// Paused, nothing is sent, and what was played meanwhile isn't heard later.
#[test]
fn while_it_is_paused_nothing_is_sent() {
    let machine = Machine::with_sound();
    let stage = Stage::new(&machine.uri());
    let mut out = machine.listened(|| {
        let live = stage.pipeline.set_state(gst::State::Paused).unwrap();
        assert_eq!(live, gst::StateChangeSuccess::NoPreroll);
    });
    out.call(OUT, "Init", &STEREO).unwrap();
    write(&mut out, &vec![1; 10 * MS]);
    stage.clock.set_time(ms(500));
    stage.set(gst::State::Playing);
    stage.caps();
    stage.waits();
    stage.clock.set_time(ms(510));
    write(&mut out, &vec![2; 10 * MS]);
    let buffer = stage.buffer();
    assert_eq!((buffer.at, buffer.bytes), (ms(0), vec![2; 10 * MS]));
    stage.set(gst::State::Paused);
    write(&mut out, &vec![3; 10 * MS]);
    stage.clock.set_time(ms(9000));
    stage.set(gst::State::Playing);
    stage.waits();
    stage.clock.set_time(ms(9010));
    write(&mut out, &vec![4; 10 * MS]);
    let buffer = stage.buffer();
    assert_eq!((buffer.at, buffer.bytes), (ms(10), vec![4; 10 * MS]));
}

/// Whoever stops the pipeline doesn't wait: not for a clock that stands still, and not for a bus that says nothing.
#[test]
fn a_stop_lets_go_at_once() {
    let machine = Machine::with_sound();
    let (stage, out) = machine.with_voice();
    for state in [gst::State::Paused, gst::State::Playing, gst::State::Null] {
        stage.set(state);
    }
    out.wait_closed();
    // And once more.
    let mut out = machine.listened(|| stage.set(gst::State::Playing));
    assert!(out.answers());
    drop(stage);
    out.wait_closed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("silent");
    let _silent = UnixListener::bind(&path).unwrap();
    let stage = Stage::new(&format!("qemu+unix:{}", path.display()));
    stage.set(gst::State::Playing);
    let begun = Instant::now();
    stage.set(gst::State::Null);
    let limit = fanlight::source::Options::default().time_limit;
    assert!(begun.elapsed() < limit / 2, "what may take {limit:?} is waited for");
}

#[test]
fn an_eos_ends_it() {
    let machine = Machine::with_sound();
    let (stage, _out) = machine.with_voice();
    assert!(stage.element.send_event(gst::event::Eos::new()));
    assert!(matches!(stage.next(), Sent::Eos));
}

/// How long samples may take is what the pipeline is told, also when it gets longer.
#[test]
fn the_latency_is_true() {
    let machine = Machine::with_sound();
    let (stage, mut out) = machine.with_voice();
    let latency = || {
        let mut query = gst::query::Latency::new();
        assert!(stage.element.query(&mut query));
        query.result()
    };
    assert_eq!(latency(), (true, ms(60), Some(ms(1060))));
    let bus = stage.pipeline.bus().unwrap();
    stage.clock.set_time(ms(50));
    write(&mut out, &vec![1; 50 * MS]);
    assert_eq!(stage.buffer().length, ms(50));
    assert_eq!(latency(), (true, ms(90), Some(ms(1090))));
    assert!(bus.timed_pop_filtered(patience(), &[gst::MessageType::Latency]).is_some());
}

/// The machine ends: that ends the stream, fails, or is waited for, as it is wanted.
#[test]
fn a_machine_that_ends_ends_what_it_should() {
    let machine = Machine::with_sound();
    let (stage, out) = machine.with_voice();
    out.kill();
    assert!(matches!(stage.next(), Sent::Eos));
    drop(stage);

    let machine = Machine::with_sound();
    let (stage, out) = machine.playing("on-disconnect=error");
    stage.caps();
    out.kill();
    let error = stage.error();
    assert!(error.contains("the virtual machine is gone (QEMU closed"), "{error}");
    drop(stage);

    let machine = Machine::with_sound();
    let (stage, out) = machine.playing("on-disconnect=reconnect");
    stage.caps();
    let mut out = machine.listened(|| out.kill());
    out.call(OUT, "Init", &STEREO).unwrap();
    stage.waits();
    stage.clock.set_time(ms(10));
    write(&mut out, &vec![1; 10 * MS]);
    assert_eq!(stage.buffer().bytes, vec![1; 10 * MS]);
    let stats = stage.element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("connections-lost"), Ok(1), "{stats}");
}

/// Each says what is wrong, and what helps.
#[test]
fn what_is_wrong_is_said() {
    let fails = |stage: Stage| {
        // What is wrong with its URI it says at once.
        let _ = stage.pipeline.set_state(gst::State::Playing);
        stage.error()
    };
    let error = fails(Stage::new("qemu+unix:/nowhere/at/all"));
    assert!(error.contains("/nowhere/at/all") && error.contains("dbus-daemon"), "{error}");
    let machine = Machine::with_sound();
    let error = fails(Stage::new(&format!("{}?name=other", machine.uri())));
    assert!(error.contains("no virtual machine is called \"other\"; here are: "), "{error}");
    let machine = Machine::new(VM);
    let error = fails(Stage::new(&machine.uri()));
    assert!(error.contains("-audiodev dbus"), "{error}");
    let error = fails(Stage::new("demo:"));
    assert!(error.contains("demo: has no sound"), "{error}");
    let error = fails(Stage::new("ftp:"));
    assert!(error.contains("\"ftp:\" is unknown"), "{error}");
    let machine = Machine::with_sound();
    let stage = Stage::with(&machine.uri(), "! audio/x-raw,rate=96000 ! fakesink sync=false");
    let mut out = machine.listened(|| stage.set(gst::State::Playing));
    assert!(stage.caps().contains("rate=(int)96000"), "silence is what downstream takes");
    out.call(OUT, "Init", &STEREO).unwrap();
    stage.waits();
    write(&mut out, &vec![1; 10 * MS]);
    let error = stage.error();
    assert!(error.contains("rate=(int)48000") && error.contains("audioresample"), "{error}");
}
