//! Drawing: one texture, upright, into a framebuffer. Knows nothing of where either came from.

use std::ffi::{CStr, c_void};

use glow::{
    HasContext, NativeFramebuffer, NativeProgram, NativeRenderbuffer, NativeTexture,
    NativeUniformLocation,
};

use crate::convert::cpu::{View, visible_damage};
use crate::frame::{Damage, Size, Transform};

const TEXTURE_EXTERNAL: u32 = 0x8d65;
const EXTERNAL_SHADERS: &str = "GL_OES_EGL_image_external_essl3";

const COVER: &str = include_str!("../../../shaders/cover.vert");

/// A fragment shader: where a pixel comes from, what that needs, and where it goes.
macro_rules! fragment {
    ($($file:literal),+) => {
        concat!(
            $(include_str!(concat!("../../../shaders/", $file)),)+
            include_str!("../../../shaders/upright.glsl"),
        )
    };
}

const PLAIN: &str = fragment!("plain.frag");
const EXTERNAL: &str = fragment!("external.frag");
const PLANES: &str = fragment!("planes.frag", "bt601.glsl");
const YUYV: &str = fragment!("yuyv.frag", "bt601.glsl");

/// The textures of each program, by texture unit.
const TEXTURES: [&str; 2] = ["memory", "chroma"];

/// How textures are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As red, green and blue.
    Plain,
    /// As the driver turns it into them.
    External,
    /// As luma, and a second one as chroma for each two by two pixels.
    Planes {
        /// Of sixteen bits each, of which the upper ones count.
        deep: bool,
    },
    /// As luma and chroma of two pixels beside each other.
    Yuyv,
}

impl Kind {
    /// What they are bound to.
    pub(super) fn target(self) -> u32 {
        match self {
            Self::External => TEXTURE_EXTERNAL,
            Self::Plain | Self::Planes { .. } | Self::Yuyv => glow::TEXTURE_2D,
        }
    }

    /// How many levels of eight bits the largest sample is.
    fn levels(self) -> f32 {
        if self == (Self::Planes { deep: true }) { 65_535.0 / 256.0 } else { 255.0 }
    }
}

/// What is drawn into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canvas {
    pub(super) framebuffer: NativeFramebuffer,
    /// Whether blue goes where OpenGL has red.
    pub(super) blue_first: bool,
}

/// The shaders, linked.
#[derive(Debug)]
struct Program {
    program: NativeProgram,
    first: Option<NativeUniformLocation>,
    down: Option<NativeUniformLocation>,
    blue_first: Option<NativeUniformLocation>,
    size: Option<NativeUniformLocation>,
    levels: Option<NativeUniformLocation>,
}

/// Functions of OpenGL ES, and our programs. All of its calls need its context to be current.
#[derive(Debug)]
pub(super) struct Painter {
    gl: glow::Context,
    plain: Program,
    external: Option<Program>,
    planes: Program,
    yuyv: Program,
    edge_max: u32,
}

impl Painter {
    /// Compiles the shaders. A context is current, and `find` finds its functions.
    pub(super) fn new(find: impl Fn(&CStr) -> *mut c_void) -> Result<Self, String> {
        // SAFETY: `find` gives functions of OpenGL ES by their names, or null.
        let gl =
            unsafe { glow::Context::from_loader_function_cstr(|name| find(name).cast_const()) };
        let plain = Program::link(&gl, PLAIN)?;
        let has_external = gl.supported_extensions().contains(EXTERNAL_SHADERS);
        let external = if has_external { Some(Program::link(&gl, EXTERNAL)?) } else { None };
        let (planes, yuyv) = (Program::link(&gl, PLANES)?, Program::link(&gl, YUYV)?);
        let longest = |of: u32| {
            // SAFETY: a context is current; both are single numbers.
            u32::try_from(unsafe { gl.get_parameter_i32(of) }).unwrap_or(0)
        };
        let edge_max = longest(glow::MAX_TEXTURE_SIZE).min(longest(glow::MAX_RENDERBUFFER_SIZE));
        Ok(Self { gl, plain, external, planes, yuyv, edge_max })
    }

    pub(super) fn gl(&self) -> &glow::Context {
        &self.gl
    }

    /// The renderer's name.
    pub(super) fn name(&self) -> String {
        // SAFETY: the context is current, as of all calls of a painter's.
        unsafe { self.gl.get_parameter_string(glow::RENDERER) }
    }

    /// Longest edge of a texture and of a framebuffer.
    pub(super) fn edge_max(&self) -> u32 {
        self.edge_max
    }

    /// Whether it can draw from such a texture.
    pub(super) fn draws(&self, kind: Kind) -> bool {
        kind != Kind::External || self.external.is_some()
    }

    /// A framebuffer by which a renderbuffer is drawn into, and OpenGL's word on whether it can be.
    pub(super) fn framebuffer(
        &self,
        renderbuffer: NativeRenderbuffer,
    ) -> Result<(NativeFramebuffer, u32), String> {
        // SAFETY: as above; the renderbuffer is of this context, as all are that callers have.
        unsafe {
            let framebuffer = self.gl.create_framebuffer()?;
            self.gl.bind_framebuffer(glow::FRAMEBUFFER, Some(framebuffer));
            let (at, kind) = (glow::COLOR_ATTACHMENT0, glow::RENDERBUFFER);
            self.gl.framebuffer_renderbuffer(glow::FRAMEBUFFER, at, kind, Some(renderbuffer));
            let status = self.gl.check_framebuffer_status(glow::FRAMEBUFFER);
            self.gl.bind_framebuffer(glow::FRAMEBUFFER, None);
            Ok((framebuffer, status))
        }
    }

    /// A texture without content, whose pixels are taken as they are.
    pub(super) fn texture(&self, kind: Kind) -> Result<NativeTexture, String> {
        let target = kind.target();
        // SAFETY: as above; the parameters are such as any texture has.
        unsafe {
            let texture = self.gl.create_texture()?;
            self.gl.bind_texture(target, Some(texture));
            for (parameter, value) in [
                (glow::TEXTURE_MIN_FILTER, glow::NEAREST),
                (glow::TEXTURE_MAG_FILTER, glow::NEAREST),
                (glow::TEXTURE_WRAP_S, glow::CLAMP_TO_EDGE),
                (glow::TEXTURE_WRAP_T, glow::CLAMP_TO_EDGE),
            ] {
                self.gl.tex_parameter_i32(target, parameter, value.cast_signed());
            }
            Ok(texture)
        }
    }

    /// Draws what changed of the visible picture into a framebuffer that has the picture's size and
    /// becomes complete before it is flushed. The textures are bound to their kind's target.
    pub(super) fn draw(
        &self,
        kind: Kind,
        canvas: Canvas,
        view: &View,
        damage: &Damage,
    ) -> Result<(), String> {
        let (gl, size) = (&self.gl, view.size());
        let program = match kind {
            Kind::Plain => &self.plain,
            Kind::Planes { .. } => &self.planes,
            Kind::Yuyv => &self.yuyv,
            Kind::External => {
                self.external.as_ref().ok_or("its driver can't draw from such memory")?
            }
        };
        let int = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        let (first, down) = match view.transform {
            Transform::Normal => (view.visible.y, 1),
            Transform::Flipped => (view.visible.y + (view.visible.height - 1), -1),
        };
        // SAFETY: as above; program and framebuffer are this context's, and the shader reads no
        // buffers. Pixels past the texture's edge would be zeros.
        let error = unsafe {
            gl.bind_framebuffer(glow::FRAMEBUFFER, Some(canvas.framebuffer));
            gl.viewport(0, 0, int(size.width), int(size.height));
            gl.disable(glow::DITHER);
            gl.enable(glow::SCISSOR_TEST);
            gl.use_program(Some(program.program));
            gl.uniform_2_i32(program.first.as_ref(), int(view.visible.x), int(first));
            gl.uniform_1_i32(program.down.as_ref(), down);
            gl.uniform_1_i32(program.blue_first.as_ref(), canvas.blue_first.into());
            let Size { width, height } = view.layout.size;
            gl.uniform_2_f32(program.size.as_ref(), width as f32, height as f32);
            gl.uniform_1_f32(program.levels.as_ref(), kind.levels());
            for rect in visible_damage(view, damage) {
                gl.scissor(int(rect.x), int(rect.y), int(rect.width), int(rect.height));
                gl.draw_arrays(glow::TRIANGLES, 0, 3);
            }
            gl.bind_framebuffer(glow::FRAMEBUFFER, None);
            gl.get_error()
        };
        if error == glow::NO_ERROR { Ok(()) } else { Err(format!("OpenGL error {error:#x}")) }
    }
}

impl Program {
    fn link(gl: &glow::Context, fragment: &str) -> Result<Self, String> {
        let shaders = [(glow::VERTEX_SHADER, COVER), (glow::FRAGMENT_SHADER, fragment)];
        // SAFETY: a context is current, as `Painter::new` asks for.
        unsafe {
            let program = gl.create_program()?;
            for (kind, source) in shaders {
                let shader = gl.create_shader(kind)?;
                gl.shader_source(shader, source);
                gl.compile_shader(shader);
                if !gl.get_shader_compile_status(shader) {
                    return Err(format!("a shader is refused: {}", gl.get_shader_info_log(shader)));
                }
                gl.attach_shader(program, shader);
                // It lives on in the program.
                gl.delete_shader(shader);
            }
            gl.link_program(program);
            if !gl.get_program_link_status(program) {
                return Err(format!("shaders don't link: {}", gl.get_program_info_log(program)));
            }
            gl.use_program(Some(program));
            for (unit, name) in (0..).zip(TEXTURES) {
                let texture = gl.get_uniform_location(program, name);
                gl.uniform_1_i32(texture.as_ref(), unit);
            }
            // Those that a program doesn't have are none, and setting them does nothing.
            let place = |name| gl.get_uniform_location(program, name);
            Ok(Self {
                program,
                first: place("first"),
                down: place("down"),
                blue_first: place("blue_first"),
                size: place("size"),
                levels: place("levels"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What isn't part of a program is compiled by no test.
    #[test]
    fn every_file_of_shaders_is_part_of_a_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let programs = [COVER, PLAIN, EXTERNAL, PLANES, YUYV];
            assert!(programs.iter().any(|program| program.contains(&text)), "{}", path.display());
        }
    }
}
