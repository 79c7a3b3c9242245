//! The README's pipelines, each with a demo guest and to its end.

use gst::prelude::*;

const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// The pipelines of its blocks of shell commands.
fn pipelines() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let text = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let blocks = text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or(line));
    let found = lines.filter_map(|line| line.trim().strip_prefix("gst-launch-1.0 "));
    found.map(|line| line.trim_start_matches("-e ").replace('\'', "\"")).collect()
}

#[test]
fn pipelines_run() {
    gst::init().unwrap();
    gstfanlight::plugin_register_static().unwrap();
    let folder = std::env::temp_dir().join(format!("fanlight-readme-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let mut ran = 0;
    for pipeline in pipelines() {
        let here = pipeline
            .replace("qemu:my-vm", "demo:?size=320x240")
            .replace("location=", &format!("location={}/", folder.display()));
        let parsed = gst::parse::launch(&here).unwrap_or_else(|error| panic!("{here}: {error}"));
        // A compositor, another process and a sound of a guest's belong to the tests in the machine.
        let others = ["waylandsink", "unixfd", "fanlightaudiosrc", "pipewiresink"];
        if others.iter().any(|other| here.contains(other)) {
            println!(
                "SKIP the README's \"{pipeline}\" is only understood: it needs what isn't here"
            );
            continue;
        }
        let bin = parsed.downcast_ref::<gst::Bin>().unwrap();
        for source in bin.iterate_sources() {
            source.unwrap().set_property("num-buffers", 10);
        }
        parsed.set_state(gst::State::Playing).unwrap();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = parsed.bus().unwrap().timed_pop_filtered(PATIENCE, &ends).expect("an end");
        parsed.set_state(gst::State::Null).unwrap();
        assert_eq!(message.type_(), gst::MessageType::Eos, "{here}: {message:?}");
        ran += 1;
    }
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        assert!(file.metadata().unwrap().len() > 1000, "{:?} is empty", file.path());
    }
    std::fs::remove_dir_all(folder).unwrap();
    assert!(ran >= 3, "{ran} of the README's pipelines ran");
}
