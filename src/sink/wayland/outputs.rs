//! The screens: their names, how large they are, and which one the window is on.

use smithay_client_toolkit::dispatch2::Dispatch2;
use wayland_client::globals::GlobalList;
use wayland_client::protocol::wl_output::{Event, Mode, Transform, WlOutput};
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Proxy, QueueHandle, WEnum};
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_v1::{self, ZxdgOutputV1};

use super::State;
use super::fit::Scale;
use super::globals::Quiet;
use crate::frame::Size;

pub(super) const INTERFACE: &str = "wl_output";
/// 4 brought names; 3 the right to let go of it.
const VERSION: u32 = 4;
/// More than anybody has; others are ignored.
const OUTPUTS_MAX: usize = 64;

/// A screen.
#[derive(Debug)]
struct Output {
    output: WlOutput,
    /// Of the global.
    global: u32,
    /// Of the connector, as "DP-1", where the compositor says it.
    name: Option<String>,
    /// Its panel in millimetres; zeros where that isn't known.
    panel: Size,
    /// Pixels of the panel.
    pixels: Size,
    /// It stands on its side.
    turned: bool,
    /// In whole numbers, rounded up.
    scale: i32,
    /// What tells its logical size; and that size, as it stands.
    logical: Option<(ZxdgOutputV1, Size)>,
}

impl Output {
    /// As many device pixels as a logical one has, as far as it can be known.
    fn exact_scale(&self) -> Scale {
        let pixels = if self.turned { self.pixels.height } else { self.pixels.width };
        let logical = self.logical.as_ref().map_or(0, |(_, size)| size.width);
        match (u64::from(pixels) * 120 + u64::from(logical) / 2).checked_div(logical.into()) {
            Some(scale) if pixels > 0 => Scale::of_120ths(scale.try_into().unwrap_or(u32::MAX)),
            _ => Scale::whole(self.scale),
        }
    }

    fn release(self) {
        if let Some((logical, _)) = self.logical {
            logical.destroy();
        }
        if self.output.version() >= 3 {
            self.output.release();
        }
    }
}

/// What is below zero means nothing.
fn length(said: i32) -> u32 {
    said.try_into().unwrap_or(0)
}

/// How large so many pixels of a panel are, in millimetres, where its size is known.
fn millimetres(size: Size, panel: Size, pixels: Size, turned: bool) -> Option<Size> {
    let upright = |Size { width, height }| match turned {
        true => Size { width: height, height: width },
        false => Size { width, height },
    };
    let (panel, pixels) = (upright(panel), upright(pixels));
    let along = |length: u32, panel: u32, pixels: u32| {
        let mm = (u64::from(length) * u64::from(panel)).checked_div(pixels.into())?;
        u32::try_from(mm).ok().filter(|mm| *mm > 0)
    };
    Some(Size {
        width: along(size.width, panel.width, pixels.width)?,
        height: along(size.height, panel.height, pixels.height)?,
    })
}

/// All screens.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    all: Vec<Output>,
    /// Without it their logical sizes aren't known.
    manager: Option<ZxdgOutputManagerV1>,
    /// Those that the window is on; it came to the last one last.
    on: Vec<(WlSurface, WlOutput)>,
}

impl Outputs {
    pub(super) fn bind(globals: &GlobalList, qh: &QueueHandle<State>) -> Self {
        // 3 left it to wl_output.done to say that all was told.
        let manager = globals.bind(qh, 3..=3, Quiet).ok();
        let mut outputs = Self { manager, ..Self::default() };
        for global in globals.contents().clone_list() {
            if global.interface == INTERFACE {
                outputs.add(globals.registry(), global.name, global.version, qh);
            }
        }
        outputs
    }

    pub(super) fn add(
        &mut self,
        registry: &WlRegistry,
        global: u32,
        version: u32,
        qh: &QueueHandle<State>,
    ) {
        if self.all.len() < OUTPUTS_MAX {
            let output = registry.bind(global, version.min(VERSION), qh, Screen);
            let (panel, pixels) = (Size::default(), Size::default());
            let (name, turned, scale) = (None, false, 1);
            let logical = self.manager.as_ref().map(|manager| {
                (manager.get_xdg_output(&output, qh, Logical(global)), Size::default())
            });
            self.all.push(Output { output, global, name, panel, pixels, turned, scale, logical });
        }
    }

    pub(super) fn remove(&mut self, global: u32) {
        if let Some(at) = self.all.iter().position(|output| output.global == global) {
            let gone = self.all.swap_remove(at);
            self.on.retain(|(_, on)| *on != gone.output);
            gone.release();
        }
    }

    /// A surface of the window's is on that screen now.
    pub(super) fn enter(&mut self, surface: &WlSurface, output: WlOutput) {
        self.leave(surface, &output);
        self.on.push((surface.clone(), output));
    }

    pub(super) fn leave(&mut self, surface: &WlSurface, output: &WlOutput) {
        self.on.retain(|on| (&on.0, &on.1) != (surface, output));
    }

    /// Where the window is, as far as it is known.
    fn here(&self) -> Option<&Output> {
        match (self.on.last(), self.all.as_slice()) {
            (Some((_, on)), all) => all.iter().find(|output| output.output == *on),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// How large so many pixels are where the window is, in millimetres.
    pub(super) fn mm(&self, size: Size) -> Option<Size> {
        let &Output { panel, pixels, turned, .. } = self.here()?;
        millimetres(size, panel, pixels, turned)
    }

    /// The scale of the screen that the window is on, in whole numbers.
    pub(super) fn whole_scale(&self) -> Option<Scale> {
        Some(Scale::whole(self.here()?.scale))
    }

    /// The scale that a window will have, wherever it comes: where all screens have the same.
    pub(super) fn common_scale(&self) -> Option<Scale> {
        let (first, others) = self.all.split_first()?;
        let scale = first.exact_scale();
        others.iter().all(|other| other.exact_scale() == scale).then_some(scale)
    }

    /// The screen of that name; else the names that there are.
    pub(super) fn named(&self, wanted: &str) -> Result<&WlOutput, Vec<String>> {
        let named = |output: &&Output| output.name.as_deref() == Some(wanted);
        let found = self.all.iter().find(named).map(|output| &output.output);
        found.ok_or_else(|| self.all.iter().filter_map(|output| output.name.clone()).collect())
    }
}

/// For a screen.
#[derive(Debug)]
struct Screen;

impl Dispatch2<WlOutput, State> for Screen {
    fn event(
        &self,
        state: &mut State,
        proxy: &WlOutput,
        event: Event,
        _: &Connection,
        qh: &QueueHandle<State>,
    ) {
        let known = &mut state.outputs.all;
        let Some(output) = known.iter_mut().find(|known| known.output == *proxy) else { return };
        match event {
            Event::Geometry { physical_width, physical_height, transform, .. } => {
                let panel = [physical_width, physical_height].map(length);
                output.panel = Size { width: panel[0], height: panel[1] };
                let WEnum::Value(transform) = transform else { return };
                let turned =
                    [Transform::_90, Transform::_270, Transform::Flipped90, Transform::Flipped270];
                output.turned = turned.contains(&transform);
            }
            Event::Mode { flags: WEnum::Value(flags), width, height, .. }
                if flags.contains(Mode::Current) =>
            {
                output.pixels = Size { width: length(width), height: length(height) };
            }
            Event::Scale { factor } => output.scale = factor,
            Event::Name { name } => output.name = Some(name),
            Event::Done => state.moved(qh),
            _ => {}
        }
    }
}

/// For the logical size of the screen of this global.
#[derive(Debug)]
struct Logical(u32);

impl Dispatch2<ZxdgOutputV1, State> for Logical {
    fn event(
        &self,
        state: &mut State,
        _: &ZxdgOutputV1,
        event: zxdg_output_v1::Event,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        let known = state.outputs.all.iter_mut().find(|known| known.global == self.0);
        if let zxdg_output_v1::Event::LogicalSize { width, height } = event
            && let Some((_, size)) = known.and_then(|known| known.logical.as_mut())
        {
            *size = Size { width: length(width), height: length(height) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millimetres_follow_the_panel_and_how_it_stands() {
        let mm = |size: (u32, u32), panel: (u32, u32), turned| {
            let size_of = |(width, height)| Size { width, height };
            millimetres(size_of(size), size_of(panel), size_of((3840, 2160)), turned)
                .map(|mm| (mm.width, mm.height))
        };
        assert_eq!(mm((1920, 1080), (600, 340), false), Some((300, 170)));
        assert_eq!(mm((1080, 1920), (600, 340), true), Some((170, 300)));
        assert_eq!(mm((1920, 1080), (0, 0), false), None, "a projector has none");
        assert_eq!(mm((1, 1), (600, 340), false), None, "nothing is that small");
    }
}
