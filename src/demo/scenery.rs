//! What the demo shows: a fanlight, the window over a door, and the light behind it.

use crate::frame::Size;

/// Panes of the fan.
const PANES: f32 = 7.0;

/// Height of the sill, in radii of the fan.
const SILL: f32 = 0.05;

/// A colour as red, green, blue of 0 to 1.
type Colour = [f32; 3];

const WALL_TOP: Colour = [0.055, 0.070, 0.130];
const WALL_LOW: Colour = [0.120, 0.115, 0.200];
const FRAME: Colour = [0.050, 0.055, 0.090];
const GLOW: Colour = [1.000, 0.560, 0.300];
/// The glass, from the hub to the rim.
const GLASS: [(f32, Colour); 5] = [
    (0.00, [1.000, 0.940, 0.760]),
    (0.30, [1.000, 0.800, 0.460]),
    (0.60, [0.960, 0.560, 0.350]),
    (0.85, [0.700, 0.350, 0.450]),
    (1.00, [0.430, 0.250, 0.470]),
];

/// Where things are, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenery {
    size: Size,
    /// The middle of the fan's lower edge.
    centre: (f32, f32),
    /// From there to its rim.
    radius: f32,
}

impl Scenery {
    pub(super) fn new(size: Size) -> Self {
        let (width, height) = (size.width as f32, size.height as f32);
        let centre = ((width / 2.0).floor(), (height * 0.68).floor());
        Self { size, centre, radius: (width * 0.42).min(height * 0.56) }
    }

    /// The row in the middle of the sill.
    pub(super) fn sill(&self) -> u32 {
        (self.centre.1 + self.radius * SILL / 2.0) as u32
    }

    /// The first row below the sill: there is room for text.
    pub(super) fn door(&self) -> u32 {
        (self.centre.1 + self.radius * 0.08) as u32
    }

    /// Radius of the sun, and where it is: `way` goes from 0 at its rise to 1 at its set.
    pub(super) fn sun(&self, way: f32) -> (f32, (f32, f32)) {
        let (sin, cos) = (std::f32::consts::PI * (0.04 + 0.92 * way)).sin_cos();
        let orbit = self.radius * 0.63;
        (self.radius * 0.075, (self.centre.0 - orbit * cos, self.centre.1 - orbit * sin))
    }

    /// The picture without what moves: 0xRRGGBB for each pixel, row by row.
    pub(super) fn paint(&self) -> Vec<u32> {
        let Size { width, height } = self.size;
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x as f32, y as f32)));
        places.map(|(x, y)| rgb(self.colour(x + 0.5, y + 0.5))).collect()
    }

    fn colour(&self, x: f32, y: f32) -> Colour {
        let (dx, dy) = (x - self.centre.0, self.centre.1 - y);
        let distance = dx.hypot(dy);
        let from_centre = distance / self.radius;
        let wall = mix(WALL_TOP, WALL_LOW, y / self.size.height as f32);
        // What comes through lights the wall around it, and less the door below.
        let fall = (-2.6 * (from_centre - 1.0).max(0.0)).exp() * if dy < 0.0 { 0.16 } else { 0.34 };
        let wall =
            mix(wall, GLOW, fall * if dy < 0.0 { (1.0 + dy / self.radius).max(0.0) } else { 1.0 });
        let sill = self.radius * SILL;
        if dy < 0.0 {
            return if -dy < sill { mix(FRAME, GLOW, 0.10 * (1.0 + dy / sill)) } else { wall };
        }
        let bar = (self.radius * 0.011).max(0.8);
        let rim = self.radius * 0.028;
        // Distances to the nearest part of the frame: rim, inner arcs, bars.
        let to_rim = (distance - self.radius).abs() - rim;
        let hub = self.radius * 0.24;
        let to_arcs = (distance - hub).abs().min((distance - self.radius * 0.86).abs()) - bar;
        let step = std::f32::consts::PI / PANES;
        let turn = dy.atan2(dx) / step;
        let to_bars = if distance > hub && distance < self.radius {
            ((turn - turn.round()) * step).sin().abs() * distance - bar
        } else {
            f32::MAX
        };
        let covered = (0.5 - to_rim.min(to_arcs).min(to_bars)).clamp(0.0, 1.0);
        let within = (0.5 + self.radius - distance).clamp(0.0, 1.0);
        // Every other pane is a little darker, as old glass is.
        let shade = if (turn.floor() as i32) % 2 == 0 && distance > hub { 0.93 } else { 1.0 };
        let glass = glass(from_centre).map(|part| part * shade);
        mix(mix(wall, glass, within), FRAME, covered)
    }
}

fn glass(at: f32) -> Colour {
    let pairs = GLASS.iter().zip(&GLASS[1..]);
    let found = pairs.into_iter().find(|(_, (end, _))| at <= *end);
    found.map_or(GLASS[GLASS.len() - 1].1, |((start, from), (end, to))| {
        mix(*from, *to, (at - start) / (end - start))
    })
}

/// From one colour to another, `way` of 0 to 1.
fn mix(from: Colour, to: Colour, way: f32) -> Colour {
    std::array::from_fn(|i| from[i] + (to[i] - from[i]) * way)
}

fn rgb(colour: Colour) -> u32 {
    let [red, green, blue] = colour.map(|part| (part * 255.0 + 0.5) as u32);
    red << 16 | green << 8 | blue
}

/// A colour of 0xRRGGBB that gets nearer to the sun's, `way` of 0 to 1.
pub(super) fn lighten(colour: u32, way: f32) -> u32 {
    let way = (way * 256.0) as u32;
    let part = |shift: u32, sun: u32| {
        let part = colour >> shift & 0xff;
        (part + sun.saturating_sub(part) * way / 256) << shift
    };
    part(16, 0xff) | part(8, 0xfa) | part(0, 0xeb)
}
