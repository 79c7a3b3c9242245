//! End to end, with everything real: QEMU, its guests, udmabuf, weston on llvmpipe, the program.
//!
//! `cargo rig test` runs this in its machine. Elsewhere each test is skipped, and says why.

#[path = "e2e/clipboard.rs"]
mod clipboard;
#[path = "support/compositor.rs"]
#[allow(dead_code, missing_docs, missing_debug_implementations, unreachable_pub)]
mod compositor;
#[path = "e2e/demo.rs"]
mod demo;
#[path = "e2e/desktop.rs"]
mod desktop;
#[path = "e2e/doctor.rs"]
mod doctor;
#[path = "e2e/dumps.rs"]
mod dumps;
#[path = "e2e/ends.rs"]
mod ends;
#[path = "e2e/faults.rs"]
mod faults;
#[path = "e2e/figures.rs"]
mod figures;
#[path = "e2e/flips.rs"]
mod flips;
#[path = "e2e/fresh.rs"]
mod fresh;
#[path = "e2e/gpu.rs"]
mod gpu;
#[path = "e2e/gst.rs"]
mod gst;
#[path = "e2e/input.rs"]
mod input;
#[path = "e2e/linux.rs"]
mod linux;
#[path = "e2e/login.rs"]
mod login;
#[path = "e2e/moving.rs"]
mod moving;
#[path = "e2e/scene.rs"]
mod scene;
#[path = "e2e/sizes.rs"]
mod sizes;
#[path = "e2e/sound.rs"]
mod sound;
#[path = "e2e/stale.rs"]
mod stale;
#[path = "e2e/stills.rs"]
mod stills;
#[path = "e2e/sync.rs"]
mod sync;
#[path = "e2e/vgem.rs"]
#[allow(unsafe_code, reason = "the ioctls of a driver that only tests use")]
mod vgem;
#[path = "e2e/words.rs"]
mod words;

use std::path::Path;
use std::process::ExitCode;

use fanlight_stage::Result;
use libtest_mimic::{Arguments, Trial};

/// A test, and what it needs beyond the machine.
struct Test {
    name: &'static str,
    needs: Needs,
    run: fn() -> Result<()>,
}

#[derive(PartialEq, Eq)]
enum Needs {
    Machine,
    /// The Linux guest, which starts once for all, meanwhile.
    Linux,
    /// Fences that are not signalled yet.
    Fences,
    /// More time: only with `--long`.
    Time,
}

const fn test(name: &'static str, run: fn() -> Result<()>) -> Test {
    Test { name, needs: Needs::Machine, run }
}

const fn fences(name: &'static str, run: fn() -> Result<()>) -> Test {
    Test { name, needs: Needs::Fences, run }
}

const fn linux(name: &'static str, run: fn() -> Result<()>) -> Test {
    Test { name, needs: Needs::Linux, run }
}

const fn long(name: &'static str, run: fn() -> Result<()>) -> Test {
    Test { name, needs: Needs::Time, run }
}

/// In this order: what needs Linux comes last, because it takes its time to start.
const TESTS: &[Test] = &[
    test(
        "stale_page_is_shown_by_the_old_buffer_and_cured_by_the_fresh_one",
        stale::shown_and_cured,
    ),
    test("sync_timelines_of_the_kernel_do_what_is_relied_on", sync::timelines),
    test("sync_releases_are_points_of_real_timelines", sync::releases),
    fences("sync_acquire_fences_are_waited_for", sync::acquire_fences),
    fences("f05_43_a_frame_whose_writer_is_not_done_holds_nobody_up", sync::unsignalled),
    test("f05_13_pages_refilled_without_a_word_are_announced_exactly_then", fresh::replaced),
    test("f05_14_pages_that_are_gone_are_shown_as_zeros", faults::zeros),
    test("f05_15_a_hole_inside_of_a_huge_page_is_shown", faults::holes),
    test("f05_16_a_dma_buf_of_pages_of_two_moments_is_made_once_more", faults::two_moments),
    test("f05_17_pages_that_go_while_they_are_taken_are_taken_again", faults::storm),
    test("fresh_unchecked_is_stale", fresh::unchecked_is_stale),
    test("fresh_memory_of_ones_own_is_sealed", fresh::owned_is_sealed),
    test("f05_19_huge_pages_are_read_as_the_guest_has_them", fresh::huge_pages),
    test("demo_flip_direct_copies_nothing_and_forces_nothing", demo::flip_direct),
    test("demo_flip_copied_is_whole_and_newest", demo::flip_copy),
    test("demo_in_place_copied_is_whole_and_newest", demo::in_place_copy),
    test("demo_resize_is_whole_and_newest", demo::resize),
    test("demo_format_is_whole_and_newest", demo::format),
    test("demo_cursor_is_whole_and_newest", demo::cursor),
    test("demo_punch_direct_is_whole_and_newest", demo::punch_direct),
    long("demo_punch_copied_is_whole_and_newest", demo::punch_copy),
    test("demo_told_is_whole_and_newest", demo::told),
    test("demo_balloon_is_whole_and_newest", demo::balloon),
    test("demo_truncate_is_whole_and_newest", demo::truncate),
    test("demo_reboot_is_whole_and_newest", demo::reboot),
    test("demo_punch_unchecked_is_stale", demo::unchecked_is_stale),
    test("dump_takes_every_frame_of_a_guest_that_flips", dumps::flip),
    test("dump_takes_every_frame_of_a_guest_that_draws_in_place", dumps::in_place),
    test("dump_takes_every_frame_of_a_guest_that_loses_pages", dumps::punch),
    test("dump_leaves_frames_out_where_a_guest_is_not_to_wait", dumps::left_out),
    test("dump_prints_a_hash_of_every_frame", dumps::hashes),
    test("dump_leaves_nothing_on_a_full_disk", dumps::full_disk),
    test("gpu_draws_udmabufs_as_the_cpu_copies_them", gpu::udmabufs),
    test("gpu_reads_udmabufs_back_as_the_cpu_copies_them", gpu::read_back),
    test("gpu_reads_what_is_dumped_where_the_cpu_cannot", gpu::dump::read),
    test("gpu_draws_into_memory_of_a_nodes", gpu::node),
    test("gpu_copies_are_shown_with_points_of_real_timelines", gpu::shown),
    test("gpu_memory_that_is_refused_is_copied_by_the_cpu", gpu::refused),
    test("gpu_copies_reach_weston", gpu::weston),
    test("gpu_demo_in_place_is_whole_and_newest", demo::in_place_drawn),
    long("gpu_demo_punch_is_whole_and_newest", demo::punch_drawn),
    long("gpu_demo_resize_is_whole_and_newest", demo::resize_drawn),
    test("gst_waylandsink_copies_nothing_and_forces_nothing", gst::waylandsink),
    long("gst_glupload_imports_each_memory_once", gst::glupload::read),
    long("gst_glimagesink_shows_whole_frames", gst::glupload::window),
    test("gst_recording_by_x264_is_whole_and_in_time", gst::x264),
    test("gst_recording_by_vp8_is_whole_and_in_time", gst::vp8),
    test("gst_upside_down_is_shown_upright", gst::orientation::upright),
    test("gst_unixfd_frames_are_read_by_another_process", gst::unixfd::read),
    test("gst_unixfd_frames_are_shown_by_another_process", gst::unixfd::window),
    test("gst_changes_of_mode_leave_nothing", gst::mode_changes),
    test("gst_nothing_is_left_alive", gst::leaks),
    test("gst_refusals_are_said", gst::refusals),
    test("gst_devices_come_and_go_with_a_real_qemu", gst::devices::come_and_go),
    test("still_firmware_text_gl_on", stills::firmware_gl_on),
    long("still_firmware_text_gl_off", stills::firmware_gl_off),
    test("still_boot_sector_gl_on", stills::paint_gl_on),
    long("still_boot_sector_gl_off", stills::paint_gl_off),
    test("still_boot_sector_without_linux_dmabuf", stills::paint_on_pixman),
    test("moving_boot_sector_never_goes_back_in_dumps", moving::dumps),
    test("moving_boot_sector_is_whole_at_each_pause", moving::pauses),
    test("moving_boot_sector_is_followed_through_a_reset", moving::reset),
    test("desktop_files_are_valid", desktop::files),
    test("desktop_is_sharp_at_every_scale", sizes::exact),
    test("clipboard_of_the_desktop_goes_to_the_guest", clipboard::to_the_guest),
    test("clipboard_off_passes_nothing", clipboard::off),
    test("peer_to_peer_through_qmp", words::peer_to_peer),
    test("list_names_every_console", words::list),
    test("no_qemu_on_the_bus_is_said", words::no_qemu),
    test("several_machines_have_to_be_chosen_from", words::several),
    test("no_wayland_display_is_said", words::no_wayland),
    test("doctor_finds_everything_in_order", doctor::everything),
    test("a_timeout_leaves_whole_files_only", words::timeout),
    test("qemu_killed_is_said_by_viewer_and_dump", ends::qemu_killed),
    test("viewer_reconnects_when_a_real_qemu_comes_back", ends::qemu_back),
    test("compositor_killed_leaves_the_guest_running", ends::compositor_killed),
    test("viewer_gone_leaves_the_guest_running", ends::viewer_killed),
    linux("still_linux_console_and_frame_gl_on_blob", linux::still_and_text),
    linux("login_by_script_gl_on_blob", login::by_script),
    linux("flips_are_whole_and_never_go_back_in_dumps", flips::dumps),
    linux("flips_are_whole_and_never_go_back_in_screenshots", flips::screenshots),
    linux("flips_direct_copy_nothing_and_force_nothing", flips::direct),
    linux("gst_linux_flips_are_shown_from_their_own_memory", gst::linux::flips),
    linux("gst_linux_screen_becomes_a_picture", gst::linux::snapshot),
    linux("a_change_of_mode_is_followed", linux::mode),
    linux("a_change_of_mode_is_followed_while_viewing", linux::mode_while_viewing),
    linux("desktop_resized_window_changes_the_guests_mode", sizes::follows),
    linux("desktop_two_heads_have_a_window_each", sizes::heads),
    linux("input_keys_are_the_same_on_a_virtio_keyboard", input::keyboard::virtio),
    linux("input_keys_stand_for_others_and_are_lifted", input::keyboard::stand_ins_and_focus),
    linux(
        "input_pointer_buttons_and_wheel_are_what_they_are",
        input::pointer::places_buttons_wheel,
    ),
    linux("input_pointer_is_right_at_a_fractional_scale", input::pointer::fractional_scale),
    linux("input_shortcuts_are_the_guests_while_grabbed", input::grab::shortcuts),
    linux("input_mouse_is_locked_and_let_go", input::grab::relative),
    linux("input_cursor_is_the_guests_above_its_picture", input::cursor::is_the_pointer),
    linux("input_cursor_is_drawn_where_the_guest_has_it", input::cursor::is_drawn),
    linux("input_view_only_passes_nothing", input::keyboard::view_only),
    long("gst_linux_pointer_in_a_window_is_the_guests", input::pipeline::window),
    long("input_keys_are_the_same_on_a_ps2_keyboard", input::keyboard::ps2),
    long("sound_of_the_guests_speaker_is_heard", sound::beep),
    test("sound_of_the_guests_speaker_is_recorded_by_gstreamer", sound::record),
    test("sound_of_the_users_is_recorded_with_microphone", sound::microphone),
    test("clipboard_of_the_guest_goes_to_the_desktop", clipboard::to_the_host),
    test("clipboard_goes_both_ways_through_a_real_qemu", clipboard::real::both_ways),
    long("still_linux_and_login_gl_on_without_blob", linux::long_gl_on),
    long("still_linux_gl_off_blob", linux::long_gl_off_blob),
    long("still_linux_and_login_gl_off_without_blob", linux::long_gl_off),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One guest at a time: all is emulated on two processors.
    arguments.test_threads = Some(1);
    let lacks = what_lacks();
    let no_fences = vgem::lacks();
    let long = std::env::var_os("FANLIGHT_LONG").is_some();
    let chosen = |test: &Test| {
        arguments.filter.as_ref().is_none_or(|f| match arguments.exact {
            true => f == test.name,
            false => test.name.contains(f.as_str()),
        })
    };
    let skip = |test: &Test| match &lacks {
        Some(lack) => Some(lack.clone()),
        None if test.needs == Needs::Fences && no_fences.is_some() => no_fences.clone(),
        None if test.needs == Needs::Time && !long => Some("takes minutes: --long".to_owned()),
        None => None,
    };
    if !arguments.list {
        for test in TESTS.iter().filter(|test| chosen(test)) {
            if let Some(reason) = skip(test) {
                println!("SKIP {}: {reason}", test.name);
            }
        }
    }
    if lacks.is_none()
        && !arguments.list
        && TESTS.iter().any(|t| chosen(t) && t.needs == Needs::Linux)
    {
        linux::start_meanwhile();
    }
    let trials = TESTS.iter().map(|test| {
        // Said at once: what libtest says at its end is never said where that doesn't come.
        let run = move || {
            (test.run)().map_err(|error| {
                let error = error.to_string();
                println!("WHY {}: {}", test.name, error.replace('\n', " | "));
                error.into()
            })
        };
        Trial::test(test.name, run).with_ignored_flag(skip(test).is_some())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    linux::end();
    conclusion.exit_code()
}

/// What is missing here, if anything.
fn what_lacks() -> Option<String> {
    let missing = ["/dev/udmabuf", "/dev/dri/renderD128"].iter().find(|p| !Path::new(p).exists());
    let lack = missing.map(|path| format!("there is no {path}"));
    let guests = || fanlight_stage::guests::Guests::find().err().map(|error| error.to_string());
    lack.or_else(guests).map(|lack| format!("{lack}; `cargo rig test` runs it in its machine"))
}
